//! Adam's behavior; `tests/pytorch` of the workspace compares its values with PyTorch's.

use super::*;
use crate::{LearningRates, OptimError};
use crate::{NamedParameter, Optimizer, ParamGroup};
use adamant_tensor::{Parameter, StateDict, Stateful, Tensor, Value};

fn parameter(values: &[f64]) -> Parameter<f64> {
    Parameter::new(Tensor::from_vec(values.to_vec(), [values.len()]).unwrap())
}

fn set_grad(parameter: &Parameter<f64>, values: &[f64]) {
    parameter.set_grad(Some(Tensor::from_vec(values.to_vec(), [values.len()]).unwrap()));
}

/// The algorithm as PyTorch's documentation of 1.12 prints it, line by line.
fn printed(mut theta: f64, grads: &[f64], options: AdamOptions) -> f64 {
    let AdamOptions { lr: gamma, betas: (beta1, beta2), eps, weight_decay: lambda, .. } = options;
    let (mut m, mut v, mut v_max) = (0.0, 0.0, 0.0f64);
    for (t, gradient) in (1..).zip(grads) {
        let mut g = if options.maximize { -gradient } else { *gradient };
        if lambda != 0.0 {
            g += lambda * theta;
        }
        m = beta1 * m + (1.0 - beta1) * g;
        v = beta2 * v + (1.0 - beta2) * g * g;
        let m_hat = m / (1.0 - beta1.powi(t));
        let v_hat = v / (1.0 - beta2.powi(t));
        if options.amsgrad == Amsgrad::Off {
            theta -= gamma * m_hat / (v_hat.sqrt() + eps);
        } else {
            v_max = v_max.max(v_hat);
            theta -= gamma * m_hat / (v_max.sqrt() + eps);
        }
    }
    theta
}

#[test]
fn steps_follow_the_printed_algorithm() {
    let options = AdamOptions::default().lr(0.1).betas(0.8, 0.95).eps(1e-4);
    let grads = [4.0, 0.5, -0.25, 0.0, 1e-3, 2.0];
    for options in [
        AdamOptions::default(),
        options,
        options.weight_decay(0.1),
        options.weight_decay(0.1).maximize(true),
        options.betas(0.3, 0.5),
        options.amsgrad_corrected(),
        options.amsgrad_corrected().maximize(true).weight_decay(0.1),
    ] {
        let p = parameter(&[1.0]);
        let mut adam = Adam::new([p.clone()], options).unwrap();
        for g in grads {
            set_grad(&p, &[g]);
            adam.step();
        }
        let (found, expected) = (p.tensor().item(), printed(1.0, &grads, options));
        assert!((found - expected).abs() < 1e-14, "{options:?}: {found} {expected}");
    }
}

#[test]
fn the_two_readings_of_amsgrad_differ() {
    let run = |options| {
        let p = parameter(&[1.0]);
        let mut adam = Adam::new([p.clone()], options).unwrap();
        for g in [1.0, 0.1, 0.1] {
            set_grad(&p, &[g]);
            adam.step();
        }
        p.tensor().item()
    };
    let options = AdamOptions::default().lr(0.1);
    assert_ne!(run(options.amsgrad(true)), run(options.amsgrad_corrected()));
}

#[test]
fn the_maximum_passes_nan_on() {
    let p = parameter(&[1.0, 1.0]);
    let options = AdamOptions::default().amsgrad(true);
    let mut adam = Adam::new([p.clone()], options).unwrap();
    for g in [[1.0, f64::NAN], [1.0, 1.0]] {
        set_grad(&p, &g);
        adam.step();
    }
    let maximum = adam.state(&p).unwrap().max_exp_avg_sq().unwrap().to_vec();
    assert!(maximum[0].is_finite() && maximum[1].is_nan());
}

