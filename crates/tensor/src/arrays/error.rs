//! The form of all errors, and the error of a shape.

use crate::arrays::shape::Shape;
use thiserror::Error;

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

/// The error if the number of given elements does not match a shape.
#[derive(Clone, PartialEq, Eq, Error)]
#[error("a tensor of shape {shape} has {} elements, but {found} were given",
    shape.checked_numel().map_or("too many".to_string(), |n| n.to_string()))]
pub struct ShapeError {
    /// The requested shape.
    pub shape: Shape,
    /// The number of elements given.
    pub found: usize,
}

impl ShapeError {
    /// Returns the shape if it has `found` elements.
    pub(crate) fn check(found: usize, shape: Shape) -> Result<Shape, ShapeError> {
        if shape.checked_numel() == Some(found) {
            Ok(shape)
        } else {
            Err(ShapeError { shape, found })
        }
    }
}

crate::debug_as_display!(ShapeError);
