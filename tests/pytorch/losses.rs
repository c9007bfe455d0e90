//! Losses and their gradients equal PyTorch's. Fixtures: `tests/fixtures/losses.py`, which has the
//! same cases under the same names.

use crate::cases::{Cases, leaf};
use crate::common::numbers;
use adamant::nn::*;
use adamant::prelude::*;
use adamant::tensor::{Float, Indices};

struct Losses<'a, T: Float> {
    cases: &'a Cases,
    reduction: Reduction,
    name: &'static str,
    _type: std::marker::PhantomData<T>,
}

impl<T: Float> Losses<'_, T> {
    fn case(&self, name: &str, shapes: &[&[usize]], loss: impl Fn(&[Tensor<T>]) -> Tensor<T>) {
        self.scaled(name, 4.0, shapes, loss);
    }

    fn scaled(
        &self,
        name: &str,
        scale: f64,
        shapes: &[&[usize]],
        loss: impl Fn(&[Tensor<T>]) -> Tensor<T>,
    ) {
        let input = |(shape, seed): (&&[usize], u64)| numbers(seed, shape, scale).requires_grad();
        let inputs: Vec<Tensor<T>> = shapes.iter().zip(1..).map(input).collect();
        let name = format!("{name} {}", self.name);
        self.cases.compare(&name, &inputs, &[loss(&inputs)], None);
    }

    fn cross_entropies(&self) {
        let r = self.reduction;
        let weights = [0.5, 2.0, 1.25, 0.0, 1.0].map(T::from_f64).to_vec();
        let w5 = Tensor::from_vec(weights, [5]).unwrap();
        let w3 = w5.narrow(0, 0, 3);
        let (one, some) = ([2, 0, 1, 2], [2, 100, 1, 100]);
        let many = Indices::from([[4, 0, 3], [1, 1, 0]]);
        let ce = || CrossEntropyLoss::new().reduction(r);
        let all = || ce().weight(&w3).label_smoothing(0.1);
        let rows: &[&[usize]] = &[&[4, 3]];
        let two: &[&[usize]] = &[&[4, 3], &[4, 3]];
        self.case("ce", rows, |x| ce().loss(&x[0], &one));
        self.case("ce weight", rows, |x| ce().weight(&w3).loss(&x[0], &one));
        self.case("ce smooth", rows, |x| ce().label_smoothing(0.1).loss(&x[0], &one));
        self.case("ce all", rows, |x| all().ignore_index(100).loss(&x[0], &some));
        self.case("ce ignore", rows, |x| ce().ignore_index(2).loss(&x[0], &one));
        self.case("ce class", rows, |x| all().ignore_index(2).loss(&x[0], &one));
        self.case("ce soft", two, |x| ce().loss(&x[0], &x[1].softmax(1)));
        self.case("ce soft all", two, |x| all().loss(&x[0], &x[1].softmax(1)));
        let places: &[&[usize]] = &[&[2, 5, 3]];
        let weighted = || ce().weight(&w5).label_smoothing(0.3);
        self.case("ce places", places, |x| weighted().loss(&x[0], &many));
        self.case("ce places ignore", places, |x| ce().ignore_index(1).loss(&x[0], &many));
        let more: &[&[usize]] = &[&[2, 5, 3, 2], &[2, 5, 3, 2]];
        self.case("ce soft places", more, |x| ce().weight(&w5).loss(&x[0], &x[1].softmax(1)));
        self.case("ce one", &[&[3]], |x| ce().label_smoothing(0.2).loss(&x[0], &[1]));
        let nll = || NllLoss::new().reduction(r);
        self.case("nll", rows, |x| nll().loss(&x[0], &one));
        let all = || nll().weight(&w5).ignore_index(1);
        self.case("nll all", places, |x| all().loss(&x[0], &many));
    }

    fn linear_cross_entropies(&self) {
        let w3 = [0.5, 2.0, 1.25].map(T::from_f64).to_vec();
        let w3 = Tensor::from_vec(w3, [3]).unwrap();
        let (one, some) = ([2, 0, 1, 2], [2, 100, 1, 100]);
        let ce = || CrossEntropyLoss::new().reduction(self.reduction);
        let all = || ce().weight(&w3).label_smoothing(0.1);
        let linear = |loss: CrossEntropyLoss<T>, x: &[Tensor<T>], targets: &[usize]| {
            loss.loss_of_linear(&x[0], &x[1], x.get(2), targets)
        };
        let three: &[&[usize]] = &[&[4, 2], &[3, 2], &[3]];
        self.case("linear", three, |x| linear(ce(), x, &one));
        self.case("linear plain", &three[..2], |x| linear(ce(), x, &one));
        self.case("linear weight", three, |x| linear(ce().weight(&w3), x, &one));
        self.case("linear smooth", three, |x| linear(ce().label_smoothing(0.1), x, &one));
        self.case("linear all", three, |x| linear(all().ignore_index(100), x, &some));
        self.case("linear class", three, |x| linear(all().ignore_index(2), x, &one));
        let smooth = || ce().label_smoothing(0.2);
        self.case("linear one", &[&[2], &[3, 2], &[3]], |x| linear(smooth(), x, &[1]));
    }

    fn regressions(&self) {
        let r = self.reduction;
        let two: &[&[usize]] = &[&[3, 5], &[3, 5]];
        self.case("mse", two, |x| MseLoss::new().reduction(r).loss(&x[0], &x[1]));
        self.case("l1", two, |x| L1Loss::new().reduction(r).loss(&x[0], &x[1]));
        let smooth = SmoothL1Loss::new().reduction(r);
        self.case("smooth_l1", two, |x| smooth.loss(&x[0], &x[1]));
        self.case("smooth_l1 beta", two, |x| smooth.beta(0.7).loss(&x[0], &x[1]));
        self.case("smooth_l1 zero", two, |x| smooth.beta(0.0).loss(&x[0], &x[1]));
        let huber = HuberLoss::new().reduction(r);
        self.case("huber", two, |x| huber.loss(&x[0], &x[1]));
        self.case("huber delta", two, |x| huber.delta(1.7).loss(&x[0], &x[1]));
    }

    fn probabilities(&self) {
        let r = self.reduction;
        let two: &[&[usize]] = &[&[4, 3], &[4, 3]];
        let vector =
            |values: [f64; 3]| Tensor::from_vec(values.map(T::from_f64).to_vec(), [3]).unwrap();
        let (weight, pos_weight) = (vector([0.5, 2.0, 1.25]), vector([1.25, 2.0, 0.5]));
        let half = |x: &Tensor<T>| x + T::from_f64(0.5); // from values in ±0.5
        let bce = || BceLoss::new().reduction(r);
        self.scaled("bce", 1.0, two, |x| bce().loss(&half(&x[0]), &half(&x[1])));
        let weighted = || bce().weight(&weight);
        self.scaled("bce weight", 1.0, two, |x| weighted().loss(&half(&x[0]), &half(&x[1])));
        let logits = || BceWithLogitsLoss::new().reduction(r);
        self.case("logits", two, |x| logits().loss(&x[0], &x[1]));
        self.scaled("logits large", 300.0, two, |x| logits().loss(&x[0], &x[1]));
        let weighted = || logits().weight(&weight).pos_weight(&pos_weight);
        self.case("logits weights", two, |x| weighted().loss(&x[0], &x[1]));
        let kl = KlDivLoss::new().reduction(r);
        self.case("kl", two, |x| kl.loss(&x[0], &x[1].softmax(1)));
        self.case("kl log", two, |x| kl.log_target(true).loss(&x[0], &x[1]));
    }

    fn distances(&self) {
        let r = self.reduction;
        let two: &[&[usize]] = &[&[4, 3], &[4, 3]];
        let three: &[&[usize]] = &[&[4, 3], &[4, 3], &[4, 3]];
        let signs = [1.0, -1.0, -1.0, 1.0].map(T::from_f64).to_vec();
        let signs = Tensor::from_vec(signs, [4]).unwrap();
        let cosine = CosineEmbeddingLoss::new().reduction(r);
        self.case("cosine", two, |x| cosine.loss(&x[0], &x[1], &signs));
        self.case("cosine margin", two, |x| cosine.margin(-0.4).loss(&x[0], &x[1], &signs));
        let same = Tensor::scalar(T::ONE);
        self.case("cosine one", &[&[3], &[3]], |x| cosine.loss(&x[0], &x[1], &same));
        let triplet = TripletMarginLoss::new().reduction(r);
        self.case("triplet", three, |x| triplet.loss(&x[0], &x[1], &x[2]));
        let swap = triplet.swap(true).margin(2.0).eps(0.1);
        self.case("triplet swap", three, |x| swap.loss(&x[0], &x[1], &x[2]));
        let one = triplet.p(1.0).margin(2.0);
        self.case("triplet one", three, |x| one.loss(&x[0], &x[1], &x[2]));
        for p in [0.5, 3.0, f64::NEG_INFINITY] {
            let order = triplet.p(p).margin(2.0);
            let name = format!("triplet order {p:?}");
            self.case(&name, three, |x| order.loss(&x[0], &x[1], &x[2]));
        }
        let largest = triplet.p(f64::INFINITY).margin(2.0);
        self.case("triplet largest", three, |x| largest.loss(&x[0], &x[1], &x[2]));
    }
}

fn all<T: Float>(file: &str, tolerance: f64) {
    let reductions =
        [(Reduction::Mean, "mean"), (Reduction::Sum, "sum"), (Reduction::None, "none")];
    let cases = &Cases::of(file, tolerance);
    for (reduction, name) in reductions {
        let losses = Losses::<T> { cases, reduction, name, _type: std::marker::PhantomData };
        losses.cross_entropies();
        losses.linear_cross_entropies();
        losses.regressions();
        losses.probabilities();
        losses.distances();
    }
    let [x, y] = [1, 2].map(|seed| leaf::<T>(seed, &[4, 3]));
    let value = KlDivLoss::new().batchmean().loss(&x, &y.softmax(1));
    cases.compare("kl batchmean", &[x, y], &[value], None);
    cases.finish(None);
}

#[test]
fn losses_and_gradients_in_f32() {
    all::<f32>("losses_f32", 1e-5);
}

#[test]
fn losses_and_gradients_in_f64() {
    all::<f64>("losses_f64", 1e-10);
}
