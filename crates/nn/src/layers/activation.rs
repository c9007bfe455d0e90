//! Activations as layers without parameters, for [`Sequential`](crate::Sequential).
//!
//! An activation is its own options: setters have PyTorch's names and defaults.
//!
//! ```
//! use adamant_nn::{Elu, Forward, LeakyRelu, Softmax};
//! use adamant_tensor::Tensor;
//! let x = Tensor::<f32>::from([-1.0, 1.0]);
//! assert_eq!(LeakyRelu::new().forward(&x).to_vec(), [-0.01, 1.0]);
//! assert_eq!(Elu::new().alpha(0.0).forward(&x).to_vec(), [0.0, 1.0]);
//! assert_eq!(Softmax::new(-1).forward(&Tensor::<f32>::from([0.0, 0.0])).to_vec(), [0.5, 0.5]);
//! ```

use crate::layers::stateless::stateless;

/// [`Tensor::relu`](adamant_tensor::Tensor::relu) as a layer. PyTorch: `torch.nn.ReLU`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Relu;
stateless!(Relu, |_, x| x.relu());

/// [`Tensor::tanh`](adamant_tensor::Tensor::tanh) as a layer. PyTorch: `torch.nn.Tanh`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tanh;
stateless!(Tanh, |_, x| x.tanh());

/// [`Tensor::sigmoid`](adamant_tensor::Tensor::sigmoid) as a layer. PyTorch: `torch.nn.Sigmoid`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sigmoid;
stateless!(Sigmoid, |_, x| x.sigmoid());

/// [`Tensor::gelu`](adamant_tensor::Tensor::gelu) as a layer. PyTorch: `torch.nn.GELU`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gelu;
stateless!(Gelu, |_, x| x.gelu());

/// [`Tensor::gelu_tanh`](adamant_tensor::Tensor::gelu_tanh) as a layer.
/// PyTorch: `torch.nn.GELU(approximate="tanh")`.
#[derive(Clone, Copy, Debug, Default)]
pub struct GeluTanh;
stateless!(GeluTanh, |_, x| x.gelu_tanh());

/// [`Tensor::silu`](adamant_tensor::Tensor::silu) as a layer. PyTorch: `torch.nn.SiLU`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silu;
stateless!(Silu, |_, x| x.silu());

/// [`Tensor::softsign`](adamant_tensor::Tensor::softsign) as a layer. PyTorch: `torch.nn.Softsign`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Softsign;
stateless!(Softsign, |_, x| x.softsign());

/// [`Tensor::relu6`](adamant_tensor::Tensor::relu6) as a layer. PyTorch: `torch.nn.ReLU6`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Relu6;
stateless!(Relu6, |_, x| x.relu6());

/// [`Tensor::hardsigmoid`](adamant_tensor::Tensor::hardsigmoid) as a layer. PyTorch: `torch.nn.Hardsigmoid`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hardsigmoid;
stateless!(Hardsigmoid, |_, x| x.hardsigmoid());

/// [`Tensor::hardswish`](adamant_tensor::Tensor::hardswish) as a layer. PyTorch: `torch.nn.Hardswish`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hardswish;
stateless!(Hardswish, |_, x| x.hardswish());

/// [`Tensor::mish`](adamant_tensor::Tensor::mish) as a layer. PyTorch: `torch.nn.Mish`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mish;
stateless!(Mish, |_, x| x.mish());

/// [`Tensor::logsigmoid`](adamant_tensor::Tensor::logsigmoid) as a layer. PyTorch: `torch.nn.LogSigmoid`.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogSigmoid;
stateless!(LogSigmoid, |_, x| x.logsigmoid());

/// [`Tensor::selu`](adamant_tensor::Tensor::selu) as a layer. PyTorch: `torch.nn.SELU`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Selu;
stateless!(Selu, |_, x| x.selu());

