//! Algorithms and schedules of other crates: what they may rely on, and mistakes in them.

use crate::mistakes::{Mistakes, here};
use adamant_optim::*;
use adamant_tensor::{Parameter, Stateful, Tensor};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

fn parameter(len: usize) -> Parameter {
    let p = Parameter::new(Tensor::ones([len]));
    p.set_grad(Some(Tensor::ones([len])));
    p
}

/// The message of the panic.
fn failure(f: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(f)).unwrap_err();
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => (*panic.downcast::<&str>().unwrap()).to_string(),
    }
}

/// Descent with a rate above 0 and at most 1, whose first buffer has no elements of its own.
#[derive(Clone, Debug)]
struct Strict {
    lr: f64,
    momentum: f64,
}

const STRICT: Strict = Strict { lr: 0.5, momentum: 0.0 };

impl Hyperparameters for Strict {
    const OPTIMIZER: &'static str = "Strict";

    fn fields(&mut self, fields: &mut Fields<'_>) {
        const RATE: ValidRange = ValidRange::new(|x| x > 0.0 && x <= 1.0, "above 0, at most 1");
        fields.lr(&mut self.lr, RATE);
        fields.momentum("momentum", &mut self.momentum, ValidRange::BELOW_1);
    }
}

impl Algorithm<f32> for Strict {
    type State = ();
    type Buffers<'a> = (Shared<f32>, Option<&'a mut [f32]>, &'a mut [f32], &'a [f32]);
    type Sums = ();

    fn buffers<'a>(
        &self,
        _step: u64,
        (): &'a mut (),
        param: &'a mut [f32],
        grad: &'a [f32],
    ) -> Self::Buffers<'a> {
        (Shared(self.lr as f32), None, param, grad)
    }

    fn update((Shared(lr), _, param, grad): Self::Buffers<'_>, (): ()) {
        param.iter_mut().zip(grad).for_each(|(p, g)| *p -= lr * g);
    }
}

fn strict(lrs: [f64; 2]) -> GroupOptimizer<f32, Strict> {
    let groups = lrs.map(|lr| ParamGroup::new([parameter(2)]).lr(lr));
    GroupOptimizer::with_groups(groups, STRICT).unwrap()
}

#[test]
fn buffers_may_begin_with_a_scalar() {
    let p = parameter(3);
    let mut strict = GroupOptimizer::new([p.clone()], STRICT).unwrap();
    strict.step();
    assert_eq!(p.tensor().to_vec(), [0.5; 3]);
}

/// Descent that loses elements of the gradients of parameters of three.
#[derive(Clone, Debug)]
struct Short {
    lr: f64,
}

impl Hyperparameters for Short {
    const OPTIMIZER: &'static str = "Short";

    fn fields(&mut self, fields: &mut Fields<'_>) {
        fields.lr(&mut self.lr, ValidRange::AT_LEAST_0);
    }
}

impl Algorithm<f32> for Short {
    type State = ();
    type Buffers<'a> = (&'a mut [f32], &'a [f32]);
    type Sums = ();

    fn buffers<'a>(
        &self,
        _step: u64,
        (): &'a mut (),
        param: &'a mut [f32],
        grad: &'a [f32],
    ) -> Self::Buffers<'a> {
        let len = if grad.len() == 3 { 1 } else { grad.len() };
        (param, &grad[..len])
    }

    fn update((param, grad): Self::Buffers<'_>, (): ()) {
        param.iter_mut().zip(grad).for_each(|(p, g)| *p -= g);
    }
}

#[test]
fn buffers_of_another_length_are_refused() {
    let params = [2, 3].map(parameter);
    let mut short = GroupOptimizer::new(params.clone(), Short { lr: 1.0 }).unwrap();
    let message = failure(|| short.step());
    let expected = "Short: parameter group 0: parameter 1 (shape [3]): a buffer has 1 elements; \
                    expected 3";
    assert_eq!(message, expected);
    assert_eq!(params.map(|p| p.tensor().to_vec()), [vec![1.0; 2], vec![1.0; 3]]);
    assert_eq!(short.state_dict().keys().filter(|name| name.contains("step")).count(), 0);
}