#[test]
fn none_skips_a_parameter_and_zero_does_not() {
    let (a, b) = (parameter(&[1.0]), parameter(&[1.0]));
    let mut adam = Adam::new([a.clone(), b.clone()], AdamOptions::default()).unwrap();
    set_grad(&a, &[1.0]);
    adam.step();
    assert!(adam.state(&b).is_none() && b.tensor().item() == 1.0);
    let before = a.tensor().item();
    a.set_grad(None);
    set_grad(&b, &[1.0]);
    adam.step(); // b's first step is as a's first
    assert_eq!((a.tensor().item(), b.tensor().item()), (before, before));
    assert_eq!((adam.state(&a).unwrap().step(), adam.state(&b).unwrap().step()), (1, 1));
    adam.zero_grad_in_place(); // b's gradient is zero now, a's still none
    adam.step();
    assert_eq!(adam.state(&a).unwrap().step(), 1);
    assert_eq!(adam.state(&b).unwrap().step(), 2);
    assert_ne!(b.tensor().item(), before); // its first moment still moves it
}

#[test]
fn a_late_maximum_starts_from_the_current_moment() {
    let p = parameter(&[1.0]);
    let mut adam = Adam::new([p.clone()], AdamOptions::default()).unwrap();
    set_grad(&p, &[10.0]);
    adam.step();
    let current = adam.state(&p).unwrap().exp_avg_sq().to_vec();
    adam.update_param_group(0, |options| options.amsgrad = Amsgrad::Raw).unwrap();
    set_grad(&p, &[0.0]);
    adam.step();
    assert_eq!(adam.state(&p).unwrap().max_exp_avg_sq().unwrap().to_vec(), current);
}

#[test]
fn another_reading_restarts_the_maximum() {
    let p = parameter(&[1.0]);
    let options = AdamOptions::default().amsgrad(true);
    let mut adam = Adam::new([p.clone()], options).unwrap();
    set_grad(&p, &[10.0]);
    adam.step();
    let corrected = adam.state(&p).unwrap().exp_avg_sq().to_vec()[0] / (1.0 - 0.999);
    adam.update_param_group(0, |options| options.amsgrad = Amsgrad::Corrected).unwrap();
    set_grad(&p, &[0.0]);
    adam.step();
    let maximum = adam.state(&p).unwrap().max_exp_avg_sq().unwrap().to_vec()[0];
    assert!((maximum / corrected - 1.0).abs() < 1e-12, "{maximum} {corrected}");
}

#[test]
fn indistinct_names_are_refused() {
    let named = |name: &str| (name.to_string(), parameter(&[1.0]));
    let refuse =
        |group| Adam::with_groups([group], AdamOptions::default()).unwrap_err().to_string();
    let twice = refuse(ParamGroup::new([named("a"), named("a")]));
    assert!(twice.contains("group 0: two parameters named `a`"), "{twice}");
    let mixed = [named("a").into(), NamedParameter::from(parameter(&[1.0]))];
    let mixed = refuse(ParamGroup::new(mixed));
    assert!(mixed.contains("1 parameters with a name and 1 without"), "{mixed}");
}

#[test]
fn a_hook_can_remove_itself() {
    let p = parameter(&[1.0]);
    let mut adam = Adam::new([p], AdamOptions::default()).unwrap();
    let id = std::sync::Arc::new(std::sync::Mutex::new(None));
    let (own, calls) = (id.clone(), std::sync::Arc::new(std::sync::Mutex::new(0)));
    let count = calls.clone();
    *id.lock().unwrap() = Some(adam.register_step_post_hook(move |adam| {
        *count.lock().unwrap() += 1;
        assert!(adam.remove_hook(own.lock().unwrap().unwrap()));
    }));
    (0..3).for_each(|_| adam.step());
    assert_eq!(*calls.lock().unwrap(), 1);
}

#[test]
fn each_mistake_in_a_state_is_refused() {
    let p = parameter(&[1.0]);
    let mut adam = Adam::new([p.clone()], AdamOptions::default()).unwrap();
    set_grad(&p, &[1.0]);
    adam.step();
    let before = adam.state_dict();
    let bad: [(&str, Value); 9] = [
        ("groups.0.base_lr", f64::NAN.into()),
        ("groups.0.params.0.step", 0.into()),
        ("groups.0.params.0.exp_avg_sqs", 1.into()),
        ("groups.0.amsgrads", true.into()),
        ("groups.9.name", "tail".into()),
        ("groups.00.name", "head".into()),
        ("groups.0.params.1.step", 1.into()),
        ("groups.0.beta1", 1.0.into()),
        ("groups.0.params.0.exp_avg", Tensor::<f32>::ones([1]).array().clone().into()),
    ];
    let mut all = before.clone();
    for (name, value) in bad {
        let mut state = before.clone();
        state.insert(name, value.clone());
        all.insert(name, value);
        assert_eq!(adam.load_state_dict(&state).unwrap_err().mismatches().len(), 1, "{name}");
    }
    assert_eq!(adam.load_state_dict(&all).unwrap_err().mismatches().len(), 9);
    assert_eq!(adam.state_dict(), before);
}

