//! The rates of the schedules, compared with PyTorch's closed forms; options, field by field.

use adamant_optim::*;
use adamant_tensor::{Parameter, StateDict, Stateful, Tensor, Value};
use std::f64::consts::PI;

const LR: f64 = 0.4;

fn adam() -> Adam {
    let p = Parameter::new(Tensor::ones([1]));
    Adam::new([p], AdamOptions::default().lr(LR)).unwrap()
}

/// A schedule, and its rate at each epoch.
type Case = (Box<dyn Scheduler>, Box<dyn Fn(u64) -> f64>);

fn cases(adam: &mut Adam) -> Vec<Case> {
    let cosine = CosineAnnealingLrOptions::default().eta_min(0.1);
    let cosine_rate = |t: u64| 0.1 + (LR - 0.1) * (1.0 + (PI * t as f64 / 5.0).cos()) / 2.0;
    let milestones = [0, 2, 7, 7, 9];
    let passed = move |t| milestones.iter().filter(|&&milestone| milestone <= t).count();
    let linear_rate = |t: u64| LR * (0.25 + (1.0 - 0.25) * t.min(6) as f64 / 6.0);
    let cases: Vec<Case> = vec![
        (Box::new(StepLr::new(adam, 3, 0.5)), Box::new(|t| LR * 0.5f64.powf((t / 3) as f64))),
        (Box::new(ExponentialLr::new(adam, 0.9)), Box::new(|t| LR * 0.9f64.powf(t as f64))),
        (Box::new(CosineAnnealingLr::with_options(adam, 5, cosine)), Box::new(cosine_rate)),
        (
            Box::new(MultiStepLr::new(adam, milestones, 0.5)),
            Box::new(move |t| LR * 0.5f64.powf(passed(t) as f64)),
        ),
        (Box::new(LinearLr::new(adam, 0.25, 1.0, 6)), Box::new(linear_rate)),
        (
            Box::new(LambdaLr::new(adam, |t| 1.0 / (2.0 + t as f64))),
            Box::new(|t| LR / (2.0 + t as f64)),
        ),
    ];
    adam.set_lr(0, LR).unwrap(); // some of them set their first rate
    cases
}

#[test]
fn schedules_follow_their_closed_forms() {
    let count = cases(&mut adam()).len();
    for i in 0..count {
        let mut adam = adam();
        let (mut schedule, rate) = cases(&mut adam).swap_remove(i);
        schedule.restart(&mut adam);
        for epoch in 0..25 {
            let lr = adam.lr(0);
            assert!((lr - rate(epoch)).abs() < 1e-12, "{i} at {epoch}: {lr} {}", rate(epoch));
            schedule.step(&mut adam);
        }
        // In a sequence it begins again from the base rate.
        let first = ExponentialLr::new(&adam, 0.5);
        let mut sequence = SequentialLr::new(&mut adam, first).then(4, schedule);
        for epoch in 0..10u64 {
            if let Some(t) = epoch.checked_sub(4) {
                let lr = adam.lr(0);
                assert!((lr - rate(t)).abs() < 1e-12, "{i} restarted, {t}: {lr} {}", rate(t));
            }
            sequence.step(&mut adam);
        }
    }
}

#[test]
fn a_plateau_compares_with_its_threshold() {
    use PlateauMode::{Max, Min};
    use ThresholdMode::{Absolute, Relative};
    // From a best metric of 8, with a threshold of 0.25: the first metric is better, the second
    // is not.
    for (mode, threshold_mode, better, worse) in [
        (Min, Relative, 5.9, 6.1),
        (Min, Absolute, 7.7, 7.8),
        (Max, Relative, 10.1, 9.9),
        (Max, Absolute, 8.3, 8.2),
    ] {
        for (metric, reduced) in [(better, LR), (worse, LR * 0.1)] {
            let options = ReduceLrOnPlateauOptions::default().patience(0).threshold(0.25);
            let options = options.threshold_mode(threshold_mode);
            let (mut schedule, mut adam) = (ReduceLrOnPlateau::with_options(mode, options), adam());
            schedule.step(&mut adam, 8.0);
            schedule.step(&mut adam, metric);
            assert_eq!(adam.lr(0), reduced, "{mode:?} {threshold_mode:?} {metric}");
        }
    }
}

