//! What the derives share.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::{Attribute, Ident, Member, Path};

/// The name of a field in a state: `r#type` is named `type`.
pub(crate) fn member_name(member: &Member) -> String {
    match member {
        Member::Named(ident) => ident.unraw().to_string(),
        Member::Unnamed(index) => index.index.to_string(),
    }
}

/// The path in `#[name(crate = path)]`, the only option of a type.
pub(crate) fn crate_path(attributes: &[Attribute], name: &str, default: Path) -> syn::Result<Path> {
    let mut path = default;
    for attribute in attributes.iter().filter(|a| a.path().is_ident(name)) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("crate") {
                return Err(meta.error("expected `crate = …`, the only option of a type"));
            }
            path = meta.value()?.call(Path::parse_mod_style)?;
            Ok(())
        })?;
    }
    Ok(path)
}

/// The types that begin with the parameter: `M` itself, or `M::Layer`. (Not `<M as Trait>::Layer`:
/// its bound is left to the author.)
pub(crate) fn named_by(tokens: TokenStream, param: &Ident) -> Vec<TokenStream> {
    let mut found = Vec::new();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Group(group) => found.extend(named_by(group.stream(), param)),
            TokenTree::Ident(name) if name == *param => {
                let mut ty = name.into_token_stream();
                while tokens.peek().is_some_and(|next| next.to_string() == ":") {
                    ty.extend(tokens.by_ref().take(3)); // `:`, `:` and a name
                }
                found.push(ty);
            }
            _ => {}
        }
    }
    found
}

/// Whether `tokens` name `ident` anywhere.
pub(crate) fn mentions(tokens: TokenStream, ident: &Ident) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(found) => found == *ident,
        TokenTree::Group(group) => mentions(group.stream(), ident),
        _ => false,
    })
}
