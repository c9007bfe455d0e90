//! The names of types in messages and summaries.

/// `adamant_nn::layers::linear::Linear<f32>` is `Linear`.
pub(crate) fn short(type_name: &str) -> String {
    let base = type_name.split('<').next().unwrap_or(type_name);
    base.rsplit("::").next().unwrap_or(base).to_string()
}