/// An activation with options.
macro_rules! with_options {
    (
        $(#[$doc:meta])* $Name:ident {
            $($(#[$field_doc:meta])* $field:ident: $default:literal),+
        }, |$layer:pat_param, $x:ident| $value:expr
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $Name {
            $($field: f64,)+
        }
        stateless!($Name, |$layer, $x| $value);

        impl $Name {
            /// A layer with PyTorch's defaults.
            #[must_use]
            pub fn new() -> Self {
                $Name { $($field: $default),+ }
            }

            $(
                $(#[$field_doc])*
                #[must_use]
                pub fn $field(mut self, $field: f64) -> Self {
                    self.$field = $field;
                    self
                }
            )+
        }

        impl Default for $Name {
            fn default() -> Self {
                Self::new()
            }
        }
    };
}

with_options!(
    /// [`Tensor::leaky_relu`](adamant_tensor::Tensor::leaky_relu) as a layer.
    /// PyTorch: `torch.nn.LeakyReLU(negative_slope)`.
    LeakyRelu {
        /// The slope below 0; default 0.01.
        negative_slope: 0.01
    }, |layer, x| x.leaky_relu(layer.negative_slope)
);

with_options!(
    /// [`Tensor::elu`](adamant_tensor::Tensor::elu) as a layer. PyTorch: `torch.nn.ELU(alpha)`.
    Elu {
        /// The limit for large negative inputs is `−alpha`; default 1.
        alpha: 1.0
    }, |layer, x| x.elu(layer.alpha)
);

with_options!(
    /// [`Tensor::celu`](adamant_tensor::Tensor::celu) as a layer. PyTorch: `torch.nn.CELU(alpha)`.
    Celu {
        /// The limit for large negative inputs is `−alpha`; default 1.
        alpha: 1.0
    }, |layer, x| x.celu(layer.alpha)
);

with_options!(
    /// [`Tensor::softplus`](adamant_tensor::Tensor::softplus) as a layer.
    /// PyTorch: `torch.nn.Softplus(beta, threshold)`.
    Softplus {
        /// The sharpness of the bend; default 1.
        beta: 1.0,
        /// The result is `x` where `beta · x` is above this; default 20.
        threshold: 20.0
    }, |layer, x| x.softplus(layer.beta, layer.threshold)
);

with_options!(
    /// [`Tensor::hardtanh`](adamant_tensor::Tensor::hardtanh) as a layer.
    /// PyTorch: `torch.nn.Hardtanh(min_val, max_val)`.
    ///
    /// # Panics
    /// In `forward`: if `min_val` is not less than `max_val`.
    Hardtanh {
        /// The lower bound; default −1.
        min_val: -1.0,
        /// The upper bound; default 1.
        max_val: 1.0
    }, |layer, x| {
        let Hardtanh { min_val, max_val } = *layer;
        assert!(
            min_val < max_val,
            "Hardtanh: max_val is {max_val:?}; expected more than min_val = {min_val:?}"
        );
        x.hardtanh(min_val, max_val)
    }
);

/// [`Tensor::threshold`](adamant_tensor::Tensor::threshold) as a layer.
/// PyTorch: `torch.nn.Threshold(threshold, value)`.
#[derive(Clone, Copy, Debug)]
pub struct Threshold {
    threshold: f64,
    value: f64,
}
stateless!(Threshold, |layer, x| x.threshold(layer.threshold, layer.value));

impl Threshold {
    /// A layer that replaces elements up to `threshold` by `value`.
    #[must_use]
    pub fn new(threshold: f64, value: f64) -> Self {
        Threshold { threshold, value }
    }
}

/// [`Tensor::softmax`](adamant_tensor::Tensor::softmax) as a layer.
/// PyTorch: `torch.nn.Softmax(dim)`.
#[derive(Clone, Copy, Debug)]
pub struct Softmax {
    dim: isize,
}
stateless!(Softmax, |layer, x| x.softmax(layer.dim));

impl Softmax {
    /// A layer whose results add up to 1 along `dim`; −1 is the last dimension.
    #[must_use]
    pub fn new(dim: isize) -> Self {
        Softmax { dim }
    }
}

/// [`Tensor::log_softmax`](adamant_tensor::Tensor::log_softmax) as a layer.
/// PyTorch: `torch.nn.LogSoftmax(dim)`.
#[derive(Clone, Copy, Debug)]
pub struct LogSoftmax {
    dim: isize,
}
stateless!(LogSoftmax, |layer, x| x.log_softmax(layer.dim));

impl LogSoftmax {
    /// A layer the exponentials of whose results add up to 1 along `dim`; −1 is the last dimension.
    #[must_use]
    pub fn new(dim: isize) -> Self {
        LogSoftmax { dim }
    }
}
