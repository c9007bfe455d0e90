//! `#[derive(Collate)]`: the batch of a struct is the batches of its fields.

use crate::parts::{crate_path, member_name};
use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Field, Fields, Member};

pub(crate) fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let data = crate_path(&input.attrs, "collate", syn::parse_quote!(::adamant::data))?;
    let (sample, visibility) = (&input.ident, &input.vis);
    let batch = format_ident!("{sample}Batch");
    let fields = named_fields(input)?;

    let idents: Vec<_> = fields.iter().map(|field| &field.ident).collect();
    let columns: Vec<_> = (0..fields.len()).map(|i| format_ident!("column_{i}")).collect();
    let values: Vec<_> = (0..fields.len()).map(|i| format_ident!("value_{i}")).collect();
    let batch_fields = fields.iter().map(|field| {
        let Field { ident, ty, vis, .. } = field;
        let doc = format!("Of the samples' `{}`.", name_of(field));
        // With the span of the type, so that an error about it points there.
        let batch = quote_spanned!(ty.span()=> <#ty as #data::Collate>::Batch);
        quote!(#[doc = #doc] #vis #ident: #batch)
    });
    let collated = fields.iter().zip(&columns).map(|(field, column)| {
        let (Field { ident, ty, .. }, name) = (field, name_of(field));
        let collate = quote_spanned!(ty.span()=> <#ty as #data::Collate>::collate);
        quote! {
            #ident: match #collate(#column) {
                ::core::result::Result::Ok(batch) => batch,
                ::core::result::Result::Err(error) => {
                    return ::core::result::Result::Err(#data::DataError::in_field(error, #name));
                }
            }
        }
    });
    let doc = format!("A batch of [`{}`]s.", member_name(&Member::Named(sample.clone())));
    Ok(quote! {
        #[doc = #doc]
        #[derive(::core::clone::Clone, ::core::fmt::Debug)]
        #[allow(dead_code, unused_qualifications)]
        #visibility struct #batch { #(#batch_fields),* }

        #[automatically_derived]
        #[allow(unused_qualifications)]
        impl #data::Collate for #sample {
            type Batch = #batch;

            fn collate(
                samples: ::std::vec::Vec<Self>,
            ) -> ::core::result::Result<#batch, #data::DataError> {
                #(let mut #columns = ::std::vec::Vec::with_capacity(samples.len());)*
                for sample in samples {
                    let #sample { #(#idents: #values),* } = sample;
                    #(#columns.push(#values);)*
                }
                ::core::result::Result::Ok(#batch { #(#collated),* })
            }
        }
    })
}

fn name_of(field: &Field) -> String {
    member_name(&Member::Named(field.ident.clone().expect("a named field")))
}

fn named_fields(input: &DeriveInput) -> syn::Result<Vec<&Field>> {
    if !input.generics.params.is_empty() {
        let message = "Collate cannot be derived for a generic struct; write one for each type of \
                       sample";
        return Err(Error::new_spanned(&input.generics, message));
    }
    let (token, what) = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) if !fields.named.is_empty() => {
                return Ok(fields.named.iter().collect());
            }
            Fields::Unnamed(fields) => (fields.to_token_stream(), "a tuple struct"),
            _ => (input.ident.to_token_stream(), "a struct without fields"),
        },
        Data::Enum(data) => (data.enum_token.to_token_stream(), "an enum"),
        Data::Union(data) => (data.union_token.to_token_stream(), "a union"),
    };
    let message =
        format!("Collate cannot be derived for {what}; use a struct with named fields, or a tuple");
    Err(Error::new_spanned(token, message))
}
