//! A model is built without initialization, loaded from files or not, trained and saved.

use adamant::prelude::*;

fn net(rng: &mut Generator) -> Sequential {
    Sequential::new().add(Linear::new(3, 4, rng)).add(Tanh).add(Linear::new(4, 2, rng))
}

fn without_initialization() -> Sequential {
    init::skip_init(|| net(&mut Generator::seed(0)))
}

fn step(net: &Sequential) {
    let mut adam = Adam::new(net.parameters(), AdamOptions::default().lr(0.1)).unwrap();
    let x: Tensor = Tensor::randn([5, 3], &mut Generator::seed(1));
    (net.forward(&x) - 1.0).square().sum().backward();
    adam.step();
}

#[test]
fn a_model_without_initialization_steps_and_is_saved() {
    let (skipped, zeros) = (without_initialization(), net(&mut Generator::seed(0)));
    zeros.parameters().iter().for_each(|parameter| parameter.value_mut().fill(0.0));
    let folder = tempfile::tempdir().unwrap();
    let [weights, checkpoint] =
        ["net.safetensors", "net.ckpt"].map(|name| folder.path().join(name));
    save_safetensors(&skipped.state_dict(), &weights).unwrap();
    let mut loaded = net(&mut Generator::seed(3));
    loaded.load_state_dict(&load_safetensors(&weights).unwrap()).unwrap();
    assert_eq!(loaded.state_dict(), zeros.state_dict());
    Checkpoint::new().with("net", &skipped).save(&checkpoint).unwrap();
    assert_eq!(Checkpoint::load(&checkpoint).unwrap().part("net"), Some(&zeros.state_dict()));

    step(&skipped);
    step(&zeros);
    assert_eq!(skipped.state_dict(), zeros.state_dict());
    assert_ne!(skipped.state_dict(), without_initialization().state_dict());
}

#[test]
fn a_pretrained_body_gets_another_name_and_a_new_head() {
    let trained = net(&mut Generator::seed(2));
    let mut file = StateDict::new();
    file.insert_part("model", trained.state_dict().cast::<f64>());
    file.insert("model.2.weight", Tensor::<f32>::ones([7, 4]));
    file.remove("model.2.bias");

    let model = without_initialization();
    let options = LoadOptions::default().rename_prefix("model.", "").strict(false);
    let report = load_with(&model, &file, options).unwrap();
    assert_eq!(report.loaded, ["0.weight", "0.bias"]);
    assert_eq!(
        (&report.misshapen[..], &report.missing[..]),
        (&["2.weight".into()][..], &["2.bias".into()][..])
    );
    assert_eq!(model.state_dict().part("0"), trained.state_dict().part("0"));
    step(&model);
    assert_ne!(model.state_dict()["2.bias"], without_initialization().state_dict()["2.bias"]);
}
