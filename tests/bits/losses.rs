//! Losses, with all reductions.

use crate::hashes::Hashes;
use adamant::prelude::*;
use adamant::tensor::Float;

pub(crate) fn add(hashes: &mut Hashes) {
    for reduction in [Reduction::Mean, Reduction::Sum, Reduction::None] {
        all::<f32>(hashes, reduction);
        all::<f64>(hashes, reduction);
    }
}

fn all<T: Float>(hashes: &mut Hashes, reduction: Reduction) {
    let mut case = |name: &str, run: &dyn Fn(&[Tensor<T>]) -> Tensor<T>| {
        let rng = &mut Generator::seed(3);
        let leaves: Vec<_> =
            (0..3).map(|_| Tensor::uniform([64, 37], -3.0, 3.0, rng).requires_grad()).collect();
        let name = format!("loss: {name} {reduction:?}");
        hashes.add_with_gradients(&name, vec![run(&leaves)], &leaves);
    };
    let targets: Vec<usize> = (0..64).map(|i| i * 7 % 37).collect();
    let weight = Tensor::<T>::uniform([37], 0.5, 2.0, &mut Generator::seed(4));
    let signs: Vec<T> = (0..64).map(|i| T::from_f64(f64::from(i % 3 - 1).signum())).collect();
    let signs = Tensor::from_vec(signs, [64]).unwrap();

    let ce = || CrossEntropyLoss::new().reduction(reduction);
    case("CrossEntropyLoss", &|x| ce().loss(&x[0], &targets));
    let all = || ce().weight(&weight).label_smoothing(0.1).ignore_index(7);
    case("CrossEntropyLoss weight", &|x| all().loss(&x[0], &targets));
    case("CrossEntropyLoss soft", &|x| ce().loss(&x[0], &x[1].softmax(1)));
    case("CrossEntropyLoss linear", &|x| ce().loss_of_linear(&x[0], &x[1], None, &targets));
    let nll = || NllLoss::new().reduction(reduction).weight(&weight);
    case("NllLoss", &|x| nll().loss(&x[0].log_softmax(1), &targets));
    case("MseLoss", &|x| MseLoss::new().reduction(reduction).loss(&x[0], &x[1]));
    case("L1Loss", &|x| L1Loss::new().reduction(reduction).loss(&x[0], &x[1]));
    case("SmoothL1Loss", &|x| SmoothL1Loss::new().reduction(reduction).loss(&x[0], &x[1]));
    case("HuberLoss", &|x| HuberLoss::new().reduction(reduction).loss(&x[0], &x[1]));
    let bce = || BceLoss::new().reduction(reduction);
    case("BceLoss", &|x| bce().loss(&x[0].sigmoid(), &x[1].sigmoid()));
    let logits = || BceWithLogitsLoss::new().reduction(reduction).pos_weight(&weight);
    case("BceWithLogitsLoss", &|x| logits().loss(&x[0], &x[1].sigmoid()));
    let kl = KlDivLoss::new().reduction(reduction);
    case("KlDivLoss", &|x| kl.loss(&x[0].log_softmax(1), &x[1].softmax(1)));
    case("KlDivLoss log", &|x| kl.log_target(true).loss(&x[0], &x[1]));
    let cosine = CosineEmbeddingLoss::new().reduction(reduction);
    case("CosineEmbeddingLoss", &|x| cosine.loss(&x[0], &x[1], &signs));
    let triplet = TripletMarginLoss::new().reduction(reduction).margin(9.0).swap(true);
    case("TripletMarginLoss", &|x| triplet.loss(&x[0], &x[1], &x[2]));
    case("TripletMarginLoss 3", &|x| triplet.p(3.0).loss(&x[0], &x[1], &x[2]));
}
