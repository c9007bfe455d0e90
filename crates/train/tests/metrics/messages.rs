//! Each mistake with a metric has a message of its own, at the line that made it, and changes
//! nothing.

use crate::mistakes::{Mistakes, here};
use adamant_tensor::{Stateful, Tensor};
use adamant_train::*;
use std::cell::RefCell;

#[test]
fn mistakes_are_named_at_the_callers_line() {
    let mut mistakes = Mistakes::default();
    let mut check = |expected: &str, mistake: &dyn Fn()| mistakes.check(expected, mistake);
    let (logits, vector) = (Tensor::<f32>::ones([2, 3]), Tensor::<f32>::ones([2]));

    check("Accuracy::top_k: k is 0; expected at least 1", &|| here!(Accuracy::new().top_k(0)));
    let accuracy = RefCell::new(Accuracy::new());
    let update = "Accuracy::update";
    check(&format!("{update}: logits has shape [2]; expected [N, C]"), &|| {
        here!(accuracy.borrow_mut().update(&vector, &[0, 1]));
    });
    check(&format!("{update}: targets has 1 elements; expected 2, one for each sample"), &|| {
        here!(accuracy.borrow_mut().update(&logits, &[0]));
    });
    check(&format!("{update}: targets[1] is 3; expected a class below 3"), &|| {
        here!(accuracy.borrow_mut().update(&logits, &[0, 3]));
    });
    check(&format!("{update}: top_k is 4; expected at most the 3 classes"), &|| {
        here!(Accuracy::new().top_k(4).update(&logits, &[0, 1]));
    });
    check("Accuracy::update_predictions: top_k is 2; expected 1, for a single", &|| {
        here!(Accuracy::new().top_k(2).update_predictions(&[0], &[0]));
    });
    check("Accuracy::update_predictions: targets has 2 elements; expected 1", &|| {
        here!(accuracy.borrow_mut().update_predictions(&[0], &[0, 1]));
    });
    check("Accuracy::merge: top_k of other is 2; expected 1", &|| {
        here!(accuracy.borrow_mut().merge(&Accuracy::new().top_k(2)));
    });
    assert_eq!(*accuracy.borrow(), Accuracy::new());

    check("ConfusionMatrix: classes is 0; expected at least 1", &|| here!(ConfusionMatrix::new(0)));
    let matrix = RefCell::new(ConfusionMatrix::new(3));
    let update = "ConfusionMatrix::update";
    for wrong in [&vector, &Tensor::ones([2, 4])] {
        check(&format!("{update}: logits has shape {:?}", wrong.shape()), &|| {
            here!(matrix.borrow_mut().update(wrong, &[0, 1]));
        });
    }
    check(&format!("{update}: targets has 3 elements; expected 2"), &|| {
        here!(matrix.borrow_mut().update(&logits, &[0, 1, 2]));
    });
    check(&format!("{update}: targets[0] is 7; expected a class below 3"), &|| {
        here!(matrix.borrow_mut().update(&logits, &[7, 1]));
    });
    check(&format!("{update}_predictions: predictions[1] is 3; expected a class below 3"), &|| {
        here!(matrix.borrow_mut().update_predictions(&[0, 3], &[0, 1]));
    });
    check("ConfusionMatrix::get: prediction is 3; expected a class below 3", &|| {
        here!(matrix.borrow().get(0, 3));
    });
    check("ConfusionMatrix::get: target is 5; expected a class below 3", &|| {
        here!(matrix.borrow().get(5, 0));
    });
    check("ConfusionMatrix::merge: classes of other is 2; expected 3", &|| {
        here!(matrix.borrow_mut().merge(&ConfusionMatrix::new(2)));
    });
    assert_eq!(*matrix.borrow(), ConfusionMatrix::new(3));

    check("Auroc::with_classes: classes is 1; expected at least 2", &|| {
        here!(Auroc::with_classes(1));
    });
    let (binary, several) = (RefCell::new(Auroc::new()), RefCell::new(Auroc::with_classes(3)));
    check("Auroc::update: scores has shape [2, 3]; expected [N] or [N, 1]", &|| {
        here!(binary.borrow_mut().update(&logits, &[0, 1]));
    });
    check("Auroc::update: scores has shape [2]; expected [N, 3]", &|| {
        here!(several.borrow_mut().update(&vector, &[0, 1]));
    });
    check("Auroc::update: targets has 0 elements; expected 2", &|| {
        here!(several.borrow_mut().update(&logits, &[]));
    });
    check("Auroc::update: targets[1] is 2; expected a class below 2", &|| {
        here!(binary.borrow_mut().update(&vector, &[0, 2]));
    });
    check("Auroc::merge: other has 3 scores for each sample; expected 1", &|| {
        here!(binary.borrow_mut().merge(&several.borrow()));
    });
    assert_eq!(*binary.borrow(), Auroc::new());

    check("RegressionErrors::with_outputs: outputs is 0; expected at least 1", &|| {
        here!(RegressionErrors::with_outputs(0));
    });
    let errors = RefCell::new(RegressionErrors::with_outputs(2));
    let update = "RegressionErrors::update";
    check(&format!("{update}: predictions has shape [2, 3]; expected […, 2]"), &|| {
        here!(errors.borrow_mut().update(&logits, &logits));
    });
    check(&format!("{update}: targets has shape [2]; expected [2, 1], as predictions"), &|| {
        here!(RegressionErrors::new().update(&Tensor::ones([2, 1]), &vector));
    });
    check("RegressionErrors::merge: outputs of other is 1; expected 2", &|| {
        here!(errors.borrow_mut().merge(&RegressionErrors::new()));
    });
    let new = RegressionErrors::with_outputs(2);
    assert_eq!(errors.borrow().state_dict(), new.state_dict());
    mistakes.none_was_wrong();
}
