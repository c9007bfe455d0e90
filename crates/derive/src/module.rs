//! `#[derive(Module)]`: a model is the list of its fields.

use crate::parts::{member_name, mentions, named_by};
use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use std::collections::{BTreeMap, HashSet};
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Error, Fields, Ident, LitStr, Member, Path, Type};

pub(crate) fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let Options { nn, float, clone } = &Options::of(input)?;
    let variants = variants(input)?;
    let (mut visits, mut visits_mut, mut clones) = (Vec::new(), Vec::new(), Vec::new());
    for variant @ Variant { path, fields } in &variants {
        let visit = variant.parts().map(|Field { name, binding, ty, .. }| {
            // With the span of the type, so that an error about it points there.
            let part = quote_spanned!(ty.span()=> <#ty as #nn::Part<#float>>::visit_part);
            match name {
                Some(name) => quote!(path.child(#name, |path| #part(#binding, path, visit));),
                None => quote!(#part(#binding, path, visit);),
            }
        });
        let visit_mut = variant.parts().map(|Field { binding, ty, .. }| {
            let part = quote_spanned!(ty.span()=> <#ty as #nn::Part<#float>>::visit_part_mut);
            quote!(#part(#binding, visit);)
        });
        let clone = fields.iter().map(|Field { member, binding, ty, .. }| {
            let clone = quote_spanned!(ty.span()=> <#ty as ::core::clone::Clone>::clone);
            quote!(#member: #clone(#binding))
        });
        let patterns = fields.iter().map(|Field { member, binding, .. }| quote!(#member: #binding));
        let pattern = quote!(#path { #(#patterns),* });
        clones.push(quote!(#pattern => #path { #(#clone),* }));
        visits.push(quote!(#pattern => { #(#visit)* }));
        visits_mut.push(quote!(#pattern => { #(#visit_mut)* }));
    }

    let ident = &input.ident;
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    let predicates = where_clause.map(|clause| clause.predicates.iter());
    let predicates = predicates.into_iter().flatten();
    let predicates = quote!(#(#predicates),*);

    let modules = bounded(variants.iter().flat_map(Variant::parts), input, float);
    let modules = quote!(#(#modules: #nn::Module<#float>,)*);
    let bounds = quote!(where #modules #predicates);
    let clone = clone.then(|| {
        let cloned = bounded(variants.iter().flat_map(|variant| &variant.fields), input, float);
        quote! {
            #[automatically_derived]
            impl #impl_generics ::core::clone::Clone for #ident #type_generics
            where #modules #(#cloned: ::core::clone::Clone,)* #predicates
            {
                fn clone(&self) -> Self {
                    #nn::deep_copy::<#float, Self>(self, match self { #(#clones,)* })
                }
            }
        }
    });
    Ok(quote! {
        #[automatically_derived]
        #[allow(unused_variables)]
        impl #impl_generics #nn::Module<#float> for #ident #type_generics #bounds {
            fn visit(&self, path: &mut #nn::Path, visit: &mut dyn FnMut(&str, #nn::Leaf<'_, #float>)) {
                path.enter(self);
                match self { #(#visits)* }
            }
            fn visit_mut(&mut self, visit: &mut dyn FnMut(#nn::LeafMut<'_, #float>)) {
                match self { #(#visits_mut)* }
            }
        }
        #[automatically_derived]
        impl #impl_generics #nn::Stateful for #ident #type_generics #bounds {
            fn state_dict(&self) -> #nn::StateDict {
                #nn::module_state::<#float>(self)
            }
            fn check_state_dict(&self, state: &#nn::StateDict) -> ::core::result::Result<(), #nn::StateError> {
                #nn::check_module_state::<#float>(self, state)
            }
            fn load_state_dict(&mut self, state: &#nn::StateDict) -> ::core::result::Result<(), #nn::StateError> {
                #nn::load_module_state::<#float>(self, state)
            }
        }
        #clone
    })
}

/// The types within those of `fields` that begin with a type parameter other than `float`: the ones
/// that need a bound.
fn bounded<'f>(
    fields: impl Iterator<Item = &'f Field<'f>>,
    input: &DeriveInput,
    float: &Type,
) -> impl Iterator<Item = TokenStream> {
    let float_name = float.to_token_stream().to_string();
    let mut types = BTreeMap::new(); // by their tokens, each once
    for ty in fields.map(|field| field.ty.to_token_stream()) {
        // A recursive field needs no bound beyond those of the other fields.
        if !mentions(ty.clone(), &input.ident) {
            for param in input.generics.type_params().filter(|param| param.ident != float_name) {
                let named = named_by(ty.clone(), &param.ident).into_iter();
                types.extend(named.map(|named| (named.to_string(), named)));
            }
        }
    }
    types.into_values()
}

/// A form of the type: a struct has one, an enum several.
struct Variant<'i> {
    /// `Self` or `Self::Name`.
    path: TokenStream,
    fields: Vec<Field<'i>>,
}

impl<'i> Variant<'i> {
    /// The fields that are modules.
    fn parts(&self) -> impl Iterator<Item = &Field<'i>> {
        self.fields.iter().filter(|field| !field.skip)
    }
}

struct Field<'i> {
    member: Member,
    /// In paths; `None` if it has the path of the whole.
    name: Option<String>,
    binding: Ident,
    ty: &'i Type,
    skip: bool,
}

fn variants(input: &DeriveInput) -> syn::Result<Vec<Variant<'_>>> {
    let no_union = "Module cannot be derived for a union: its active field is unknown; use an enum";
    match &input.data {
        Data::Struct(data) => Ok(vec![variant(quote!(Self), &data.fields, false)?]),
        Data::Enum(data) => {
            if data.variants.is_empty() {
                let message = "Module cannot be derived for an enum without variants";
                return Err(Error::new_spanned(&input.ident, message));
            }
            let mut variants = Vec::new();
            for found in &data.variants {
                if let Some(attribute) = found.attrs.iter().find(|a| a.path().is_ident("module")) {
                    let message = "`#[module(…)]` belongs on a field or on the whole type";
                    return Err(Error::new_spanned(attribute, message));
                }
                let ident = &found.ident;
                variants.push(variant(quote!(Self::#ident), &found.fields, true)?);
            }
            Ok(variants)
        }
        Data::Union(data) => Err(Error::new_spanned(data.union_token, no_union)),
    }
}

fn variant(path: TokenStream, fields: &Fields, of_enum: bool) -> syn::Result<Variant<'_>> {
    let transparent =
        of_enum && matches!(fields, Fields::Unnamed(fields) if fields.unnamed.len() == 1);
    let mut found = Vec::new();
    let mut names = HashSet::new();
    for (index, (member, field)) in fields.members().zip(fields).enumerate() {
        let FieldOptions { skip, rename } = FieldOptions::of(&field.attrs)?;
        let own_name = || (!transparent).then(|| member_name(&member));
        let name = rename.as_ref().map(LitStr::value).or_else(own_name);
        if let Some(name) = name.as_ref().filter(|_| !skip)
            && !names.insert(name.clone())
        {
            let message = format!("two fields have the name `{name}`; expected different names");
            return Err(Error::new_spanned(field, message));
        }
        let binding = format_ident!("field_{index}");
        found.push(Field { member, name, binding, ty: &field.ty, skip });
    }
    Ok(Variant { path, fields: found })
}

/// `#[module(…)]` on a field.
#[derive(Default)]
struct FieldOptions {
    skip: bool,
    rename: Option<LitStr>,
}

impl FieldOptions {
    fn of(attributes: &[Attribute]) -> syn::Result<Self> {
        let mut options = FieldOptions::default();
        for attribute in attributes.iter().filter(|a| a.path().is_ident("module")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("skip") {
                    options.skip = true;
                } else if meta.path.is_ident("rename") {
                    if options.rename.is_some() {
                        return Err(meta.error("`rename` is there twice; expected one name"));
                    }
                    options.rename = Some(path_name(meta.value()?.parse()?)?);
                } else {
                    return Err(meta.error("expected `skip` or `rename = \"…\"`"));
                }
                if options.skip && options.rename.is_some() {
                    return Err(meta.error("a field with `skip` has no name to `rename`"));
                }
                Ok(())
            })?;
        }
        Ok(options)
    }
}

/// A name, or several joined by dots: `attention.self`.
fn path_name(name: LitStr) -> syn::Result<LitStr> {
    if name.value().split('.').any(str::is_empty) {
        let message =
            format!("`rename` is {:?}; expected a name, or names joined by dots", name.value());
        return Err(Error::new_spanned(name, message));
    }
    Ok(name)
}

struct Options {
    nn: Path,
    float: Type,
    clone: bool,
}

impl Options {
    fn of(input: &DeriveInput) -> syn::Result<Self> {
        let mut options = Options {
            nn: syn::parse_quote!(::adamant::nn),
            float: syn::parse_quote!(f32),
            clone: false,
        };
        for attribute in input.attrs.iter().filter(|a| a.path().is_ident("module")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("crate") {
                    options.nn = meta.value()?.call(Path::parse_mod_style)?;
                } else if meta.path.is_ident("float") {
                    options.float = meta.value()?.parse()?;
                } else if meta.path.is_ident("clone") {
                    options.clone = true;
                } else {
                    let message =
                        "expected `clone`, `float = …` or `crate = …`; `skip` and `rename` belong on a \
                         field";
                    return Err(meta.error(message));
                }
                Ok(())
            })?;
        }
        Ok(options)
    }
}