#[test]
fn invalid_groups_and_options_are_named() {
    let p = parameter(&[1.0]);
    let options = AdamOptions::default();
    let refuse = |options| Adam::new([p.clone()], options).unwrap_err().to_string();
    assert_eq!(
        refuse(options.lr(-1.0)),
        "the defaults: lr is -1; expected a finite number of at least 0"
    );
    assert!(refuse(options.lr(f64::NAN)).contains("lr is NaN"));
    assert!(refuse(options.betas(1.0, 0.9)).contains("beta1 is 1"));
    assert!(refuse(options.betas(0.9, -0.1)).contains("beta2 is -0.1"));
    assert!(refuse(options.eps(-1.0)).contains("eps is -1"));
    assert!(refuse(options.weight_decay(f64::NAN)).contains("weight_decay is NaN"));
    let none = Adam::<f64>::new([], options).unwrap_err();
    assert_eq!(none, OptimError::NoParameters { group: 0 });
    let twice = Adam::new([p.clone(), p.clone()], options).unwrap_err().to_string();
    assert!(twice.contains("group 0: parameter 1 (shape [1]) is also in group 0"), "{twice}");

    let mut adam = Adam::new([p.clone()], options).unwrap();
    let q = parameter(&[2.0]);
    let mut refuse = |group| adam.add_param_group(group).unwrap_err().to_string();
    let named = [("q".to_string(), q.clone()), ("p".to_string(), p.clone())];
    let error = refuse(ParamGroup::new(named));
    assert!(error.contains("group 1: parameter 1 (`p`, shape [1]) is also in group 0"), "{error}");
    let group = || ParamGroup::new([q.clone()]);
    assert!(refuse(group().lr(f64::NAN)).contains("parameter group 1: lr is NaN"));
    assert!(refuse(group().betas(0.5, 1.0)).contains("parameter group 1: beta2 is 1"));
    assert!(refuse(group().momentum(0.9)).contains("parameter group 1: Adam has no momentum"));
    assert!(refuse(ParamGroup::new(Vec::<Parameter<f64>>::new())).contains("no parameters"));
    assert_eq!(adam.param_groups().len(), 1);
    adam.add_param_group(group().lr(0.5).name("late")).unwrap();
    let late = &adam.param_groups()[1];
    assert_eq!((late.lr, late.eps, late.name()), (0.5, 1e-8, Some("late")));
}

#[test]
fn a_step_keeps_the_parameters_buffer() {
    let p = parameter(&[1.0; 100]);
    let address = p.tensor().array().as_slice().unwrap().as_ptr();
    let mut adam = Adam::new([p.clone()], AdamOptions::default()).unwrap();
    for _ in 0..3 {
        let loss = adam.step_with(|adam| {
            adam.zero_grad();
            let loss = p.tensor().powf(2.0).sum();
            loss.backward();
            loss
        });
        assert!(loss.item() > 0.0);
    }
    assert_eq!(p.tensor().array().as_slice().unwrap().as_ptr(), address);
}

#[test]
fn the_closure_runs_once_with_gradients_enabled() {
    let p = parameter(&[1.0]);
    let mut adam = Adam::new([p.clone()], AdamOptions::default()).unwrap();
    let mut calls = 0;
    adamant_tensor::no_grad(|| {
        adam.step_with(|_| {
            calls += 1;
            p.tensor().sum().backward();
        });
    });
    assert_eq!(calls, 1);
    assert_eq!(adam.state(&p).unwrap().step(), 1);
}

