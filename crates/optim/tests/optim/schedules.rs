//! Schedules at their ends, and at the largest counts.

use adamant_optim::*;
use adamant_tensor::{Parameter, Stateful, Tensor};
use std::f64::consts::PI;
use std::panic::{AssertUnwindSafe, catch_unwind};

fn adam(lr: f64) -> Adam {
    let p = Parameter::new(Tensor::ones([1]));
    Adam::new([p], AdamOptions::default().lr(lr)).unwrap()
}

/// Moves a schedule to an epoch.
fn jump(schedule: &mut dyn Stateful, epoch: i64) {
    let mut state = schedule.state_dict();
    state.insert("epoch", epoch);
    schedule.load_state_dict(&state).unwrap();
}

#[test]
fn a_linear_schedule_to_0_ends_there() {
    for (start, total) in (1..=10).flat_map(|start| (1..30).map(move |total| (start, total))) {
        let mut adam = adam(1.0);
        let mut schedule = LinearLr::new(&mut adam, f64::from(start) / 10.0, 0.0, total);
        (0..total + 2).for_each(|_| schedule.step(&mut adam));
        let lr = adam.lr(0);
        assert!((0.0..1e-15).contains(&lr), "{start} tenths in {total} steps: {lr:e}");
    }
}

#[test]
fn a_cosine_from_0_is_never_negative() {
    for (low, t_max) in [(1e-3, 7), (0.3, 13)] {
        let mut adam = adam(0.0);
        let options = CosineAnnealingLrOptions::default().eta_min(low);
        let mut schedule = CosineAnnealingLr::with_options(&adam, t_max, options);
        for _ in 0..20 * t_max {
            schedule.step(&mut adam);
            assert!((0.0..=low * (1.0 + 1e-12)).contains(&adam.lr(0)), "{:e}", adam.lr(0));
        }
    }
}

#[test]
fn a_cosine_of_any_length_has_its_rates() {
    let billion = 1_000_000_007;
    for (t_max, from) in [
        (billion, billion - 30),
        (billion, 3 * billion - 30),
        (1 << 62, 1 << 61),
        (1 << 62, (1 << 62) - 30),
        (u64::MAX, 1 << 62),
        (u64::MAX, i64::MAX as u64 - 30),
    ] {
        let rate = |epoch: u64| {
            let t_max = t_max.min(i64::MAX as u64);
            0.25 + (1.0 - 0.25) * (1.0 + (PI * epoch as f64 / t_max as f64).cos()) / 2.0
        };
        let mut adam = adam(1.0);
        let options = CosineAnnealingLrOptions::default().eta_min(0.25);
        let mut schedule = CosineAnnealingLr::with_options(&adam, t_max, options);
        adam.set_lr(0, rate(from)).unwrap();
        jump(&mut schedule, from as i64);
        for _ in 0..60 {
            schedule.step(&mut adam);
            let expected = rate(schedule.epoch());
            let close = (adam.lr(0) - expected).abs() < 1e-8;
            assert!(close, "{t_max} from {from}: {} {expected}", adam.lr(0));
        }
    }
}

#[test]
fn one_cycle_keeps_its_last_rate_beyond_its_end() {
    // PyTorch refuses a step beyond `total_steps`: it is documented that this stays instead.
    for strategy in [AnnealStrategy::Cosine, AnnealStrategy::Linear] {
        for (total, three_phase) in [(1, false), (2, true), (5, false), (30, true)] {
            let mut adam = adam(0.1);
            let options = OneCycleLrOptions::default().three_phase(three_phase);
            let options = options.anneal_strategy(strategy);
            let mut cycle = OneCycleLr::with_options(&mut adam, 0.1, total, options);
            (0..total + 1).for_each(|_| cycle.step(&mut adam));
            let last = adam.lr(0);
            (0..3).for_each(|_| cycle.step(&mut adam));
            assert_eq!(adam.lr(0), last);
            assert!((last / (0.1 / 25.0 / 1e4) - 1.0).abs() < 1e-9, "{last:e}");
        }
    }
}

