//! Schedules and SGD equal PyTorch's. Fixtures: `tests/fixtures/schedules.py`, PyTorch 2.15.0.

use crate::common::{fixture, numbers};
use adamant::prelude::*;
use adamant::tensor::Value;

fn adam() -> Adam {
    let parameter = || Parameter::new(Tensor::zeros([1]));
    let groups = [ParamGroup::new([parameter()]), ParamGroup::new([parameter()]).lr(3e-3)];
    Adam::with_groups(groups, AdamOptions::default().lr(0.05)).unwrap()
}

/// The learning rates of both groups, and β₁ of the first one.
fn row(adam: &Adam) -> [f64; 3] {
    let groups = adam.param_groups();
    [groups[0].lr, groups[1].lr, groups[0].betas.0]
}

#[track_caller]
fn same_rates(name: &str, found: &[[f64; 3]]) {
    let expected = fixture("schedules").array::<f64>(name, &[31, 3]).unwrap().to_vec();
    for (step, (found, expected)) in found.iter().zip(expected.chunks(3)).enumerate() {
        for (found, expected) in found.iter().zip(expected) {
            let fits = (found - expected).abs() <= 1e-14 * expected.abs();
            assert!(fits, "{name}, step {step}: {found:e}, PyTorch has {expected:e}");
        }
    }
}

/// Compares thirty steps. Halfway, the state is saved and loaded into a fresh schedule and a fresh
/// optimizer, the schedule first.
fn check<S: Scheduler>(name: &str, make: impl Fn(&mut Adam) -> S) {
    let mut adam_now = adam();
    let mut schedule = make(&mut adam_now);
    let mut rows = vec![row(&adam_now)];
    for step in 0..30 {
        if step == 13 {
            let saved = (schedule.state_dict(), adam_now.state_dict());
            adam_now = adam();
            schedule = make(&mut adam_now);
            schedule.load_state_dict(&saved.0).unwrap();
            adam_now.load_state_dict(&saved.1).unwrap();
            assert_eq!(schedule.epoch(), 13);
        }
        schedule.step(&mut adam_now);
        rows.push(row(&adam_now));
    }
    same_rates(name, &rows);
}

#[test]
fn rates_of_schedules_equal_pytorchs() {
    let one_cycle = OneCycleLrOptions::default;
    check("step", |adam| StepLr::new(adam, 4, 0.3));
    check("multi_step", |adam| MultiStepLr::new(adam, [3, 9, 9, 20], 0.3));
    check("exponential", |adam| ExponentialLr::new(adam, 0.93));
    check("cosine", |adam| {
        let options = CosineAnnealingLrOptions::default().eta_min(1e-4);
        CosineAnnealingLr::with_options(adam, 7, options)
    });
    check("cosine_0", |adam| CosineAnnealingLr::new(adam, 10));
    check("linear", |adam| LinearLr::new(adam, 0.2, 0.9, 8));
    check("lambda", |adam| LambdaLr::new(adam, |epoch| 1.0 / (1 + epoch) as f64));
    check("one_cycle", |adam| OneCycleLr::new(adam, 0.1, 30));
    check("one_cycle_more", |adam| {
        let options = one_cycle().pct_start(0.4).div_factor(10.0).final_div_factor(100.0);
        let options = options.base_momentum(0.8).max_momentum(0.9);
        OneCycleLr::with_options(adam, 0.2, 30, options)
    });
    check("one_cycle_linear", |adam| {
        OneCycleLr::with_options(adam, 0.2, 31, one_cycle().anneal_strategy(AnnealStrategy::Linear))
    });
    check("one_cycle_three", |adam| {
        OneCycleLr::with_options(adam, 0.2, 30, one_cycle().three_phase(true))
    });
    check("one_cycle_rates", |adam| {
        OneCycleLr::with_options(adam, 0.2, 30, one_cycle().cycle_momentum(false))
    });
    check("sequential", |adam| {
        let warm_up = LinearLr::new(adam, 0.1, 1.0, 5);
        let (down, tail) = (CosineAnnealingLr::new(adam, 12), ExponentialLr::new(adam, 0.9));
        SequentialLr::new(adam, warm_up).then(5, down).then(17, tail)
    });
}

