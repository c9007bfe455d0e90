//! Activations as layers without parameters, for [`Sequential`](crate::Sequential).
//!
//! Where PyTorch's take arguments, these are fields, and [`Default`] has PyTorch's defaults:
//!
//! ```
//! use adamant_nn::{Elu, Forward, LeakyRelu, Softmax};
//! use adamant_tensor::Tensor;
//! let x = Tensor::<f32>::from([-1.0, 1.0]);
//! assert_eq!(LeakyRelu::default().forward(&x).to_vec(), [-0.01, 1.0]);
//! assert_eq!(Elu { alpha: 0.0 }.forward(&x).to_vec(), [0.0, 1.0]);
//! assert_eq!(Softmax { dim: -1 }.forward(&Tensor::<f32>::from([0.0, 0.0])).to_vec(), [0.5, 0.5]);
//! ```

use crate::stateless::stateless;

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

/// [`Tensor::leaky_relu`](adamant_tensor::Tensor::leaky_relu) as a layer.
/// PyTorch: `torch.nn.LeakyReLU(negative_slope)`.
#[derive(Clone, Copy, Debug)]
pub struct LeakyRelu {
    /// The slope below 0; 0.01 by default.
    pub negative_slope: f64,
}
stateless!(LeakyRelu, |layer, x| x.leaky_relu(layer.negative_slope));

impl Default for LeakyRelu {
    fn default() -> Self {
        LeakyRelu { negative_slope: 0.01 }
    }
}

/// [`Tensor::elu`](adamant_tensor::Tensor::elu) as a layer. PyTorch: `torch.nn.ELU(alpha)`.
#[derive(Clone, Copy, Debug)]
pub struct Elu {
    /// What it goes down to is `−alpha`; 1 by default.
    pub alpha: f64,
}
stateless!(Elu, |layer, x| x.elu(layer.alpha));

impl Default for Elu {
    fn default() -> Self {
        Elu { alpha: 1.0 }
    }
}

/// [`Tensor::softplus`](adamant_tensor::Tensor::softplus) as a layer.
/// PyTorch: `torch.nn.Softplus(beta, threshold)`.
#[derive(Clone, Copy, Debug)]
pub struct Softplus {
    /// How sharp the bend is; 1 by default.
    pub beta: f64,
    /// Where `beta · x` is above this, the result is `x`; 20 by default.
    pub threshold: f64,
}
stateless!(Softplus, |layer, x| x.softplus(layer.beta, layer.threshold));

impl Default for Softplus {
    fn default() -> Self {
        Softplus { beta: 1.0, threshold: 20.0 }
    }
}

/// [`Tensor::hardtanh`](adamant_tensor::Tensor::hardtanh) as a layer.
/// PyTorch: `torch.nn.Hardtanh(min_val, max_val)`.
///
/// # Panics
/// In `forward`: if `min_val` is not less than `max_val`.
#[derive(Clone, Copy, Debug)]
pub struct Hardtanh {
    /// −1 by default.
    pub min_val: f64,
    /// 1 by default.
    pub max_val: f64,
}
stateless!(Hardtanh, |layer, x| {
    let Hardtanh { min_val, max_val } = *layer;
    assert!(
        min_val < max_val,
        "Hardtanh: max_val = {max_val:?}; expected more than min_val = {min_val:?}"
    );
    x.hardtanh(min_val, max_val)
});

impl Default for Hardtanh {
    fn default() -> Self {
        Hardtanh { min_val: -1.0, max_val: 1.0 }
    }
}

/// [`Tensor::softmax`](adamant_tensor::Tensor::softmax) as a layer.
/// PyTorch: `torch.nn.Softmax(dim)`.
#[derive(Clone, Copy, Debug)]
pub struct Softmax {
    /// The dimension along which the results add up to 1; −1 is the last.
    pub dim: isize,
}
stateless!(Softmax, |layer, x| x.softmax(layer.dim));

/// [`Tensor::log_softmax`](adamant_tensor::Tensor::log_softmax) as a layer.
/// PyTorch: `torch.nn.LogSoftmax(dim)`.
#[derive(Clone, Copy, Debug)]
pub struct LogSoftmax {
    /// The dimension along which the results' exponentials add up to 1; −1 is the last.
    pub dim: isize,
}
stateless!(LogSoftmax, |layer, x| x.log_softmax(layer.dim));