#[test]
fn one_cycle_may_lead_nesterovs_momentum_through_0() {
    let options = SgdOptions::default().momentum(0.9).nesterov(true);
    let new = || Sgd::new([Parameter::new(Tensor::<f32>::ones([1]))], options).unwrap();
    let (mut sgd, mut restored) = (new(), new());
    let cycle = OneCycleLrOptions::default().base_momentum(0.0).max_momentum(0.9);
    let mut cycle = OneCycleLr::with_options(&mut sgd, 0.1, 10, cycle);
    (0..2).for_each(|_| cycle.step(&mut sgd));
    assert_eq!(sgd.param_groups()[0].momentum, 0.0);
    restored.load_state_dict(&sgd.state_dict()).unwrap();
    assert_eq!(restored.state_dict(), sgd.state_dict());
}

#[test]
fn a_step_from_the_last_epoch_changes_nothing() {
    let adam = &mut adam(0.5);
    let steps = StepLr::new(adam, 7, 0.5); // 7 divides the last epoch
    let schedules: [Box<dyn Scheduler>; 8] = [
        Box::new(steps.clone()),
        Box::new(MultiStepLr::new(adam, [u64::MAX], 0.5)),
        Box::new(ExponentialLr::new(adam, 0.5)),
        Box::new(CosineAnnealingLr::new(adam, u64::MAX)),
        Box::new(LinearLr::new(adam, 1.0, 0.5, u64::MAX)),
        Box::new(OneCycleLr::new(adam, 0.5, u64::MAX)),
        Box::new(SwaLr::new(adam, 0.1)),
        Box::new(
            SequentialLr::new(adam, steps.clone())
                .then(3, steps)
                .then(u64::MAX, ExponentialLr::new(adam, 0.5)),
        ),
    ];
    for mut schedule in schedules {
        jump(schedule.as_mut(), i64::MAX - 1);
        schedule.step(adam);
        assert_eq!(schedule.epoch(), i64::MAX as u64);
        let (state, rates) = (schedule.state_dict(), adam.state_dict());
        schedule.step(adam);
        assert_eq!((schedule.state_dict(), adam.state_dict()), (state, rates));
    }
}

#[test]
fn a_plateau_without_end_keeps_its_counts() {
    let adam = &mut adam(0.5);
    let mut schedule = ReduceLrOnPlateau::with_options(
        PlateauMode::Min,
        ReduceLrOnPlateauOptions::default().patience(u64::MAX),
    );
    schedule.step(adam, 1.0);
    let mut state = schedule.state_dict();
    state.insert("epoch", i64::MAX);
    state.insert("bad_epochs", i64::MAX);
    schedule.load_state_dict(&state).unwrap();
    (0..2).for_each(|_| schedule.step(adam, 1.0));
    assert_eq!((schedule.state_dict(), adam.lr(0)), (state, 0.5));
}

#[test]
fn a_last_step_count_is_kept() {
    let p = Parameter::new(Tensor::<f32>::ones([1]));
    p.set_grad(Some(Tensor::ones([1])));
    let mut adam = Adam::new([p.clone()], AdamOptions::default()).unwrap();
    let mut sgd = Sgd::new([p.clone()], SgdOptions::default().momentum(0.9)).unwrap();
    fn check<O: Optimizer>(optimizer: &mut O) {
        optimizer.step();
        let mut state = optimizer.state_dict();
        state.insert("groups.0.params.0.step", i64::MAX);
        optimizer.load_state_dict(&state).unwrap();
        (0..2).for_each(|_| optimizer.step());
        let state = optimizer.state_dict();
        assert_eq!(state.int("groups.0.params.0.step"), Ok(i64::MAX));
        optimizer.load_state_dict(&state).unwrap();
        optimizer.step();
    }
    check(&mut adam);
    check(&mut sgd);
    assert!(p.tensor().item().is_finite());
    let steps = (adam.state(&p).unwrap().step(), sgd.state(&p).unwrap().step());
    assert_eq!(steps, (i64::MAX as u64, i64::MAX as u64));
}