#[test]
fn hooks_run_in_order_and_can_be_removed() {
    use std::sync::{Arc, Mutex};
    let p = parameter(&[1.0]);
    let mut adam = Adam::new([p], AdamOptions::default()).unwrap();
    let calls = Arc::new(Mutex::new(Vec::new()));
    let note = |text: &'static str| {
        let calls = calls.clone();
        move |_: &mut Adam<f64>| calls.lock().unwrap().push(text)
    };
    adam.register_step_post_hook(note("after 1"));
    let first = adam.register_step_pre_hook(note("before 1"));
    adam.register_step_pre_hook(note("before 2"));
    adam.register_step_post_hook(note("after 2"));
    adam.step();
    assert_eq!(*calls.lock().unwrap(), ["before 1", "before 2", "after 1", "after 2"]);
    calls.lock().unwrap().clear();
    assert!(adam.remove_hook(first) && !adam.remove_hook(first));
    adam.step();
    assert_eq!(*calls.lock().unwrap(), ["before 2", "after 1", "after 2"]);
}

#[test]
fn a_hook_that_panics_stays_registered() {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::{Arc, Mutex};
    type Register = fn(&mut Adam<f64>, Box<dyn FnMut(&mut Adam<f64>) + Send>) -> crate::HookId;
    let registers: [Register; 2] = [Adam::register_step_pre_hook, Adam::register_step_post_hook];
    for (steps_before, register) in registers.into_iter().enumerate() {
        let p = parameter(&[1.0]);
        set_grad(&p, &[1.0]);
        let mut adam = Adam::new([p.clone()], AdamOptions::default()).unwrap();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let note = |text: &'static str| {
            let calls = calls.clone();
            move || calls.lock().unwrap().push(text)
        };
        let (first, second) = (note("first"), note("second"));
        register(&mut adam, Box::new(move |_| first()));
        let mut fails = true;
        let id = register(
            &mut adam,
            Box::new(move |_| {
                second();
                assert!(!std::mem::take(&mut fails), "on purpose");
            }),
        );
        let third = note("third");
        register(&mut adam, Box::new(move |_| third()));
        assert!(catch_unwind(AssertUnwindSafe(|| adam.step())).is_err());
        assert_eq!(adam.state(&p).map_or(0, |state| state.step()), steps_before as u64);
        adam.step();
        assert_eq!(*calls.lock().unwrap(), ["first", "second", "first", "second", "third"]);
        assert_eq!(adam.state(&p).unwrap().step(), 1 + steps_before as u64);
        assert!(adam.remove_hook(id) && !adam.remove_hook(id));
    }
}

#[test]
fn non_finite_state_is_reported_by_parameter() {
    let [a, b, c] = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]].map(|values| parameter(&values));
    let names = [("a".to_string(), a.clone()), ("b".to_string(), b.clone())];
    let groups = [ParamGroup::new(names), ParamGroup::new([c.clone()])];
    let options = AdamOptions::default().amsgrad(true);
    let mut adam = Adam::with_groups(groups, options).unwrap();
    set_grad(&a, &[1.0, 1.0]);
    set_grad(&b, &[1.0, 1e200]);
    adam.step();
    set_grad(&c, &[f64::NAN, 1.0]);
    adam.step();
    let report: Vec<String> = adam.non_finite().iter().map(ToString::to_string).collect();
    let (b, c) =
        ("parameter group 0: parameter 1 (`b`, shape [2])", "parameter group 1: parameter 0");
    assert_eq!(
        report,
        [
            format!("{b}: exp_avg_sq is inf at element 1"),
            format!("{b}: max_exp_avg_sq is inf at element 1"),
            format!("{c} (shape [2]): exp_avg is NaN at element 0"),
            format!("{c} (shape [2]): exp_avg_sq is NaN at element 0"),
            format!("{c} (shape [2]): max_exp_avg_sq is NaN at element 0"),
        ]
    );
}

#[test]
fn the_plateau_schedule_sets_no_base_rate() {
    use crate::{PlateauMode, ReduceLrOnPlateau, ReduceLrOnPlateauOptions};
    let p = parameter(&[1.0]);
    let mut adam = Adam::new([p], AdamOptions::default().lr(1.0)).unwrap();
    let options = ReduceLrOnPlateauOptions::default().patience(0);
    let mut plateau = ReduceLrOnPlateau::with_options(PlateauMode::Min, options);
    plateau.step(&mut adam, 1.0);
    plateau.step(&mut adam, 2.0);
    // As in PyTorch, where the plateau schedule sets no `initial_lr`.
    assert_eq!(adam.base_lr(0), 0.1);
}

