//! An optimizer from outside: what it gets from the public API, and that it behaves as ours do.

mod optimizer;

use adamant::prelude::*;
use adamant::tensor::Float;
use optimizer::{Lamb, LambOptions};

/// Enough elements for several pieces.
const LARGE: usize = 300_000;

fn values<T: Float>(seed: usize, len: usize) -> Tensor<T> {
    let value = |i: usize| ((i * 31 + seed * 17) % 1009) as f64 / 500.0 - 1.0;
    Tensor::from_vec((0..len).map(|i| T::from_f64(value(i))).collect(), [len]).unwrap()
}

fn parameters<T: Float>() -> Vec<Parameter<T>> {
    let lengths = [7, LARGE, 1, 0].iter().enumerate();
    lengths.map(|(seed, &len)| Parameter::new(values(seed, len))).collect()
}

/// Gradients of step `step`; now and then there is none.
fn set_grads<T: Float>(params: &[Parameter<T>], step: usize) {
    for (i, p) in params.iter().enumerate() {
        let is_none = (step + i).is_multiple_of(5);
        p.set_grad((!is_none).then(|| values(100 + 10 * step + i, p.numel())));
    }
}

fn run<T: Float>(lamb: &mut Lamb<T>, params: &[Parameter<T>], steps: std::ops::Range<usize>) {
    for step in steps {
        set_grads(params, step);
        lamb.step();
    }
}

fn bits(params: &[Parameter<f32>]) -> Vec<u32> {
    params.iter().flat_map(|p| p.tensor().to_vec()).map(f32::to_bits).collect()
}

/// LAMB by the book, for one parameter in `f64`.
struct Reference {
    p: Vec<f64>,
    m: Vec<f64>,
    v: Vec<f64>,
    t: i32,
}

impl Reference {
    fn new(p: &[f64]) -> Self {
        Reference { p: p.to_vec(), m: vec![0.0; p.len()], v: vec![0.0; p.len()], t: 0 }
    }

    fn step(&mut self, grad: &[f64], o: &LambOptions) {
        self.t += 1;
        let (b1, b2) = o.betas;
        let mut update = vec![0.0; grad.len()];
        for i in 0..grad.len() {
            self.m[i] = b1 * self.m[i] + (1.0 - b1) * grad[i];
            self.v[i] = b2 * self.v[i] + (1.0 - b2) * grad[i] * grad[i];
            let (m, v) = (self.m[i] / (1.0 - b1.powi(self.t)), self.v[i] / (1.0 - b2.powi(self.t)));
            update[i] = m / (v.sqrt() + o.eps) + o.weight_decay * self.p[i];
        }
        let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
        let (p, u) = (norm(&self.p), norm(&update));
        let ratio = if p > 0.0 && u > 0.0 { (p / u).min(o.trust_clip) } else { 1.0 };
        self.p.iter_mut().zip(update).for_each(|(p, u)| *p -= o.lr * ratio * u);
    }
}

fn follows_the_reference<T: Float>(tolerance: f64) {
    let params = parameters::<T>();
    let to_f64 = |x: Tensor<T>| x.to_vec().into_iter().map(T::to_f64).collect::<Vec<f64>>();
    let mut references: Vec<Reference> =
        params.iter().map(|p| Reference::new(&to_f64(p.tensor()))).collect();
    let options = LambOptions { lr: 0.02, trust_clip: 0.9, ..LambOptions::default() };
    let mut lamb = Lamb::new(params.clone(), options.clone()).unwrap();
    for step in 0..12 {
        set_grads(&params, step);
        for (reference, p) in references.iter_mut().zip(&params) {
            if let Some(grad) = p.grad() {
                reference.step(&to_f64(grad), &options);
            }
        }
        lamb.step();
        for (reference, p) in references.iter().zip(&params) {
            for (found, expected) in to_f64(p.tensor()).into_iter().zip(&reference.p) {
                assert!((found - expected).abs() < tolerance, "{step}: {found} {expected}");
            }
        }
    }
}

#[test]
fn steps_follow_the_reference() {
    follows_the_reference::<f64>(1e-12);
    follows_the_reference::<f32>(1e-5);
}

#[test]
fn the_bits_do_not_depend_on_the_number_of_threads() {
    let test = "lamb::the_bits_do_not_depend_on_the_number_of_threads";
    crate::threads::assert_same_on_any_number_of_threads(test, || {
        let params = parameters();
        run(&mut Lamb::new(params.clone(), LambOptions::default()).unwrap(), &params, 0..10);
        bits(&params).into_iter().fold(0, |digest: u64, bits| {
            digest.wrapping_mul(0x0100_0000_01b3).wrapping_add(u64::from(bits))
        })
    });
}

#[test]
fn a_restored_run_continues_to_the_same_bits() {
    let params = parameters::<f32>();
    let options = LambOptions { lr: 0.02, weight_decay: 0.1, ..LambOptions::default() };
    let mut lamb = Lamb::new(params.clone(), options).unwrap();
    let mut schedule = StepLr::new(&lamb, 3, 0.5);
    run(&mut lamb, &params, 0..4);
    schedule.step(&mut lamb);
    let saved = Checkpoint::new().with("lamb", &lamb).with("schedule", &schedule);

    let copies: Vec<Parameter> =
        params.iter().map(|p| Parameter::new(p.tensor().detach())).collect();
    let other =
        LambOptions { lr: 1.0, betas: (0.1, 0.2), eps: 0.5, weight_decay: 0.0, trust_clip: 1.0 };
    let mut restored = Lamb::new(copies.clone(), other).unwrap();
    let mut schedule = StepLr::new(&restored, 5, 0.9);
    saved.restore(&mut [("lamb", &mut restored), ("schedule", &mut schedule)]).unwrap();
    assert_eq!(restored.state_dict(), lamb.state_dict());
    run(&mut lamb, &params, 4..10);
    run(&mut restored, &copies, 4..10);
    assert_eq!(bits(&params), bits(&copies));
    assert_eq!(restored.state_dict(), lamb.state_dict());
}

#[test]
fn groups_are_added_and_hyperparameters_checked() {
    let [a, b, c] = [3, 4, 5].map(|len| Parameter::<f32>::new(values(len, len)));
    let named = vec![("a".to_string(), a.clone())];
    let mut lamb = Lamb::new(named, LambOptions::default()).unwrap();
    lamb.add_param_group(ParamGroup::new([b]).lr(0.1).betas(0.8, 0.9).set("trust_clip", 2))
        .unwrap();
    let group = &lamb.param_groups()[1];
    assert_eq!((group.lr, group.betas, group.trust_clip, group.eps), (0.1, (0.8, 0.9), 2.0, 1e-6));

    let group = || ParamGroup::new([c.clone()]);
    for (group, expected) in [
        (group().nesterov(true), "parameter group 2: Lamb has no nesterov"),
        (group().set("trust", 1.0), "parameter group 2: Lamb has no trust"),
        (group().set("trust_clip", 0.0), "trust_clip is 0; expected a finite number above 0"),
        (group().set("trust_clip", true), "trust_clip is true; expected a number"),
        (ParamGroup::new([a.clone()]), "parameter 0 (shape [3]) is also in group 0"),
    ] {
        let error = lamb.add_param_group(group).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let mut state = lamb.state_dict();
    state.insert("groups.0.trust_clips", 1.0);
    state.insert("groups.1.trust_clip", -1.0);
    assert_eq!(lamb.load_state_dict(&state).unwrap_err().mismatches().len(), 2);

    OneCycleLr::new(&mut lamb, 0.1, 10);
    assert_eq!(lamb.param_groups()[1].betas.0, 0.95);
}