#[test]
fn momentum_begins_at_the_last_step_count_once() {
    let p = Parameter::new(Tensor::<f64>::zeros([1]));
    let options = SgdOptions::default().lr(1.0).dampening(0.5);
    let mut sgd = Sgd::new([p.clone()], options).unwrap();
    p.set_grad(Some(Tensor::full([1], 1.0)));
    sgd.step();
    let mut state = sgd.state_dict();
    state.insert("groups.0.params.0.step", i64::MAX);
    sgd.load_state_dict(&state).unwrap();
    sgd.update_param_group(0, |options| options.momentum = 0.5).unwrap();
    for buffer in [1.0, 0.5 + 0.5, 0.5 + 0.5] {
        sgd.step();
        assert_eq!(sgd.state(&p).unwrap().buffer().unwrap().to_vec(), [buffer]);
    }
    p.set_grad(Some(Tensor::full([1], 3.0)));
    sgd.step();
    assert_eq!(sgd.state(&p).unwrap().buffer().unwrap().to_vec(), [0.5 + 1.5]);
}

#[test]
fn milestones_are_loaded_with_their_number() {
    let adam = &mut adam(1.0);
    let saved = MultiStepLr::new(adam, [2, 5, 5], 0.5).state_dict();
    for milestones in [vec![], vec![1, 2, 3, 4, 5]] {
        let mut schedule = MultiStepLr::new(adam, milestones, 0.1);
        schedule.load_state_dict(&saved).unwrap();
        assert_eq!(schedule.state_dict(), saved);
    }
    let mut schedule = MultiStepLr::new(adam, [7], 0.1);
    for claimed in [2, 4, i64::MAX] {
        let mut state = saved.clone();
        state.insert("milestones", claimed);
        let error = schedule.load_state_dict(&state).unwrap_err().to_string();
        assert!(error.contains("`milestones`: found 3 of them"), "{error}");
    }
}

#[test]
fn an_invalid_rate_changes_no_group() {
    let group = |lr| ParamGroup::new([Parameter::new(Tensor::<f32>::ones([1]))]).lr(lr);
    let options = AdamOptions::default();
    let mut adam = Adam::with_groups([group(1.0), group(1e200)], options).unwrap();
    let factor = |epoch| if epoch == 2 { 1e200 } else { 0.5 };
    let mut schedule = LambdaLr::new(&mut adam, factor);
    schedule.step(&mut adam);
    let before = (schedule.state_dict(), adam.state_dict());
    assert!(catch_unwind(AssertUnwindSafe(|| schedule.step(&mut adam))).is_err());
    assert_eq!((schedule.state_dict(), adam.state_dict()), before);
}

#[test]
fn the_rates_of_swa_stay_between_both_ends_however_far_apart() {
    for (from, swa_lr, epochs) in [
        (1.0, 1e-300, 9),
        (1e-300, 1.0, 9),
        (1e300, 1e-300, 17),
        (0.0, 0.3, 100_003),
        (0.3, 0.0, 100_003),
    ] {
        for strategy in [AnnealStrategy::Cosine, AnnealStrategy::Linear] {
            let mut adam = adam(from);
            let options = SwaLrOptions::default().anneal_epochs(epochs).anneal_strategy(strategy);
            let mut schedule = SwaLr::with_options(&mut adam, swa_lr, options);
            let (low, high) = (f64::min(from, swa_lr), f64::max(from, swa_lr));
            for epoch in 1..epochs + 3 {
                schedule.step(&mut adam);
                let lr = adam.lr(0);
                assert!(
                    (low * (1.0 - 1e-9)..=high * (1.0 + 1e-9)).contains(&lr),
                    "{epoch}: {lr:e}"
                );
            }
            assert_eq!(adam.lr(0), swa_lr);
        }
    }
}
