//! A closure that re-evaluates the model, in f64, with the less common options.
use adamant::prelude::*;
use std::error::Error;

/// Rosenbrock's valley: minimum 0 at (1, 1).
fn rosenbrock(p: &Parameter<f64>) -> Tensor<f64> {
    let p = p.tensor();
    let (x, y) = (p.select(0, 0), p.select(0, 1));
    (1.0 - &x).powf(2.0) + (y - x.powf(2.0)).powf(2.0) * 100.0
}

fn main() -> Result<(), Box<dyn Error>> {
    let p = Parameter::new(Tensor::from_vec(vec![-1.5f64, 1.5], [2])?);
    let options = AdamOptions::default().lr(0.3).betas(0.9, 0.99).eps(1e-10).amsgrad(true);
    let mut adam = Adam::new([p.clone()], options)?;
    let mut last = f64::INFINITY;
    for _ in 0..3_000 {
        let loss = adam.step_with(|adam| {
            adam.zero_grad(true);
            let loss = rosenbrock(&p);
            loss.backward();
            loss
        });
        last = loss.item();
    }
    println!("f = {last:.3e} at {:?}", p.tensor().to_vec());
    assert!(last < 1e-6);
    // where torch.optim.Adam stands after the same 3,000 steps
    let torch = [0.9999397045855539, 0.9998792279654225];
    assert!(
        p.tensor().to_vec().iter().zip(torch).all(|(ours, theirs)| (ours - theirs).abs() < 1e-9)
    );

    // maximize: climb instead
    let q = Parameter::new(Tensor::from_vec(vec![3.0f64], [1])?);
    let mut adam = Adam::new([q.clone()], AdamOptions::default().lr(0.1).maximize(true))?;
    for _ in 0..500 {
        adam.zero_grad(true);
        (-(q.tensor() - 5.0).powf(2.0)).sum().backward();
        adam.step();
    }
    assert!((q.tensor().item() - 5.0).abs() < 1e-2);

    // State is a snapshot; loading checks all of it before it changes anything.
    let saved = adam.state_dict();
    let mut twin = Adam::new([q.clone()], AdamOptions::default())?;
    twin.load_state_dict(&saved)?;
    assert_eq!(twin.param_groups()[0].lr, 0.1);
    q.set_grad(Some(Tensor::from_vec(vec![-2.0f64], [1])?));
    adam.step();
    assert_ne!(adam.state_dict(), twin.state_dict());

    // What cannot work is an error, not a surprise later.
    assert!(Adam::new([q.clone()], AdamOptions::default().betas(1.0, 0.999)).is_err());
    assert!(Adam::new([q.clone(), q.clone()], AdamOptions::default()).is_err());
    assert!(Adam::<f64>::new([], AdamOptions::default()).is_err());
    Ok(())
}