#[test]
fn stacked_schedules_start_from_the_current_rate() {
    let mut adam = adam();
    let mut stack: Vec<Box<dyn Scheduler>> = vec![Box::new(LinearLr::new(&mut adam, 0.5, 1.0, 4))];
    stack.push(Box::new(MultiStepLr::new(&mut adam, [0, 5], 0.5)));
    stack.push(Box::new(StepLr::new(&adam, 2, 0.7)));
    let mut rows = vec![row(&adam)];
    for step in 1..=30 {
        stack.iter_mut().for_each(|schedule| schedule.step(&mut adam));
        if step == 3 {
            stack.push(Box::new(LinearLr::new(&mut adam, 0.25, 1.0, 6)));
            stack.push(Box::new(CosineAnnealingLr::new(&adam, 9)));
        }
        rows.push(row(&adam));
    }
    same_rates("stack", &rows);
}

#[test]
fn clipped_gradients_equal_pytorchs() {
    let fixture = fixture("clip");
    for case in ["low", "high", "value"] {
        let params = [1usize, 7, 33].iter().enumerate().map(|(p, &len)| {
            let parameter = Parameter::new(Tensor::zeros([len]));
            parameter.set_grad(Some(numbers::<f32>(p as u64, &[len], 4.0)));
            parameter
        });
        let params: Vec<Parameter> = params.collect();
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-6 * b.abs();
        match case {
            "value" => clip_grad_value(&params, 0.5),
            _ => {
                let max_norm = if case == "low" { 1.0 } else { 100.0 };
                let norm = clip_grad_norm(&params, max_norm);
                let expected = fixture.array::<f32>(&format!("{case}/norm"), &[]).unwrap().to_vec();
                assert!(close(norm, f64::from(expected[0])), "{norm} {expected:?}");
            }
        }
        for (p, param) in params.iter().enumerate() {
            let expected = fixture.array::<f32>(&format!("{case}/{p}"), param.shape()).unwrap();
            for (found, expected) in param.grad().unwrap().to_vec().iter().zip(expected.to_vec()) {
                assert!(
                    close(f64::from(*found), f64::from(expected)),
                    "{case}: {found} {expected}"
                );
            }
        }
    }
}

#[test]
fn rates_on_plateaus_equal_pytorchs() {
    let metrics = fixture("schedules").array::<f64>("metrics", &[30]).unwrap().to_vec();
    let check = |name: &str, make: fn() -> ReduceLrOnPlateau| {
        let (mut adam, mut schedule) = (adam(), make());
        let mut rows = vec![row(&adam)];
        for (step, &metric) in metrics.iter().enumerate() {
            if step == 9 {
                let saved = schedule.state_dict();
                schedule = make();
                schedule.load_state_dict(&saved).unwrap();
            }
            schedule.step(&mut adam, metric);
            rows.push(row(&adam));
        }
        same_rates(name, &rows);
    };
    check("plateau", || {
        let options = ReduceLrOnPlateauOptions::default().factor(0.5).patience(2);
        ReduceLrOnPlateau::with_options(PlateauMode::Min, options.cooldown(1).min_lr(1e-3))
    });
    check("plateau_max", || {
        let options = ReduceLrOnPlateauOptions::default().factor(0.5).patience(3);
        let options = options.threshold(0.5).threshold_mode(ThresholdMode::Absolute);
        ReduceLrOnPlateau::with_options(PlateauMode::Max, options)
    });
}

#[test]
fn an_added_group_is_scheduled_from_its_own_rate() {
    let mut adam = adam();
    let mut schedule = LambdaLr::new(&mut adam, |epoch| 1.0 / (1 + epoch) as f64);
    schedule.step(&mut adam);
    let late = Parameter::new(Tensor::zeros([1]));
    adam.add_param_group(ParamGroup::new([late]).lr(0.8)).unwrap();
    schedule.step(&mut adam);
    schedule.step(&mut adam);
    assert_eq!((adam.param_groups()[0].lr, adam.param_groups()[2].lr), (0.05 / 4.0, 0.8 / 4.0));
}

