//! Each mistake with an optimizer or a schedule has a message of its own, at the line that made it.

use crate::mistakes::{Mistakes, here};
use adamant_optim::*;
use adamant_tensor::{Mismatch, Parameter, StateDict, Stateful, Tensor};
use std::cell::RefCell;

fn adam() -> Adam {
    let group = || ParamGroup::new([Parameter::new(Tensor::ones([2]))]);
    Adam::with_groups([group(), group()], AdamOptions::default()).unwrap()
}

#[test]
fn a_missing_group_is_named_at_the_callers_line() {
    let mut mistakes = Mistakes::default();
    let mut check = |expected: &str, mistake: &dyn Fn()| mistakes.check(expected, mistake);
    let two = "group 9; expected one of the 2, from 0 on";
    let adam = RefCell::new(adam());
    check(&format!("lr: {two}"), &|| here!(adam.borrow().lr(9)));
    check(&format!("base_lr: {two}"), &|| here!(adam.borrow().base_lr(9)));
    check(&format!("set_base_lr: {two}"), &|| {
        here!(adam.borrow_mut().set_base_lr(9, 0.1));
    });
    check(&format!("set_default_base_lr: {two}"), &|| {
        here!(adam.borrow().set_default_base_lr(9));
    });
    check("set_all: lrs has 3 elements; expected 2, one for each group", &|| {
        here!(adam.borrow_mut().set_all(&[0.1; 3], None));
    });
    check(&format!("set_lr: {two}"), &|| {
        here!(adam.borrow_mut().set_lr(9, 0.1));
    });
    check(&format!("set_momentum: {two}"), &|| {
        here!(adam.borrow_mut().set_momentum(9, 0.1));
    });
    check(&format!("update_param_group: {two}"), &|| {
        here!(adam.borrow_mut().update_param_group(9, |_| ()));
    });
    mistakes.none_was_wrong();
}

