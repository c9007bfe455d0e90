//! Processes that share an optimizer update the parameters to the bits of one process.

use adamant_optim::*;
use adamant_tensor::{Generator, Parameter, StateDict, Stateful, Tensor};
use adamant_transport::{Transport, run_threads};
use std::sync::Arc;

/// Descent by the gradient divided by its norm.
#[derive(Clone, Debug)]
struct Normalized {
    lr: f64,
}

impl Hyperparameters for Normalized {
    const OPTIMIZER: &'static str = "Normalized";

    fn fields(&mut self, fields: &mut Fields<'_>) {
        fields.lr(&mut self.lr, ValidRange::AT_LEAST_0);
    }
}

impl Algorithm<f32> for Normalized {
    type State = ();
    type Buffers<'a> = (&'a mut [f32], &'a [f32], Shared<f32>);
    type Sums = [f64; 1];

    fn buffers<'a>(
        &self,
        _step: u64,
        (): &'a mut (),
        param: &'a mut [f32],
        grad: &'a [f32],
    ) -> Self::Buffers<'a> {
        (param, grad, Shared(self.lr as f32))
    }

    fn measure((_, grad, _): Self::Buffers<'_>) -> [f64; 1] {
        [grad.iter().map(|&g| f64::from(g) * f64::from(g)).sum()]
    }

    fn update((param, grad, Shared(lr)): Self::Buffers<'_>, [square]: [f64; 1]) {
        let factor = lr / square.sqrt() as f32;
        param.iter_mut().zip(grad).for_each(|(p, g)| *p -= factor * g);
    }
}

/// Lengths below a block, of several blocks, and of several pieces.
const LENGTHS: [usize; 4] = [3, 50_000, 300_000, 1];

fn randn(len: usize, rng: &mut Generator) -> Tensor {
    Tensor::randn([len], rng)
}

/// Steps `from .. to` of a training, from a state if there is one: the values and the state afterwards.
fn train<A: Algorithm<f32>>(
    transport: Arc<dyn Transport>,
    options: A,
    steps: std::ops::Range<u64>,
    state: Option<&(Vec<Vec<f32>>, StateDict)>,
) -> (Vec<Vec<f32>>, StateDict) {
    let rng = &mut Generator::seed(1);
    let params: Vec<Parameter> = LENGTHS.map(|n| Parameter::new(randn(n, rng))).to_vec();
    let mut optimizer = GroupOptimizer::new(params[..3].to_vec(), options).unwrap();
    let add_late = |optimizer: &mut GroupOptimizer<f32, A>| {
        optimizer.add_param_group(ParamGroup::new([params[3].clone()]).lr(0.5)).unwrap();
    };
    // Shared before or after the state is there.
    let is_shared_first = steps.end.is_multiple_of(2);
    if is_shared_first {
        optimizer.share(transport.clone());
    }
    if let Some((values, state)) = state {
        for (p, value) in params.iter().zip(values) {
            p.set_value(&Tensor::from(value.clone()));
        }
        add_late(&mut optimizer);
        optimizer.load_state_dict(state).unwrap();
    }
    if !is_shared_first {
        optimizer.share(transport);
    }
    for step in steps {
        if step == 2 {
            add_late(&mut optimizer);
        }
        for (i, p) in params.iter().enumerate() {
            let rng = &mut Generator::from_key([step, i as u64, 0, 0]);
            let has_grad = !(step + i as u64).is_multiple_of(3);
            p.set_grad(has_grad.then(|| randn(p.numel(), rng)));
        }
        optimizer.step();
    }
    (params.iter().map(|p| p.tensor().to_vec()).collect(), optimizer.state_dict())
}

fn assert_shared<A: Algorithm<f32>>(options: &A) {
    type Trained = (Vec<Vec<f32>>, StateDict);
    let run = |ranks, steps: std::ops::Range<u64>, state: Option<&Trained>| {
        run_threads(ranks, |transport| train(transport, options.clone(), steps.clone(), state))
    };
    let halfway = run(1, 0..4, None).remove(0);
    let end = run(1, 4..7, Some(&halfway)).remove(0);
    for ranks in 2..5 {
        for (steps, state, expected) in [(0..4, None, &halfway), (4..7, Some(&halfway), &end)] {
            let trained = run(ranks, steps, state);
            assert!(trained.iter().all(|(values, _)| *values == expected.0), "{ranks} ranks");
            assert!(trained[0].1 == expected.1, "{ranks} ranks");
        }
    }
}

#[test]
fn adam_is_that_of_one_process() {
    assert_shared(&AdamOptions::default().lr(0.01).amsgrad(true));
}

#[test]
fn sgd_is_that_of_one_process() {
    assert_shared(&SgdOptions::default().lr(0.01).momentum(0.9).nesterov(true));
}

#[test]
fn sums_are_those_of_one_process() {
    assert_shared(&Normalized { lr: 0.1 });
}

#[test]
fn each_process_keeps_its_part_of_the_state() {
    let elements = run_threads(3, |transport| {
        let p = Parameter::new(Tensor::<f32>::ones([30_000]));
        let mut adam = Adam::new([p.clone()], AdamOptions::default()).unwrap();
        adam.share(transport);
        p.set_grad(Some(Tensor::ones([30_000])));
        adam.step();
        adam.state(&p).unwrap().exp_avg().to_vec().len()
    });
    assert_eq!(elements.iter().sum::<usize>(), 30_000);
    assert!(elements.iter().all(|&n| n.abs_diff(10_000) <= 4096), "{elements:?}");
}
