//! `#[derive(Module)]`: a model is the list of its fields.

#![forbid(unsafe_code)]

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::{Data, DeriveInput, Error, Field, Fields, Index, Member, Path, Type, parse_macro_input};

/// Implements `Module`, and with it `Stateful`, for a struct whose fields are modules.
///
/// A parameter, a layer and another model are modules, and so are an `Option`
/// and a `Vec` of them. A parameter's name is its path: `fc1.weight`.
///
/// * `#[module(skip)]` on a field leaves it out: it is no module.
/// * `#[module(float = f64)]` on the struct makes it a module of `f64` (or of a
///   type parameter) instead of `f32`.
/// * `#[module(crate = path)]` on the struct says where the `nn` crate is, if
///   not at `::adamant::nn`.
#[proc_macro_derive(Module, attributes(module))]
pub fn derive_module(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(Error::into_compile_error).into()
}

fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(
            &input.ident,
            "Module can be derived for a struct whose fields are modules",
        ));
    };
    let options = Options::of(input)?;
    let (nn, float) = (&options.nn, &options.float);
    let fields = modules(&data.fields)?;
    let members: Vec<Member> = fields
        .iter()
        .map(|&(index, field)| match &field.ident {
            Some(ident) => Member::Named(ident.clone()),
            None => Member::Unnamed(Index::from(index)),
        })
        .collect();
    let names: Vec<String> = members
        .iter()
        .map(|member| match member {
            Member::Named(ident) => ident.unraw().to_string(), // a field `r#type` is `type`
            Member::Unnamed(index) => index.index.to_string(),
        })
        .collect();

    let ident = &input.ident;
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    let predicates = where_clause.map(|clause| &clause.predicates);
    // A field's bound is needed where its type depends on the struct's parameters.
    let generic: Vec<&Type> = if input.generics.params.is_empty() {
        Vec::new()
    } else {
        fields.iter().map(|(_, field)| &field.ty).collect()
    };
    let bounds = quote!(where #(#generic: #nn::Module<#float>,)* #predicates);
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics #nn::Module<#float> for #ident #type_generics #bounds {
            fn visit(&self, path: &mut #nn::Path, visit: &mut dyn FnMut(&str, #nn::Leaf<'_, #float>)) {
                #(path.child(#names, |path| #nn::Module::<#float>::visit(&self.#members, path, visit));)*
            }
            fn set_training(&mut self, training: bool) {
                #(#nn::Module::<#float>::set_training(&mut self.#members, training);)*
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
    })
}

struct Options {
    nn: Path,
    float: Type,
}

impl Options {
    fn of(input: &DeriveInput) -> syn::Result<Self> {
        let mut options =
            Options { nn: syn::parse_quote!(::adamant::nn), float: syn::parse_quote!(f32) };
        for attribute in input.attrs.iter().filter(|a| a.path().is_ident("module")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("crate") {
                    options.nn = meta.value()?.call(Path::parse_mod_style)?;
                } else if meta.path.is_ident("float") {
                    options.float = meta.value()?.parse()?;
                } else {
                    return Err(meta.error("expected `float = …` or `crate = …`"));
                }
                Ok(())
            })?;
        }
        Ok(options)
    }
}

/// The fields that are not skipped, with their positions.
fn modules(fields: &Fields) -> syn::Result<Vec<(usize, &Field)>> {
    let mut modules = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        let mut skip = false;
        for attribute in field.attrs.iter().filter(|a| a.path().is_ident("module")) {
            attribute.parse_nested_meta(|meta| {
                skip = meta.path.is_ident("skip");
                if skip { Ok(()) } else { Err(meta.error("expected `skip`")) }
            })?;
        }
        if !skip {
            modules.push((index, field));
        }
    }
    Ok(modules)
}
