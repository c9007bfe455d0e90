//! Gradients by hand.
use adamant::prelude::*;
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    // A leaf that wants a gradient. It is None until something arrives.
    let x = Tensor::from_vec(vec![1.0f32, 2.0, 3.0], [3])?.requires_grad();
    assert!(x.grad().is_none());
    let y = (&x * &x + 1.0).sum();
    y.backward();
    assert_eq!(x.grad().unwrap().to_vec(), [2.0, 4.0, 6.0]);
    (&x * 10.0).sum().backward(); // gradients add up
    assert_eq!(x.grad().unwrap().to_vec(), [12.0, 14.0, 16.0]);
    x.zero_grad(false);
    assert_eq!(x.grad().unwrap().to_vec(), [0.0; 3]);
    x.zero_grad(true);
    assert!(x.grad().is_none());

    // A parameter is the one thing that changes in place.
    let w = Parameter::new(Tensor::from_vec(vec![0.5f32; 6], [3, 2])?);
    let loss = x.reshape([1, 3]).matmul(&w.tensor()).tanh().mean();
    loss.backward();
    assert_eq!(w.grad().unwrap().shape(), [3, 2]);
    w.set_grad(None);
    assert!(w.grad().is_none());

    // Second derivatives: d²(x³)/dx² = 6x.
    let x = Tensor::from_vec(vec![2.0f64, -1.0], [2])?.requires_grad();
    let first = grad(&(&x * &x * &x).sum(), &[&x], GradOptions::default().create_graph(true));
    let second = grad(&first[0].sum(), &[&x], GradOptions::default());
    assert_eq!(second[0].to_vec(), [12.0, -6.0]);

    // Nothing is recorded here.
    let y = no_grad(|| &x * 3.0);
    assert!(!y.is_tracked());

    // A user's own op: forward by any means, backward as a function of the incoming gradient.
    let cube = |t: &Tensor<f64>| {
        let input = t.clone();
        Tensor::custom("cube", &[t], t.detach().powf(3.0), move |g| {
            vec![Some(g * &input.powf(2.0) * 3.0)]
        })
    };
    cube(&x).sum().backward();
    assert_eq!(x.grad().unwrap().to_vec(), [12.0, 3.0]);
    gradcheck(|inputs| cube(&inputs[0]), &[x.detach()])?;
    Ok(())
}
