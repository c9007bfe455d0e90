//! The values that a float may have.

use crate::error::OptimError;

/// The values that a float field may have.
///
/// ```
/// use adamant_optim::ValidRange;
/// const CLIP: ValidRange = ValidRange::new(|clip| clip > 1.0, "a number above 1");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ValidRange {
    pub(crate) fits: fn(f64) -> bool,
    pub(crate) expected: &'static str,
}

impl ValidRange {
    /// Any number, infinity and NaN included.
    pub const ANY: ValidRange = ValidRange::new(|_| true, "a number");
    /// A finite number.
    pub const FINITE: ValidRange = ValidRange::new(f64::is_finite, "a finite number");
    /// A finite number of at least 0: a learning rate, a weight decay.
    pub const AT_LEAST_0: ValidRange =
        ValidRange::new(|x| x >= 0.0 && x.is_finite(), "a finite number of at least 0");
    /// A finite number above 0.
    pub const ABOVE_0: ValidRange =
        ValidRange::new(|x| x > 0.0 && x.is_finite(), "a finite number above 0");
    /// At least 0 and below 1: the decay of a running mean.
    pub const BELOW_1: ValidRange =
        ValidRange::new(|x| (0.0..1.0).contains(&x), "a number from 0 to below 1");
    /// From 0 to 1: a fraction.
    pub const UNIT: ValidRange =
        ValidRange::new(|x| (0.0..=1.0).contains(&x), "a number from 0 to 1");

    /// The values that `fits` accepts; errors say that `expected` was expected.
    #[must_use]
    pub const fn new(fits: fn(f64) -> bool, expected: &'static str) -> Self {
        ValidRange { fits, expected }
    }

    /// An error that names `context` and `name` if `x` is not in the range.
    pub(crate) fn check(self, context: &str, name: &str, x: f64) -> Result<(), OptimError> {
        if (self.fits)(x) {
            return Ok(());
        }
        let (context, name) = (context.into(), name.into());
        let (found, expected) = (x.to_string(), self.expected.into());
        Err(OptimError::Hyperparameter { context, name, found, expected })
    }
}