#[test]
fn a_schedule_changes_every_group_or_none() {
    let mut optimizer = strict([0.5, 1.0]);
    let mut lambda = LambdaLr::new(&mut optimizer, |epoch| if epoch == 1 { 1.5 } else { 1.0 });
    optimizer.add_param_group(ParamGroup::new([parameter(1)])).unwrap();
    let before = (lambda.state_dict(), optimizer.state_dict());
    let message = failure(|| lambda.step(&mut optimizer));
    assert_eq!(message, "parameter group 1: lr is 1.5; expected above 0, at most 1");
    assert_eq!((lambda.state_dict(), optimizer.state_dict()), before);

    let mut optimizer = strict([0.5, 1.0]);
    let options = OneCycleLrOptions::default().div_factor(2.0).pct_start(0.5);
    let mut cycle = OneCycleLr::with_options(&mut optimizer, 2.0, 4, options);
    let before = (cycle.state_dict(), optimizer.state_dict());
    let message = failure(|| cycle.step(&mut optimizer));
    assert_eq!(message, "parameter group 0: lr is 2; expected above 0, at most 1");
    assert_eq!((cycle.state_dict(), optimizer.state_dict()), before);
}

#[test]
fn a_plateau_changes_every_group_or_none() {
    let mut strict = strict([1.0, 1e-300]);
    let options = ReduceLrOnPlateauOptions::default().patience(0).cooldown(3).eps(0.0);
    let mut plateau = ReduceLrOnPlateau::with_options(PlateauMode::Min, options.factor(1e-100));
    plateau.step(&mut strict, 1.0);
    let before = (plateau.state_dict(), strict.state_dict());
    let message = failure(|| plateau.step(&mut strict, 2.0));
    assert!(message.contains("group 1: lr is 0; expected above 0"), "{message}");
    assert_eq!((plateau.state_dict(), strict.state_dict()), before);
}

#[test]
fn refusals_are_at_the_callers_line() {
    let mut mistakes = Mistakes::default();
    let optimizer = RefCell::new(strict([1.0, 1e-300]));
    let options = ReduceLrOnPlateauOptions::default().patience(0).eps(0.0).factor(1e-100);
    let plateau = RefCell::new(ReduceLrOnPlateau::with_options(PlateauMode::Max, options));
    plateau.borrow_mut().step(&mut *optimizer.borrow_mut(), 1.0);
    mistakes.check("group 1: lr is 0; expected above 0", || {
        here!(plateau.borrow_mut().step(&mut *optimizer.borrow_mut(), 0.0));
    });
    mistakes.check("Decay: factor is 2; expected a number from 0 to 1", || {
        let decay = Decay { factor: 2.0, name: "factor" };
        here!(Schedule::with_rule(&mut *optimizer.borrow_mut(), decay));
    });
    let fields = |[lr, _]: &mut [f64; 2], fields: &mut Fields<'_>| {
        fields.float("lr", lr, ValidRange::ANY);
    };
    mistakes.check("Declared: 0 fields are declared by `Fields::lr`; expected 1", || {
        let options = Declared { values: [0.5; 2], fields };
        here!(GroupOptimizer::new([parameter(1)], options));
    });
    let short = RefCell::new(GroupOptimizer::new([parameter(3)], Short { lr: 1.0 }).unwrap());
    mistakes.check("a buffer has 1 elements; expected 3", || here!(short.borrow_mut().step()));
    mistakes.none_was_wrong();
}

#[test]
fn a_sequence_restarts_every_group_or_none() {
    let mut strict = strict([0.5, 1.0]);
    let first = ExponentialLr::new(&strict, 1.0);
    let mut sequence = SequentialLr::new(&mut strict, first);
    sequence.step(&mut strict);
    strict.set_lr(0, 0.25).unwrap();
    strict.set_base_lr(1, 2.0).unwrap();
    let before = (sequence.state_dict(), strict.state_dict());
    let message = failure(|| sequence.restart(&mut strict));
    assert!(message.contains("group 1: lr is 2; expected above 0, at most 1"), "{message}");
    assert_eq!((sequence.state_dict(), strict.state_dict()), before);
}

