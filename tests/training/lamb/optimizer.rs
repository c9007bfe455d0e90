//! LAMB (You et al., 2019), written against the public API alone.

use adamant::optim::{
    Algorithm, Fields, GroupOptimizer, Hyperparameters, ParameterState, Shared, ValidRange, zeros,
};
use adamant::tensor::{Array, Float};

/// Adam's update `u = m̂ / (√v̂ + ε) + λ p`, scaled for each parameter as a whole:
///
/// ```text
/// p ← p − lr · r · u,   r = min(‖p‖ / ‖u‖, trust_clip), or 1 if either norm is 0
/// ```
pub(crate) type Lamb<T = f32> = GroupOptimizer<T, LambOptions>;

#[derive(Clone, Debug)]
pub(crate) struct LambOptions {
    pub(crate) lr: f64,
    pub(crate) betas: (f64, f64),
    pub(crate) eps: f64,
    pub(crate) weight_decay: f64,
    pub(crate) trust_clip: f64,
}

impl Default for LambOptions {
    fn default() -> Self {
        let (lr, betas, eps) = (1e-3, (0.9, 0.999), 1e-6);
        LambOptions { lr, betas, eps, weight_decay: 0.01, trust_clip: 10.0 }
    }
}

impl Hyperparameters for LambOptions {
    const OPTIMIZER: &'static str = "Lamb";

    fn fields(&mut self, fields: &mut Fields<'_>) {
        fields.lr(&mut self.lr, ValidRange::AT_LEAST_0);
        fields.momentum("beta1", &mut self.betas.0, ValidRange::BELOW_1);
        fields.float("beta2", &mut self.betas.1, ValidRange::BELOW_1);
        fields.float("eps", &mut self.eps, ValidRange::AT_LEAST_0);
        fields.float("weight_decay", &mut self.weight_decay, ValidRange::AT_LEAST_0);
        fields.float("trust_clip", &mut self.trust_clip, ValidRange::ABOVE_0);
    }
}

#[derive(Clone)]
pub(crate) struct Moments<T: Float> {
    exp_avg: Array<T>,
    exp_avg_sq: Array<T>,
}

impl<T: Float> ParameterState<T> for Moments<T> {
    fn new(shape: &[usize]) -> Self {
        Moments { exp_avg: zeros(shape), exp_avg_sq: zeros(shape) }
    }

    fn fields(&mut self, fields: &mut Fields<'_>) {
        fields.array("exp_avg", &mut self.exp_avg);
        fields.array("exp_avg_sq", &mut self.exp_avg_sq);
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Scalars<T> {
    beta1: T,
    beta2: T,
    bias_correction1: T,
    bias_correction2: T,
    eps: T,
    weight_decay: T,
    lr: f64,
    trust_clip: f64,
}

impl<T: Float> Scalars<T> {
    fn update(&self, p: T, m: T, v: T) -> T {
        let root = (v / self.bias_correction2).sqrt() + self.eps;
        m / self.bias_correction1 / root + self.weight_decay * p
    }
}

impl<T: Float> Algorithm<T> for LambOptions {
    type State = Moments<T>;
    type Buffers<'a> = (&'a mut [T], &'a [T], &'a mut [T], &'a mut [T], Shared<Scalars<T>>);
    /// `‖p‖²` and `‖u‖²`.
    type Sums = [f64; 2];

    fn buffers<'a>(
        &self,
        step: u64,
        state: &'a mut Moments<T>,
        param: &'a mut [T],
        grad: &'a [T],
    ) -> Self::Buffers<'a> {
        let (beta1, beta2) = self.betas;
        let scalars = Scalars {
            beta1: T::from_f64(beta1),
            beta2: T::from_f64(beta2),
            bias_correction1: T::from_f64(1.0 - beta1.powf(step as f64)),
            bias_correction2: T::from_f64(1.0 - beta2.powf(step as f64)),
            eps: T::from_f64(self.eps),
            weight_decay: T::from_f64(self.weight_decay),
            lr: self.lr,
            trust_clip: self.trust_clip,
        };
        (param, grad, state.exp_avg.make_mut(), state.exp_avg_sq.make_mut(), Shared(scalars))
    }

    fn measure((param, grad, exp_avg, exp_avg_sq, Shared(s)): Self::Buffers<'_>) -> [f64; 2] {
        let mut sums = [0.0; 2];
        for ((&mut p, &g), (m, v)) in
            param.iter_mut().zip(grad).zip(exp_avg.iter_mut().zip(exp_avg_sq))
        {
            *m = s.beta1 * *m + (T::ONE - s.beta1) * g;
            *v = s.beta2 * *v + (T::ONE - s.beta2) * g * g;
            for (sum, x) in sums.iter_mut().zip([p, s.update(p, *m, *v)]) {
                *sum += x.to_f64() * x.to_f64();
            }
        }
        sums
    }

    fn update(piece: Self::Buffers<'_>, sums: [f64; 2]) {
        let (param, _, exp_avg, exp_avg_sq, Shared(s)) = piece;
        let [param_norm, update_norm] = sums.map(f64::sqrt);
        let is_zero = param_norm == 0.0 || update_norm == 0.0;
        let ratio = if is_zero { 1.0 } else { (param_norm / update_norm).min(s.trust_clip) };
        let rate = T::from_f64(s.lr * ratio);
        for (p, (m, v)) in param.iter_mut().zip(exp_avg.iter().zip(exp_avg_sq.iter())) {
            *p = *p - rate * s.update(*p, *m, *v);
        }
    }
}
