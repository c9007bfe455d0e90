//! A convolutional net that classifies a digit as one of five.

use super::pictures::SIDE;
use adamant::prelude::*;

/// The body turns an image into features; the head classifies them as one of five digits.
#[derive(Module)]
pub(crate) struct DigitNet {
    pub(crate) body: Sequential,
    pub(crate) head: Linear,
}

impl DigitNet {
    pub(crate) fn new(rng: &mut Generator) -> Self {
        let body = Sequential::new()
            .add(Conv2d::new(1, 16, 3, rng)) // [N, 16, 26, 26]
            .add(Relu)
            .add(MaxPool2d::new(2)) // [N, 16, 13, 13]
            .add(Conv2d::new(16, 32, 3, rng)) // [N, 32, 11, 11]
            .add(Relu)
            .add(MaxPool2d::new(2)) // [N, 32, 5, 5]
            .add(Dropout::new(0.5, rng))
            .add(Flatten::default())
            .add(Linear::new(32 * 5 * 5, 128, rng))
            .add(Relu)
            .add(Dropout::new(0.5, rng));
        DigitNet { body, head: Linear::new(128, 5, rng) }
    }
}

impl Forward for DigitNet {
    /// `[N, 784] → [N, 5]`
    fn forward(&self, x: &Tensor) -> Tensor {
        self.head.forward(&self.body.forward(&x.reshape([REST, 1, SIDE, SIDE])))
    }
}
