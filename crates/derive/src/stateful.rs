//! `#[derive(Stateful)]`: the state of a struct is the states of its fields.

use crate::parts::{crate_path, member_name, mentions};
use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Error, Fields, Member, Type};

pub(crate) fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let tensor = crate_path(&input.attrs, "stateful", syn::parse_quote!(::adamant::tensor))?;
    let fields = stateful_fields(struct_fields(input)?)?;

    let parts = fields.iter().map(|(member, ty)| {
        let name = member_name(member);
        // With the span of the type, so that an error about it points there.
        let part = quote_spanned!(ty.span()=> <#ty as #tensor::StatefulField>::as_stateful);
        quote!((#name, #part(&self.#member)))
    });
    let parts_mut = fields.iter().map(|(member, ty)| {
        let name = member_name(member);
        let part = quote_spanned!(ty.span()=> <#ty as #tensor::StatefulField>::as_stateful_mut);
        quote!((#name, #part(&mut self.#member)))
    });
    let parts = quote!(&[#(#parts),*]);

    let ident = &input.ident;
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    let predicates = where_clause.into_iter().flat_map(|clause| &clause.predicates);
    // A recursive field needs no bound beyond those of the other fields.
    let bounded = fields.iter().map(|(_, ty)| ty).filter(|ty| {
        let tokens = ty.to_token_stream();
        !mentions(tokens.clone(), ident)
            && input.generics.type_params().any(|param| mentions(tokens.clone(), &param.ident))
    });
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics #tensor::Stateful for #ident #type_generics
        where #(#bounded: #tensor::Stateful,)* #(#predicates),*
        {
            fn state_dict(&self) -> #tensor::StateDict {
                #tensor::StateDict::of_parts(#parts)
            }
            fn check_state_dict(
                &self,
                state: &#tensor::StateDict,
            ) -> ::core::result::Result<(), #tensor::StateError> {
                state.check_parts(#parts)
            }
            fn load_state_dict(
                &mut self,
                state: &#tensor::StateDict,
            ) -> ::core::result::Result<(), #tensor::StateError> {
                state.load_parts(&mut [#(#parts_mut),*])
            }
        }
    })
}

fn struct_fields(input: &DeriveInput) -> syn::Result<&Fields> {
    let (token, message) = match &input.data {
        Data::Struct(data) => return Ok(&data.fields),
        Data::Enum(data) => (
            data.enum_token.into_token_stream(),
            "Stateful cannot be derived for an enum: its variants have different states; use a \
             struct, or implement the trait",
        ),
        Data::Union(data) => (
            data.union_token.into_token_stream(),
            "Stateful cannot be derived for a union: its active field is unknown; use a struct",
        ),
    };
    Err(Error::new_spanned(token, message))
}

/// The fields that are part of the state.
fn stateful_fields(fields: &Fields) -> syn::Result<Vec<(Member, &Type)>> {
    let mut found = Vec::new();
    for (member, field) in fields.members().zip(fields) {
        if !is_skipped(&field.attrs)? {
            found.push((member, &field.ty));
        }
    }
    Ok(found)
}

fn is_skipped(attributes: &[Attribute]) -> syn::Result<bool> {
    let mut skip = false;
    for attribute in attributes.iter().filter(|a| a.path().is_ident("stateful")) {
        attribute.parse_nested_meta(|meta| {
            skip = meta.path.is_ident("skip");
            if skip {
                Ok(())
            } else {
                Err(meta.error("expected `skip`, the only option of a field"))
            }
        })?;
    }
    Ok(skip)
}
