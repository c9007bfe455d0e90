//! A step that fails changes nothing, and the next one works.

use adamant_optim::*;
use adamant_tensor::{Array, Parameter, StateDict, Stateful, Tensor};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Plain descent, for which there is no memory for parameters of three elements at low rates.
#[derive(Clone, Debug)]
struct Greedy {
    lr: f64,
}

impl Hyperparameters for Greedy {
    const OPTIMIZER: &'static str = "Greedy";

    fn fields(&mut self, fields: &mut Fields<'_>) {
        fields.lr(&mut self.lr, ValidRange::AT_LEAST_0);
    }
}

impl Algorithm<f32> for Greedy {
    type State = ();
    type Buffers<'a> = (&'a mut [f32], &'a [f32], Shared<f32>);
    type Sums = ();

    fn prepare(&self, _step: u64, state: Option<&()>, shape: &[usize]) -> Option<()> {
        if shape == [3] && self.lr < 0.5 {
            let _: Array<f32> = zeros(&[1 << 45]);
        }
        state.is_none().then_some(())
    }

    fn buffers<'a>(
        &self,
        _step: u64,
        (): &'a mut (),
        param: &'a mut [f32],
        grad: &'a [f32],
    ) -> Self::Buffers<'a> {
        (param, grad, Shared(self.lr as f32))
    }

    fn update((param, grad, Shared(lr)): Self::Buffers<'_>, (): ()) {
        param.iter_mut().zip(grad).for_each(|(p, g)| *p -= lr * g);
    }
}

fn parameter(len: usize) -> Parameter {
    let p = Parameter::new(Tensor::ones([len]));
    p.set_grad(Some(Tensor::ones([len])));
    p
}

fn everything<A: Algorithm<f32>>(
    params: &[Parameter],
    optimizer: &GroupOptimizer<f32, A>,
) -> (Vec<Vec<f32>>, StateDict) {
    (params.iter().map(|p| p.tensor().to_vec()).collect(), optimizer.state_dict())
}

/// The message of the panic.
fn failure(step: impl FnOnce()) -> String {
    *catch_unwind(AssertUnwindSafe(step)).unwrap_err().downcast().unwrap()
}

#[test]
fn a_step_without_memory_changes_nothing() {
    let params = [2, 3, 4].map(parameter);
    let mut greedy = GroupOptimizer::new(params.clone(), Greedy { lr: 0.25 }).unwrap();
    let before = everything(&params, &greedy);
    assert!(failure(|| greedy.step()).contains("out of memory"));
    assert_eq!(everything(&params, &greedy), before);
    assert!(greedy.state(&params[0]).is_none());

    params[1].set_grad(None);
    greedy.step();
    assert_eq!(params[0].tensor().to_vec(), [0.75; 2]);
    params[1].set_grad(Some(Tensor::ones([3])));
    let before = everything(&params, &greedy);
    assert!(failure(|| greedy.step()).contains("out of memory"));
    assert_eq!(everything(&params, &greedy), before);

    greedy.set_lr(0, 1.0).unwrap();
    greedy.step();
    let steps = params.each_ref().map(|p| greedy.state(p).unwrap().step());
    assert_eq!((params[0].tensor().to_vec(), steps), (vec![-0.25; 2], [2, 1, 2]));
}

#[test]
fn a_step_while_a_value_is_written_changes_nothing() {
    let params = [2, 3].map(parameter);
    let mut adam = Adam::new(params.clone(), AdamOptions::default()).unwrap();
    adam.step();
    adam.update_param_group(0, |group| *group = group.amsgrad(true)).unwrap();
    let guard = params[1].value_mut();
    let before = everything(&params, &adam);
    let message = failure(|| adam.step());
    assert!(message.contains("step: the parameter is already being written to"), "{message}");
    assert_eq!(everything(&params, &adam), before);
    drop(guard);
    adam.step();
    let state = adam.state(&params[0]).unwrap();
    assert!(state.step() == 2 && state.max_exp_avg_sq().is_some());
}

#[test]
fn a_snapshot_keeps_its_moments() {
    let p = parameter(100);
    let mut adam = Adam::new([p.clone()], AdamOptions::default().amsgrad(true)).unwrap();
    adam.step();
    let snapshot = adam.state_dict();
    let saved: Vec<f32> = adam.state(&p).unwrap().exp_avg().to_vec();
    adam.step();
    let name = "groups.0.params.0.exp_avg";
    assert_eq!(snapshot.get(name).unwrap().array::<f32>().unwrap().to_vec(), saved);
    assert_ne!(adam.state(&p).unwrap().exp_avg().to_vec(), saved);
}
