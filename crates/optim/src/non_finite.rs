//! A report of overflow in the state of an optimizer.

use std::fmt;

/// An array of an optimizer's state with an infinite element or NaN: see
/// [`GroupOptimizer::non_finite`](crate::GroupOptimizer::non_finite).
///
/// ```text
/// parameter group 0: parameter 3 (`fc1.weight`, shape [256, 784]): exp_avg_sq is inf at element 7
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct NonFinite {
    /// The group's index.
    pub group: usize,
    /// The parameter: its index in the group, its name if it has one, and its shape.
    pub parameter: String,
    /// The name of the array in the state: `exp_avg_sq`.
    pub part: String,
    /// The row-major index of the first such element.
    pub element: usize,
    /// Its value.
    pub found: f64,
}

impl fmt::Display for NonFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NonFinite { group, parameter, part, element, found } = self;
        write!(f, "parameter group {group}: {parameter}: {part} is {found} at element {element}")
    }
}