#[test]
fn momentum_that_is_set_later_begins_with_the_next_gradient() {
    let p = Parameter::new(Tensor::<f64>::zeros([1]));
    let mut sgd = Sgd::new([p.clone()], SgdOptions::default().lr(1.0).momentum(0.0)).unwrap();
    let step = |sgd: &mut Sgd<f64>, grad: f64| {
        p.set_grad(Some(Tensor::full([1], grad)));
        sgd.step();
        p.tensor().item()
    };
    assert_eq!(step(&mut sgd, 1.0), -1.0);
    sgd.update_param_group(0, |options| options.momentum = 0.5).unwrap();
    assert_eq!(step(&mut sgd, 2.0), -3.0); // the buffer is the gradient, 2
    assert_eq!(step(&mut sgd, 3.0), -7.0); // 0.5 · 2 + 3
    sgd.update_param_group(0, |options| options.momentum = 0.0).unwrap();
    assert_eq!(step(&mut sgd, 1.0), -8.0);
    sgd.update_param_group(0, |options| options.momentum = 0.5).unwrap();
    assert_eq!(step(&mut sgd, 1.0), -11.0); // 0.5 · 4 + 1
}

#[test]
fn one_cycle_refuses_a_division_by_0() {
    let schedule = OneCycleLr::new(&mut adam(), 0.1, 10);
    for name in ["div_factor", "final_div_factor"] {
        for value in [0.0, -1.0, f64::INFINITY] {
            let mut state = schedule.state_dict();
            state.insert(name, value);
            let error = schedule.check_state_dict(&state).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}

/// The names of the entries in which two states differ.
fn difference(a: &StateDict, b: &StateDict) -> Vec<String> {
    assert!(a.keys().eq(b.keys()));
    let differs = |name: &&str| a.get(name) != b.get(name);
    a.keys().filter(differs).map(str::to_string).collect()
}

#[test]
fn each_option_sets_its_own_field() {
    let state = |options: AdamOptions| {
        let p = Parameter::new(Tensor::<f32>::ones([1]));
        Adam::new([p], options).unwrap().state_dict()
    };
    let (o, default) = (AdamOptions::default, state(AdamOptions::default()));
    for (options, names) in [
        (o().betas(0.5, 0.6), &["groups.0.beta1", "groups.0.beta2"][..]),
        (o().eps(0.1), &["groups.0.eps"]),
        (o().weight_decay(0.1), &["groups.0.weight_decay"]),
        (o().amsgrad(true), &["groups.0.amsgrad"]),
        (o().amsgrad_corrected(), &["groups.0.amsgrad", "groups.0.amsgrad_corrected"]),
        (o().maximize(true), &["groups.0.maximize"]),
        (o().decoupled_weight_decay(true), &["groups.0.decoupled_weight_decay"]),
        (AdamOptions::adamw(), &["groups.0.weight_decay", "groups.0.decoupled_weight_decay"]),
    ] {
        assert_eq!(difference(&state(options), &default), names);
    }

    let state = |options: SgdOptions| {
        let p = Parameter::new(Tensor::<f32>::ones([1]));
        Sgd::new([p], options).unwrap().state_dict()
    };
    let o = || SgdOptions::default().momentum(0.5);
    for (options, name) in [
        (o().momentum(0.6), "groups.0.momentum"),
        (o().dampening(0.1), "groups.0.dampening"),
        (o().weight_decay(0.1), "groups.0.weight_decay"),
        (o().nesterov(true), "groups.0.nesterov"),
        (o().maximize(true), "groups.0.maximize"),
    ] {
        assert_eq!(difference(&state(options), &state(o())), [name]);
    }

    let state = |options| OneCycleLr::with_options(&mut adam(), 0.1, 10, options).state_dict();
    let (o, default) = (OneCycleLrOptions::default, state(OneCycleLrOptions::default()));
    for (options, name) in [
        (o().pct_start(0.1), "pct_start"),
        (o().anneal_strategy(AnnealStrategy::Linear), "anneal"),
        (o().three_phase(true), "three_phase"),
        (o().div_factor(2.0), "div_factor"),
        (o().final_div_factor(2.0), "final_div_factor"),
        (o().cycle_momentum(false), "cycle_momentum"),
        (o().base_momentum(0.5), "base_momentum"),
        (o().max_momentum(0.9), "max_momentum"),
    ] {
        assert_eq!(difference(&state(options), &default), [name]);
    }

    let state = |options| ReduceLrOnPlateau::with_options(PlateauMode::Min, options).state_dict();
    let (o, default) =
        (ReduceLrOnPlateauOptions::default, state(ReduceLrOnPlateauOptions::default()));
    for (options, name) in [
        (o().factor(0.5), "factor"),
        (o().patience(3), "patience"),
        (o().threshold(0.5), "threshold"),
        (o().threshold_mode(ThresholdMode::Absolute), "relative"),
        (o().cooldown(3), "cooldown"),
        (o().min_lr(0.5), "min_lr"),
        (o().eps(0.5), "eps"),
    ] {
        assert_eq!(difference(&state(options), &default), [name]);
    }
    assert_eq!(default.get("mode"), Some(&Value::from("min")));
}

#[test]
fn amsgrad_flags_do_not_contradict_each_other() {
    let p = Parameter::new(Tensor::<f32>::ones([1]));
    let group = || ParamGroup::new([p.clone()]);
    let amsgrad =
        |group| Adam::new(group, AdamOptions::default()).map(|adam| adam.param_groups()[0].amsgrad);
    let error = amsgrad(group().set("amsgrad_corrected", true)).unwrap_err().to_string();
    let expected = "parameter group 0: amsgrad_corrected is true; expected amsgrad with it";
    assert_eq!(error, expected);
    for [first, second] in [["amsgrad", "amsgrad_corrected"], ["amsgrad_corrected", "amsgrad"]] {
        assert_eq!(amsgrad(group().set(first, true).set(second, true)), Ok(Amsgrad::Corrected));
    }
    assert_eq!(amsgrad(group().amsgrad(true)), Ok(Amsgrad::Raw));
    assert_eq!(amsgrad(group().amsgrad_corrected()), Ok(Amsgrad::Corrected));

    let mut adam = adam();
    let mut state = adam.state_dict();
    state.insert("groups.0.amsgrad_corrected", true);
    let error = adam.load_state_dict(&state).unwrap_err().to_string();
    assert!(
        error.contains("`groups.0.amsgrad_corrected`: found true, expected amsgrad"),
        "{error}"
    );
}

#[test]
fn a_plateau_ignores_reductions_below_eps() {
    for (eps, expected) in [(0.35, LR * 0.1), (0.37, LR)] {
        let options = ReduceLrOnPlateauOptions::default().patience(0).eps(eps); // by 0.36
        let (mut schedule, mut adam) =
            (ReduceLrOnPlateau::with_options(PlateauMode::Min, options), adam());
        (0..2).for_each(|_| schedule.step(&mut adam, 1.0));
        assert_eq!(adam.lr(0), expected);
    }
}

#[test]
fn a_wrong_state_of_a_plateau_is_found_by_its_check() {
    let schedule = ReduceLrOnPlateau::new(PlateauMode::Min);
    let mut state = schedule.state_dict();
    assert!(schedule.check_state_dict(&state).is_ok());
    state.insert("factor", -1.0);
    assert!(schedule.check_state_dict(&state).is_err());
}

#[test]
fn gradients_are_clamped_on_both_sides() {
    let p = Parameter::new(Tensor::<f32>::zeros([4]));
    p.set_grad(Some(Tensor::from([3.0, -3.0, 0.25, -0.25])));
    clip_grad_value(std::slice::from_ref(&p), 0.5);
    assert_eq!(p.grad().unwrap().to_vec(), [0.5, -0.5, 0.25, -0.25]);
}

#[test]
fn zero_grad_clears_every_group() {
    let [a, b] = [1, 2].map(|len| Parameter::new(Tensor::<f32>::zeros([len])));
    let groups = [ParamGroup::new([a.clone()]), ParamGroup::new([b.clone()])];
    let mut adam = Adam::with_groups(groups, AdamOptions::default()).unwrap();
    [&a, &b].iter().for_each(|p| p.set_grad(Some(Tensor::ones(p.shape()))));
    adam.zero_grad();
    assert!(a.grad().is_none() && b.grad().is_none());
}