#[test]
fn reading_a_base_rate_does_not_fix_it() {
    let mut strict = strict([0.5, 1.0]);
    assert_eq!(strict.base_lr(0), 0.5);
    strict.set_lr(0, 0.25).unwrap();
    assert_eq!(strict.base_lr(0), 0.25);
    let mut schedule = StepLr::new(&strict, 1, 0.5);
    schedule.step(&mut strict);
    assert_eq!((strict.lr(0), strict.base_lr(0)), (0.125, 0.25));
    // A group that is added later has the rate of its first scheduled step.
    strict.add_param_group(ParamGroup::new([parameter(1)]).lr(0.75)).unwrap();
    strict.set_lr(2, 0.5).unwrap();
    schedule.step(&mut strict);
    strict.set_lr(2, 1.0).unwrap();
    assert_eq!((strict.lr(2), strict.base_lr(2)), (1.0, 0.5));
}

/// Plain descent, with fields and a state that a test declares.
#[derive(Clone, Debug)]
struct Declared {
    values: [f64; 2],
    fields: fn(&mut [f64; 2], &mut Fields<'_>),
}

impl Hyperparameters for Declared {
    const OPTIMIZER: &'static str = "Declared";

    fn fields(&mut self, fields: &mut Fields<'_>) {
        (self.fields)(&mut self.values, fields);
    }
}

#[derive(Clone)]
struct NamedStep(u64);

impl ParameterState<f64> for NamedStep {
    fn new(_shape: &[usize]) -> Self {
        NamedStep(0)
    }

    fn fields(&mut self, fields: &mut Fields<'_>) {
        fields.count("step", &mut self.0, 0);
    }
}

macro_rules! plain_descent {
    ($T:ty, $State:ty) => {
        impl Algorithm<$T> for Declared {
            type State = $State;
            type Buffers<'a> = (&'a mut [$T], &'a [$T]);
            type Sums = ();

            fn buffers<'a>(
                &self,
                _step: u64,
                _state: &'a mut $State,
                param: &'a mut [$T],
                grad: &'a [$T],
            ) -> Self::Buffers<'a> {
                (param, grad)
            }

            fn update((param, grad): Self::Buffers<'_>, (): ()) {
                param.iter_mut().zip(grad).for_each(|(p, g)| *p -= g);
            }
        }
    };
}

plain_descent!(f32, ());
plain_descent!(f64, NamedStep);

#[test]
fn a_wrong_declaration_is_refused() {
    const ANY: ValidRange = ValidRange::ANY;
    type Case = (&'static str, fn(&mut [f64; 2], &mut Fields<'_>));
    let cases: [Case; 6] = [
        ("a field is named `params`", |[lr, x], fields| {
            fields.lr(lr, ANY);
            fields.float("params", x, ANY);
        }),
        ("a field is named `name.first`", |[lr, x], fields| {
            fields.lr(lr, ANY);
            fields.float("name.first", x, ANY);
        }),
        ("two fields are named `lr`", |[lr, x], fields| {
            fields.lr(lr, ANY);
            fields.float("lr", x, ANY);
        }),
        ("0 fields are declared by `Fields::lr`; expected 1", |[lr, _], fields| {
            fields.float("lr", lr, ANY);
        }),
        ("2 fields are declared by `Fields::lr`; expected 1", |[lr, x], fields| {
            fields.lr(lr, ANY);
            fields.lr(x, ANY);
        }),
        ("2 fields are declared by `Fields::momentum`; expected at most 1", |[lr, x], fields| {
            fields.lr(lr, ANY);
            fields.momentum("beta1", x, ANY);
            fields.momentum("beta2", x, ANY);
        }),
    ];
    for (expected, fields) in cases {
        let values = [0.5; 2];
        let message = failure(|| {
            let _ = GroupOptimizer::new([parameter(1)], Declared { values, fields });
        });
        assert!(message.starts_with(&format!("Declared: {expected}")), "{message}");
    }
    let fields = |[lr, _]: &mut [f64; 2], fields: &mut Fields<'_>| fields.lr(lr, ANY);
    let options = Declared { values: [0.5; 2], fields };
    GroupOptimizer::new([parameter(1)], options.clone()).unwrap();
    let p = Parameter::new(Tensor::<f64>::ones([1]));
    let message = failure(|| {
        let _ = GroupOptimizer::new([p], options);
    });
    assert_eq!(message, "Declared: two fields are named `step`; expected one");
}

