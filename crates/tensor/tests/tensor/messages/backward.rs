//! Each mistake with a backward pass has its own message, at the line that made it.

use crate::mistakes::{Mistakes, here};
use adamant_tensor::{GradOptions, Tensor, checkpoint, grad};

fn leaf() -> Tensor<f64> {
    Tensor::from_vec(vec![1.0, 2.0], [2]).unwrap().requires_grad()
}

const NOT_TRACKED: &str = "the tensor is not tracked: it was not computed from anything that";
const SINGLE: &str = "the output has shape [2]; expected a single element";
const ARRIVES: &str = "the gradient has shape [3]; expected the output's shape [2]";

#[test]
fn backward_mistakes_panic_at_the_callers_line() {
    let (x, untracked, long) = (leaf(), leaf().detach().sum(), Tensor::ones([3]));
    let plain = GradOptions::default();
    let mut mistakes = Mistakes::default();
    let mut check = |expected: &str, mistake: &dyn Fn()| mistakes.check(expected, mistake);

    check(&format!("backward: {SINGLE}"), &|| here!(x.backward()));
    check(&format!("backward: {NOT_TRACKED}"), &|| here!(untracked.backward()));
    check(&format!("backward_retain_graph: {NOT_TRACKED}"), &|| {
        here!(untracked.backward_retain_graph());
    });
    check("backward: the graph of `mul` (", &|| {
        let y = &x * &x;
        (&y * 1.0).sum().backward();
        let again = y.sum();
        here!(again.backward());
    });

    check(&format!("backward_with: {ARRIVES}"), &|| here!(x.backward_with(&long)));
    check(&format!("backward_with: {NOT_TRACKED}"), &|| here!(untracked.backward_with(&untracked)));

    let y = x.sum();
    check("grad: no output depends on input 1, of shape [2]; with allow_unused", &|| {
        let y = x.sum();
        here!(grad(&y, &[&x, &leaf()], plain));
    });
    check("grad: input 0, of shape [], is not tracked", &|| here!(grad(&y, &[&untracked], plain)));
    check(&format!("grad: {NOT_TRACKED}"), &|| here!(grad(&untracked, &[&x], plain)));
    check(&format!("grad: {SINGLE}"), &|| here!(grad(&x, &[&x], plain)));
    check(&format!("grad: output 1: {SINGLE}"), &|| here!(grad(&[&y, &x], &[&x], plain)));
    check(&format!("grad: {ARRIVES}"), &|| here!(grad((&x, &long), &[&x], plain)));

    check(
        "odd: backward returned a gradient of shape [3] for input 0; expected the input's shape [2]",
        &|| {
            let odd = Tensor::custom("odd", &[&x], x.detach(), |_| vec![Some(Tensor::ones([3]))]);
            let y = odd.sum();
            here!(y.backward());
        },
    );
    check("odd: backward returned 0 gradients; expected 1", &|| {
        let y = Tensor::custom("odd", &[&x], x.detach(), |_| vec![]).sum();
        here!(y.backward());
    });
    check("checkpoint: the segment has freed its own graph at `mul` (", &|| {
        let x = leaf();
        let segment = move || {
            let h = &x * &x;
            h.sum().backward();
            &h * 2.0
        };
        here!(checkpoint(segment));
    });
    check("register_hook: the tensor is not tracked", &|| here!(untracked.register_hook(|_| None)));
    check("register_hook: the hook returned a gradient of shape [3]; expected", &|| {
        let x = leaf();
        x.register_hook(|_| Some(Tensor::ones([3])));
        let y = x.sum();
        here!(y.backward());
    });

    mistakes.none_was_wrong();
}