#[test]
fn a_state_is_checked_before_it_is_loaded() {
    let adam = adam();
    let mut schedule = StepLr::new(&adam, 4, 0.3);
    let mut state = schedule.state_dict();
    state.insert("step_size", 0);
    state.insert("epoch", -1);
    state.insert("t_max", 3);
    let before = schedule.state_dict();
    let error = schedule.load_state_dict(&state).unwrap_err();
    assert_eq!(error.mismatches().len(), 3, "{error}");
    assert_eq!(schedule.state_dict(), before);
}

#[test]
fn states_that_no_constructor_accepts_are_rejected() {
    fn refused(schedule: &mut dyn Stateful, name: &str, value: impl Into<Value>) {
        let before = schedule.state_dict();
        let mut state = before.clone();
        state.insert(name, value);
        let error = schedule.load_state_dict(&state).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
        assert_eq!(schedule.state_dict(), before);
    }
    let adam = &mut adam();
    refused(&mut StepLr::new(adam, 4, 0.3), "gamma", f64::NAN);
    refused(&mut MultiStepLr::new(adam, [3], 0.3), "gamma", -1.0);
    refused(&mut ExponentialLr::new(adam, 0.3), "gamma", f64::INFINITY);
    refused(&mut CosineAnnealingLr::new(adam, 3), "eta_min", -1.0);
    refused(&mut LinearLr::new(adam, 0.5, 1.0, 3), "start_factor", 0.0);
    refused(&mut OneCycleLr::new(adam, 0.1, 3), "base_momentum", 5.0);
    refused(&mut OneCycleLr::new(adam, 0.1, 3), "div_factor", 0.0);
    refused(&mut OneCycleLr::new(adam, 0.1, 3), "anneal", 0.0);
    refused(&mut OneCycleLr::new(adam, 0.1, 3), "anneal", "sine");
    refused(&mut ReduceLrOnPlateau::new(PlateauMode::Min), "factor", 5.0);
    let tail = StepLr::new(adam, 4, 0.3);
    let mut sequence = SequentialLr::new(adam, tail.clone()).then(3, tail.clone()).then(7, tail);
    let mut state = sequence.state_dict();
    state.insert("milestones.2", 2);
    assert!(sequence.load_state_dict(&state).unwrap_err().to_string().contains("at least 4"));
}

#[test]
#[should_panic(expected = "parameter group 0: lr is NaN")]
fn a_schedule_cannot_set_a_nan_rate() {
    LambdaLr::new(&mut adam(), |_| f64::NAN);
}

#[test]
fn sgd_equals_pytorchs() {
    let fixture = fixture("sgd");
    let lr = SgdOptions::default().lr(0.1);
    for (case, options) in [
        ("plain", lr),
        ("decay", lr.weight_decay(0.1).maximize(true)),
        ("momentum", lr.momentum(0.9).dampening(0.3).weight_decay(0.01)),
        ("nesterov", lr.momentum(0.8).nesterov(true)),
    ] {
        let params = [1usize, 7, 33].iter().enumerate();
        let params = params.map(|(p, &len)| Parameter::new(numbers(p as u64, &[len], 4.0)));
        let params: Vec<Parameter> = params.collect();
        let mut sgd = Sgd::new(params.clone(), options).unwrap();
        for step in 1..=200 {
            if step == 60 {
                let state = sgd.state_dict();
                sgd = Sgd::new(params.clone(), SgdOptions::default()).unwrap();
                sgd.load_state_dict(&state).unwrap();
            }
            for (p, param) in params.iter().enumerate() {
                let scale = (((step * 7 + p) % 12) as f64 - 8.0).exp2();
                let seed = (100 + step * 10 + p) as u64;
                param.set_grad(Some(numbers(seed, param.shape(), scale)));
            }
            sgd.step();
        }
        for (p, param) in params.iter().enumerate() {
            let expected = fixture.array::<f32>(&format!("{case}/{p}"), param.shape()).unwrap();
            assert_eq!(param.tensor().to_vec(), expected.to_vec(), "{case}, parameter {p}");
        }
    }
}