#[test]
fn a_snapshot_continues_the_run() {
    let run = |adam: &mut Adam<f64>, p: &Parameter<f64>, steps: usize| {
        for i in 0..steps {
            set_grad(p, &[i as f64, -1.0]);
            adam.step();
        }
    };
    let options = AdamOptions::default().amsgrad(true).weight_decay(0.1);
    let p = parameter(&[1.0, 2.0]);
    let mut adam = Adam::new([p.clone()], options).unwrap();
    run(&mut adam, &p, 5);
    let state = adam.state_dict();
    let q = Parameter::new(p.tensor().detach());
    let mut twin = Adam::new([q.clone()], AdamOptions::default()).unwrap();
    twin.load_state_dict(&state).unwrap();
    run(&mut adam, &p, 5);
    assert_ne!(adam.state_dict(), state);
    assert_eq!(twin.state_dict(), state);
    run(&mut twin, &q, 5);
    assert_eq!(p.tensor().to_vec(), q.tensor().to_vec());
    assert_eq!(adam.state_dict(), twin.state_dict());
}

#[test]
fn a_wrong_state_lists_all_and_changes_nothing() {
    let stepped = |values: &[f64]| {
        let p = parameter(values);
        let mut adam = Adam::new([p.clone()], AdamOptions::default()).unwrap();
        set_grad(&p, values);
        adam.step();
        adam
    };
    let mut adam = stepped(&[1.0, 2.0]);
    let before = adam.state_dict();
    let mut state = stepped(&[1.0, 2.0, 3.0]).state_dict();
    state.insert("groups", 2);
    state.insert("groups.0.lr", -1.0);
    state.insert("groups.0.maximize", "yes");
    let error = adam.load_state_dict(&state).unwrap_err();
    let text = error.to_string();
    for part in [
        "`groups`: found 2 of them, expected 1",
        "`groups.0.lr`: found -1, expected a finite number of at least 0",
        "`groups.0.maximize`: found the string \"yes\"",
        "exp_avg`: found f64 [3], expected f64 [2]",
        "exp_avg_sq`: found f64 [3]",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(error.mismatches().len(), 5, "{text}");
    for bad in [-1.0, f64::NEG_INFINITY] {
        let mut state = before.clone();
        let moment = Tensor::from_vec(vec![0.0, bad], [2]).unwrap();
        state.insert("groups.0.params.0.exp_avg_sq", moment.array().clone());
        let text = adam.load_state_dict(&state).unwrap_err().to_string();
        assert!(text.contains("at element 1, expected no element below 0"), "{text}");
    }
    assert_eq!(adam.state_dict(), before);
}

#[test]
fn parameters_match_by_name() {
    let named = |names: [&str; 2], seed: f64| {
        let params = names.map(|name| {
            let value = if name == "a" { seed } else { -seed };
            (name.to_string(), parameter(&[value]))
        });
        let mut adam =
            Adam::with_groups([ParamGroup::new(params.clone())], AdamOptions::default()).unwrap();
        for (_, p) in &params {
            set_grad(p, &p.tensor().to_vec());
        }
        adam.step();
        (adam, params)
    };
    let (source, source_params) = named(["a", "b"], 3.0);
    let (mut target, target_params) = named(["b", "a"], 7.0);
    target.load_state_dict(&source.state_dict()).unwrap();
    let moment = |adam: &Adam<f64>, p: &Parameter<f64>| adam.state(p).unwrap().exp_avg().to_vec();
    assert_eq!(moment(&target, &target_params[1].1), moment(&source, &source_params[0].1));
    let (other, _) = named(["a", "c"], 1.0);
    let error = target.load_state_dict(&other.state_dict()).unwrap_err().to_string();
    assert!(
        error.contains("found a parameter `c`") && error.contains("no parameter `b`"),
        "{error}"
    );
}

#[test]
fn an_older_state_without_newer_flags_loads() {
    let p = parameter(&[1.0]);
    let mut adam = Adam::new([p], AdamOptions::default().maximize(true)).unwrap();
    let state = adam.state_dict();
    let mut older = StateDict::new();
    let newer = ["amsgrad", "maximize", "decoupled_weight_decay"];
    for (name, value) in state.iter().filter(|(name, _)| !newer.iter().any(|n| name.contains(n))) {
        older.insert(name, value.clone());
    }
    adam.load_state_dict(&older).unwrap();
    assert!(!adam.param_groups()[0].maximize);
}
