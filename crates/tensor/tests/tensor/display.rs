//! Tensors as text: the same as PyTorch prints, character by character.
//!
//! `tests/fixtures/display.py` generates the fixture, and lists the names that differ.

use adamant_tensor::{Float, Indices, Mask, Tensor};

const FIXTURE: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/display.txt"));

#[test]
fn text_matches_pytorch() {
    let cases: Vec<&str> = FIXTURE.split("\n# ").skip(1).collect();
    assert!(cases.len() > 100);
    for case in cases {
        let (header, expected) = case.split_once('\n').unwrap();
        let (setting, values) = header.split_once(": ").unwrap();
        let &[dtype, sizes, decimals, origin] = &*setting.split(' ').collect::<Vec<_>>() else {
            panic!("{header}")
        };
        let shape: Vec<usize> = match sizes {
            "scalar" => vec![],
            sizes => sizes.split(',').map(|size| size.parse().unwrap()).collect(),
        };
        let values: Vec<f64> = values.split(' ').map(|value| value.parse().unwrap()).collect();
        let numel = shape.iter().product();
        let values: Vec<f64> = values.into_iter().cycle().take(numel).collect();
        let decimals = decimals.parse().unwrap();
        let found = match dtype {
            "f32" => float_text::<f32>(&values, &shape, decimals, origin),
            "f64" => float_text::<f64>(&values, &shape, decimals, origin),
            "usize" => {
                let values = values.iter().map(|&x| x as usize).collect();
                Indices::from_vec(values, shape).unwrap().to_string()
            }
            "bool" => {
                let values = values.iter().map(|&x| x != 0.0).collect();
                Mask::from_vec(values, shape).unwrap().to_string()
            }
            other => panic!("{other}"),
        };
        let expected = expected.trim_end();
        assert!(found == expected, "{setting}\nfound\n{found}\nexpected\n{expected}");
    }
}

fn float_text<T: Float>(values: &[f64], shape: &[usize], decimals: usize, origin: &str) -> String {
    let values = values.iter().map(|&x| T::from_f64(x)).collect();
    let x = Tensor::from_vec(values, shape).unwrap();
    let x = match origin {
        "none" => x,
        "leaf" => x.requires_grad(),
        "mul" => x.requires_grad() * Tensor::ones([]),
        other => panic!("{other}"),
    };
    if decimals == 4 { x.to_string() } else { format!("{x:.decimals$}") }
}

#[test]
fn a_view_prints_its_elements() {
    let x = Tensor::<f32>::arange(0.0, 12.0, 1.0).reshape([3, 4]).t().slice(0, 1.., 2);
    assert_eq!(x.to_string(), "tensor([[ 1.,  5.,  9.],\n        [ 3.,  7., 11.]])");
    let wide = Tensor::<f32>::ones([1]).broadcast_to([1 << 40]);
    assert_eq!(wide.to_string(), "tensor([1., 1., 1.,  ..., 1., 1., 1.], size=(1099511627776,))");
}

#[test]
fn debug_is_the_same() {
    let x = Tensor::<f64>::from([1.0, f64::NAN]);
    assert_eq!(format!("{x:?}"), "tensor([1., nan], dtype=f64)");
    assert_eq!(format!("{:?}", Indices::from([1])), "tensor([1])");
    assert_eq!(format!("{:?}", Mask::from([true])), "tensor([True])");
}

#[test]
fn any_number_of_dimensions_prints() {
    let text = Tensor::<f32>::ones(vec![1; 100]).to_string();
    assert_eq!(text, format!("tensor({}1.{})", "[".repeat(100), "]".repeat(100)));
}
