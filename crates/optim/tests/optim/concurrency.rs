//! A model that other threads read, and add gradients to, while it is trained.

use crate::watched::watched;
use adamant_optim::{Optimizer, Sgd, SgdOptions, clip_grad_value};
use adamant_tensor::{Parameter, Tensor, no_grad};
use std::sync::atomic::{AtomicBool, Ordering};

/// Enough elements for a kernel to use several threads.
const LARGE: usize = 1 << 18;

/// A parameter of zeros, and an optimizer whose step adds exactly 1 to each element.
fn counter(len: usize) -> (Parameter, Sgd) {
    let parameter = Parameter::new(Tensor::zeros([len]));
    parameter.set_grad(Some(Tensor::full([len], -1.0)));
    let sgd = Sgd::new([parameter.clone()], SgdOptions::default().lr(1.0)).unwrap();
    (parameter, sgd)
}

/// Reads until `done`. Every value is from between two steps, and not older than the previous one.
fn serve(parameter: &Parameter, done: &AtomicBool) {
    let mut last = 0.0;
    while !done.load(Ordering::Relaxed) {
        let values = no_grad(|| parameter.tensor() * 1.0).to_vec();
        assert!(values.iter().all(|x| *x == values[0]), "a mixture of two values");
        assert!(values[0] >= last, "an older value after a newer one");
        last = values[0];
    }
}

#[test]
fn threads_serve_from_a_model_in_training() {
    watched(|| {
        let (parameter, mut sgd) = counter(LARGE);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| serve(&parameter, &done));
            }
            (0..500).for_each(|_| sgd.step());
            done.store(true, Ordering::Relaxed);
        });
        assert_eq!(parameter.tensor().to_vec()[0], 500.0);
    });
}

#[test]
fn tasks_of_the_pool_serve_from_a_model_in_training() {
    watched(|| {
        let (parameter, mut sgd) = counter(LARGE);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        pool.scope(|scope| {
            let read = || {
                let values = parameter.tensor().to_vec();
                assert!(values.iter().all(|x| *x == values[0]), "a mixture of two values");
            };
            for _ in 0..100 {
                (0..4).for_each(|_| scope.spawn(move |_| read()));
                // While this waits for its other half, it may run a task that reads.
                rayon::join(|| sgd.step(), || (read(), read()));
            }
        });
        assert_eq!(parameter.tensor().to_vec()[0], 100.0);
    });
}

#[test]
fn optimizers_that_share_parameters_step_side_by_side() {
    watched(|| {
        let params: Vec<_> = (0..8).map(|_| Parameter::new(Tensor::zeros([1000]))).collect();
        params.iter().for_each(|p| p.set_grad(Some(Tensor::full([1000], -1.0))));
        let optimizer = |params: Vec<Parameter>| Sgd::new(params, SgdOptions::default().lr(1.0));
        let mut forwards = optimizer(params.clone()).unwrap();
        let mut backwards = optimizer(params.iter().rev().cloned().collect()).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| (0..2000).for_each(|_| forwards.step()));
            scope.spawn(|| (0..2000).for_each(|_| backwards.step()));
        });
        assert!(params.iter().all(|p| p.tensor().to_vec() == [4000.0; 1000]));
    });
}

#[test]
fn no_gradient_is_lost_while_another_thread_clips() {
    watched(|| {
        let parameter = Parameter::new(Tensor::<f32>::zeros([1000]));
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let clipping = scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    clip_grad_value(std::slice::from_ref(&parameter), 1e6); // changes nothing
                }
            });
            let pass = || (0..300).for_each(|_| parameter.tensor().sum().backward());
            let passes: Vec<_> = (0..4).map(|_| scope.spawn(pass)).collect();
            passes.into_iter().for_each(|pass| pass.join().unwrap());
            done.store(true, Ordering::Relaxed);
            clipping.join().unwrap();
        });
        assert_eq!(parameter.grad().unwrap().to_vec(), [1200.0; 1000]);
    });
}

#[test]
#[should_panic(expected = "step: the parameter is already being written to")]
fn a_step_while_a_guard_exists_is_refused() {
    let (parameter, mut sgd) = counter(2);
    let _guard = parameter.value_mut();
    sgd.step();
}
