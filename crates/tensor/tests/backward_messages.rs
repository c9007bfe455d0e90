//! Each mistake with a backward pass has a message of its own, at the line that made it.

use adamant_tensor::{GradOptions, Tensor, grad};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

thread_local! {
    static LINE: Cell<u32> = const { Cell::new(0) };
    static MESSAGE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Notes the line that is to be blamed.
macro_rules! here {
    ($mistake:expr) => {{
        LINE.set(line!());
        let _ = $mistake;
    }};
}

fn leaf() -> Tensor<f64> {
    Tensor::from_vec(vec![1.0, 2.0], [2]).unwrap().requires_grad()
}

const NOT_TRACKED: &str = "the tensor is not tracked: nothing that it was computed from requires a";
const SINGLE: &str = "a pass starts from a single number, not from a tensor of shape [2]";
const ARRIVES: &str = "the tensor has shape [2], the gradient that is to arrive there [3]";

#[test]
fn each_mistake_is_said_at_the_line_that_makes_it() {
    let (x, untracked, long) = (leaf(), leaf().detach().sum(), Tensor::ones([3]));
    let plain = GradOptions::default();
    set_hook(Box::new(|info| MESSAGE.set(info.to_string())));
    let mut wrong = Vec::new();
    let mut check = |expected: &str, mistake: &dyn Fn()| {
        let result = catch_unwind(AssertUnwindSafe(mistake));
        let (message, place) = (MESSAGE.take(), format!("{}:{}:", file!(), LINE.get()));
        let at_place = message.strip_prefix("panicked at ").is_some_and(|m| m.starts_with(&place));
        if result.is_ok() || !at_place || !message.contains(expected) {
            wrong.push(format!("{expected} at {place}\nfound: {message}"));
        }
    };

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
    check("grad: no output depends on input 1, of shape [2]; allow_unused gives zeros", &|| {
        let y = x.sum();
        here!(grad(&y, &[&x, &leaf()], plain));
    });
    check("grad: input 0, of shape [], is not tracked", &|| here!(grad(&y, &[&untracked], plain)));
    check(&format!("grad: {NOT_TRACKED}"), &|| here!(grad(&untracked, &[&x], plain)));
    check(&format!("grad: {SINGLE}"), &|| here!(grad(&x, &[&x], plain)));
    check(&format!("grad: output 1: {SINGLE}"), &|| here!(grad(&[&y, &x], &[&x], plain)));
    check(&format!("grad: {ARRIVES}"), &|| here!(grad((&x, &long), &[&x], plain)));

    check("odd: backward gives input 0 a gradient of its shape: [2], not [3]", &|| {
        let odd = Tensor::custom("odd", &[&x], x.detach(), |_| vec![Some(Tensor::ones([3]))]);
        let y = odd.sum();
        here!(y.backward());
    });
    check("odd: backward gives a gradient for each input: 1 of them, not 0", &|| {
        let y = Tensor::custom("odd", &[&x], x.detach(), |_| vec![]).sum();
        here!(y.backward());
    });
    check("register_hook: the tensor is not tracked", &|| here!(untracked.register_hook(|_| None)));
    check("register_hook: the gradient has shape [2], but the hook gave one of shape [3]", &|| {
        let x = leaf();
        x.register_hook(|_| Some(Tensor::ones([3])));
        let y = x.sum();
        here!(y.backward());
    });

    let _ = take_hook();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