#[test]
fn a_rate_is_at_least_0_in_any_range() {
    let fields = |[lr, _]: &mut [f64; 2], fields: &mut Fields<'_>| fields.lr(lr, ValidRange::ANY);
    let options = |lr| Declared { values: [lr; 2], fields };
    let new = |lr| GroupOptimizer::<f32, _>::new([parameter(1)], options(lr));
    let error = new(-1.0).unwrap_err().to_string();
    assert_eq!(error, "the defaults: lr is -1; expected a finite number of at least 0");
    assert!(new(0.5).unwrap().set_lr(0, f64::NAN).is_err());
}

/// Multiplies the rates by a factor every epoch, from half of the current rates.
#[derive(Clone)]
struct Decay {
    factor: f64,
    name: &'static str,
}

impl Rule for Decay {
    const NAME: &'static str = "Decay";

    fn fields(&mut self, fields: &mut Fields<'_>) {
        fields.float(self.name, &mut self.factor, ValidRange::UNIT);
    }

    fn rate(&self, _epoch: u64, lr: f64, _base_lr: f64) -> f64 {
        lr * self.factor
    }

    fn first_rate(&self, lr: f64, _base_lr: f64) -> f64 {
        lr / 2.0
    }
}

#[test]
fn a_rule_from_outside_is_a_schedule() {
    let mut optimizer = strict([1.0, 0.5]);
    let decay = |factor| Decay { factor, name: "factor" };
    let mut schedule = Schedule::with_rule(&mut optimizer, decay(0.5));
    assert_eq!((optimizer.lr(0), optimizer.lr(1), optimizer.base_lr(0)), (0.5, 0.25, 1.0));
    schedule.step(&mut optimizer);
    assert_eq!((optimizer.lr(0), optimizer.lr(1)), (0.25, 0.125));

    let mut restored = Schedule::with_rule(&mut strict([1.0, 1.0]), decay(1.0));
    restored.load_state_dict(&schedule.state_dict()).unwrap();
    assert_eq!((restored.state_dict(), restored.epoch()), (schedule.state_dict(), 1));
    let mut state = schedule.state_dict();
    state.insert("factor", 2.0);
    state.insert("epoch", -1);
    state.insert("gamma", 0.5);
    assert_eq!(schedule.check_state_dict(&state).unwrap_err().mismatches().len(), 3);

    // Within a sequence it starts from the base rates.
    let first = StepLr::new(&optimizer, 1, 1.0);
    let mut sequence = SequentialLr::new(&mut optimizer, first).then(1, schedule);
    sequence.step(&mut optimizer);
    assert_eq!((optimizer.lr(0), optimizer.lr(1)), (0.5, 0.25));

    let message = failure(|| {
        let _ = Schedule::with_rule(&mut optimizer, decay(2.0));
    });
    assert_eq!(message, "Decay: factor is 2; expected a number from 0 to 1");
    let message = failure(|| {
        let _ = Schedule::with_rule(&mut optimizer, Decay { factor: 0.5, name: "epoch" });
    });
    assert!(message.starts_with("Decay: a field is named `epoch`"), "{message}");
}

#[test]
fn an_optimizer_without_groups_is_refused() {
    let error = GroupOptimizer::<f32, _>::with_groups([], STRICT).unwrap_err().to_string();
    assert_eq!(error, "no parameter groups; expected at least one");
}