#[test]
fn an_invalid_value_is_named_at_the_callers_line() {
    let mut mistakes = Mistakes::default();
    let mut check = |expected: &str, mistake: &dyn Fn()| mistakes.check(expected, mistake);
    let nan = f64::NAN;
    let adam = RefCell::new(adam());
    let at_least_0 = "expected a finite number of at least 0";

    let p = Parameter::new(Tensor::<f32>::ones([2]));
    check("clip_grad_norm: max_norm is NaN; expected a number of at least 0", &|| {
        here!(clip_grad_norm(std::slice::from_ref(&p), nan));
    });
    check("clip_grad_norm_if_finite: max_norm is -1; expected a number of at least 0", &|| {
        here!(clip_grad_norm_if_finite(std::slice::from_ref(&p), -1.0));
    });
    check("clip_grad_value: limit is NaN; expected a number of at least 0", &|| {
        here!(clip_grad_value(std::slice::from_ref(&p), nan));
    });
    check("clip_grad_value: limit is -0.5; expected", &|| {
        here!(clip_grad_value(std::slice::from_ref(&p), -0.5));
    });

    // Schedules, as they are made.
    check("StepLr: step_size is 0; expected at least 1", &|| {
        here!(StepLr::new(&*adam.borrow(), 0, 0.5));
    });
    check(&format!("StepLr: gamma is NaN; {at_least_0}"), &|| {
        here!(StepLr::new(&*adam.borrow(), 1, nan));
    });
    check(&format!("MultiStepLr: gamma is -1; {at_least_0}"), &|| {
        here!(MultiStepLr::new(&mut *adam.borrow_mut(), [2], -1.0));
    });
    check(&format!("ExponentialLr: gamma is inf; {at_least_0}"), &|| {
        here!(ExponentialLr::new(&*adam.borrow(), f64::INFINITY));
    });
    check("CosineAnnealingLr: t_max is 0; expected at least 1", &|| {
        here!(CosineAnnealingLr::new(&*adam.borrow(), 0));
    });
    let cosine = CosineAnnealingLr::new(&*adam.borrow(), 3);
    check(&format!("CosineAnnealingLr: eta_min is NaN; {at_least_0}"), &|| {
        let options = CosineAnnealingLrOptions::default().eta_min(nan);
        here!(CosineAnnealingLr::with_options(&*adam.borrow(), 3, options));
    });
    check("LinearLr: start_factor is 0; expected above 0, at most 1", &|| {
        here!(LinearLr::new(&mut *adam.borrow_mut(), 0.0, 1.0, 3));
    });
    check("OneCycleLr: max_lr is 0; expected a finite number above 0", &|| {
        here!(OneCycleLr::new(&mut *adam.borrow_mut(), 0.0, 3));
    });
    let one_cycle = |div_factor, final_div_factor| {
        let options = OneCycleLrOptions::default().div_factor(div_factor);
        let options = options.final_div_factor(final_div_factor);
        here!(OneCycleLr::with_options(&mut *adam.borrow_mut(), 1.0, 3, options));
    };
    let far = "expected a finite number above 0 that leaves a finite rate";
    check(&format!("OneCycleLr: final_div_factor is 0; {far}"), &|| {
        one_cycle(1.0, 0.0);
    });
    check("OneCycleLr: final_div_factor is 0.000", &|| one_cycle(1e-200, 1e-200));
    check(&format!("SwaLr: swa_lr is -1; {at_least_0}"), &|| {
        here!(SwaLr::new(&mut *adam.borrow_mut(), -1.0));
    });
    let plateau = |options| here!(ReduceLrOnPlateau::with_options(PlateauMode::Min, options));
    let options = ReduceLrOnPlateauOptions::default;
    check("ReduceLrOnPlateau: factor is 1; expected a number from 0 to below 1", &|| {
        plateau(options().factor(1.0));
    });
    check(&format!("ReduceLrOnPlateau: threshold is NaN; {at_least_0}"), &|| {
        plateau(options().threshold(nan));
    });
    check(&format!("ReduceLrOnPlateau: min_lr is -1; {at_least_0}"), &|| {
        plateau(options().min_lr(-1.0));
    });
    check(&format!("ReduceLrOnPlateau: eps is NaN; {at_least_0}"), &|| {
        plateau(options().eps(nan));
    });
    check("SequentialLr: milestone is 0; expected more than 0", &|| {
        let sequence = SequentialLr::new(&mut *adam.borrow_mut(), cosine.clone());
        here!(sequence.then(0, cosine.clone()));
    });

    // Rates that a user's function returns.
    let nan_from = |first| move |epoch| if epoch < first { 1.0 } else { nan };
    let lr =
        |epoch| format!("LambdaLr: at epoch {epoch}, parameter group 0: lr is NaN; {at_least_0}");
    check(&lr(0), &|| here!(LambdaLr::new(&mut *adam.borrow_mut(), nan_from(0))));
    let lambda = RefCell::new(LambdaLr::new(&mut *adam.borrow_mut(), nan_from(2)));
    lambda.borrow_mut().step(&mut *adam.borrow_mut());
    check(&lr(2), &|| here!(lambda.borrow_mut().step(&mut *adam.borrow_mut())));
    mistakes.none_was_wrong();
}

#[test]
fn mismatches_of_a_state_are_typed() {
    let mut adam = adam();
    let mut state = adam.state_dict();
    state.insert("groups.0.lr", "fast");
    state.remove("groups.1.eps");
    state.insert("momentum", 0.5);
    let error = adam.load_state_dict(&state).unwrap_err();
    let (name, expected) = ("groups.0.lr".into(), "a number".into());
    let wrong = Mismatch::Wrong { name, found: "the string \"fast\"".into(), expected };
    let (name, expected) = ("groups.1.eps".into(), "a number".into());
    let missing = Mismatch::Missing { name, expected };
    let (name, found) = ("momentum".into(), "the float 0.5".into());
    let unexpected = Mismatch::Unexpected { name, found };
    let range = Mismatch::Wrong {
        name: "groups.1.lr".into(),
        found: "-1".into(),
        expected: "a finite number of at least 0".into(),
    };
    assert_eq!(error.mismatches(), [wrong, missing, unexpected]);
    state.insert("groups.1.lr", -1.0);
    assert!(adam.load_state_dict(&state).unwrap_err().mismatches().contains(&range));

    let names = adam.state_dict();
    let wrapped: StateDict =
        names.iter().map(|(name, value)| (format!("run.{name}"), value.clone())).collect();
    let error = adam.load_state_dict(&wrapped).unwrap_err().to_string();
    assert!(error.contains("`StateDict::remove_prefix(\"run.\")` removes it"), "{error}");
}
