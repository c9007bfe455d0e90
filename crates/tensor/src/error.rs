//! One form for the errors of all crates.

/// Implements `Debug` as `Display` for error types: `unwrap` and `main` print an error by
/// `Debug`, and a reader wants the message.
///
/// ```
/// struct Full;
/// impl std::fmt::Display for Full {
///     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
///         f.write_str("the disk is full")
///     }
/// }
/// adamant_tensor::debug_as_display!(Full);
/// assert_eq!(format!("{Full:?}"), "the disk is full");
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! debug_as_display {
    ($($Error:ty),+) => {$(
        impl ::core::fmt::Debug for $Error {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                ::core::fmt::Display::fmt(self, f)
            }
        }
    )+};
}
