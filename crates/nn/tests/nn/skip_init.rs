//! Models that are built without initialization work like models whose weights are zeros.

use adamant_nn::{
    Bilinear, Conv1d, Conv2d, ConvTranspose2d, Embedding, EmbeddingOptions, Forward, Gru,
    LayerNorm, Linear, LoadOptions, Lstm, Module, MultiheadAttention, Rnn, Sequential, Stateful,
    TransformerEncoderLayer, init, init::skip_init, load_with,
};
use adamant_tensor::{Generator, Indices, StateDict, Tensor, Value, memory_stats, take_values};

/// Whether each parameter's elements, if there are several, share their memory.
fn is_placeholder(value: &Value) -> bool {
    value.array::<f32>().is_some_and(|array| array.as_slice().is_none())
}

#[test]
fn every_initialization_is_skipped() {
    let rng = &mut Generator::seed(0);
    let before = rng.state_dict();
    let tensors: [Tensor; 7] = skip_init(|| {
        [
            init::uniform([2, 3], -1.0, 1.0, rng),
            init::normal([2, 3], 5.0, 1.0, rng),
            init::kaiming_uniform([2, 3], 0.0, rng),
            init::kaiming_normal([2, 3], 0.0, rng),
            init::xavier_uniform([2, 3], 1.0, rng),
            init::xavier_normal([2, 3], 1.0, rng),
            init::bias(6, 3, rng).reshape([2, 3]),
        ]
    });
    for tensor in tensors {
        assert_eq!((tensor.shape(), tensor.to_vec()), ([2, 3].as_slice(), vec![0.0; 6]));
        assert!(is_placeholder(&tensor.into()));
    }
    assert_eq!(rng.state_dict(), before);
}

#[test]
fn a_weight_takes_the_memory_of_one_element() {
    let rng = &mut Generator::seed(0);
    let options = EmbeddingOptions::default().padding_idx(1);
    let before = memory_stats().live_bytes;
    let table: Embedding = skip_init(|| Embedding::with_options(1 << 18, 1 << 10, options, rng));
    // It has a gibibyte of weights. Other tests of this process have less than half of that.
    assert_eq!(table.weight.numel(), 1 << 28);
    assert!(memory_stats().live_bytes < before + (1 << 29));
    assert!(is_placeholder(&table.weight.tensor().into()));
}

#[test]
fn the_mode_is_restored() {
    let drawn = || init::normal::<f32>([2], 9.0, 0.1, &mut Generator::seed(0)).to_vec()[0] > 1.0;
    assert!(drawn());
    skip_init(|| {
        assert!(!skip_init(drawn));
        assert!(!drawn());
    });
    assert!(drawn());
    let panicked = std::panic::catch_unwind(|| skip_init(|| assert!(drawn(), "as expected")));
    assert!(panicked.is_err() && drawn());
    assert!(skip_init(|| std::thread::spawn(drawn).join().unwrap())); // a thread's own
}

/// Layers of every kind that has weights.
#[derive(Module)]
#[module(crate = adamant_nn, clone)]
struct Zoo {
    embedding: Embedding,
    linear: Linear,
    bilinear: Bilinear,
    conv1d: Conv1d,
    conv2d: Conv2d,
    transposed: ConvTranspose2d,
    rnn: Rnn,
    lstm: Lstm,
    gru: Gru,
    attention: MultiheadAttention,
    encoder: TransformerEncoderLayer,
    norm: LayerNorm,
}

fn zoo() -> Zoo {
    let rng = &mut Generator::seed(0);
    let mut zoo = Zoo {
        embedding: Embedding::new(5, 4, rng),
        linear: Linear::new(4, 4, rng),
        bilinear: Bilinear::new(4, 4, 4, rng),
        conv1d: Conv1d::new(4, 4, 3, rng),
        conv2d: Conv2d::new(1, 2, 3, rng),
        transposed: ConvTranspose2d::new(2, 2, 3, rng),
        rnn: Rnn::new(4, 4, rng),
        lstm: Lstm::new(4, 4, rng),
        gru: Gru::new(4, 4, rng),
        attention: MultiheadAttention::new(4, 2, rng),
        encoder: TransformerEncoderLayer::new(4, 2, rng),
        norm: LayerNorm::new([4]),
    };
    zoo.eval(); // no dropout
    zoo
}

impl Zoo {
    /// A sum over the outputs of all layers.
    fn loss(&self) -> Tensor {
        let ramp = Tensor::from_vec((1..=24).map(|i| (i * i) as f32 / 100.0).collect(), [2, 3, 4]);
        let x = self.embedding.forward(&Indices::from([[0, 3, 1], [2, 2, 4]])) + ramp.unwrap();
        let (rows, image) = (x.reshape([6, 4]), x.reshape([1, 1, 6, 4]));
        let (channels, convolved) = (x.permute([0, 2, 1]), self.conv2d.forward(&image));
        let outputs = [
            self.linear.forward(&x),
            self.bilinear.forward(&rows, &rows),
            self.conv1d.forward(&channels),
            self.transposed.forward(&convolved),
            self.rnn.forward(&x),
            self.lstm.forward(&x),
            self.gru.forward(&x),
            self.attention.forward(&x),
            self.encoder.forward(&x),
            self.norm.forward(&x),
        ];
        outputs.iter().map(|y| (y - 1.0).square().sum()).reduce(|a, b| a + b).unwrap()
    }

    /// The gradient of each parameter.
    fn grads(&self) -> Vec<Vec<f32>> {
        self.zero_grad();
        self.loss().backward();
        let grads = self.parameters().into_iter().map(|p| p.grad().unwrap().to_vec());
        grads.collect()
    }
}

/// The model with zeros of its own in the place of each parameter that shares its zeros.
fn with_zeros(model: &Zoo) -> Zoo {
    let zeros = zoo();
    for (own, placeholder) in zeros.parameters().iter().zip(model.parameters()) {
        own.value_mut().copy_from_slice(&placeholder.tensor().to_vec());
    }
    zeros
}

/// The state without the generators.
fn weights(model: &Zoo) -> StateDict {
    let state = model.state_dict();
    let entries = state.iter().filter(|(name, _)| !name.contains("rng"));
    entries.map(|(name, value)| (name, value.clone())).collect()
}

#[test]
fn all_layers_skip_and_work_without_initialization() {
    let model = skip_init(zoo);
    let state = weights(&model);
    let own = state.iter().filter(|(_, value)| !is_placeholder(value)).map(|(name, _)| name);
    let own: Vec<&str> = own.collect();
    // Those that start as ones or zeros.
    let expected = [
        "attention.in_proj_bias",
        "attention.out_proj.bias",
        "encoder.self_attn.in_proj_bias",
        "encoder.self_attn.out_proj.bias",
        "encoder.norm1.weight",
        "encoder.norm1.bias",
        "encoder.norm2.weight",
        "encoder.norm2.bias",
        "norm.weight",
        "norm.bias",
    ];
    assert_eq!(own, expected);

    let (zeros, grads) = (with_zeros(&model), model.grads());
    assert_eq!(model.loss().to_vec(), zeros.loss().to_vec());
    assert_eq!(grads, zeros.grads());
    assert!(grads.iter().flatten().filter(|x| **x != 0.0).count() > 100);
    assert_eq!(weights(&model), weights(&zeros));
}

#[test]
fn a_step_gives_each_weight_its_own_memory() {
    let model = skip_init(zoo);
    let (copy, zeros) = (model.clone(), with_zeros(&model));
    for model in [&model, &zeros] {
        let (parameters, grads) = (model.parameters(), model.grads());
        for (value, grad) in take_values("step", parameters.iter()).iter_mut().zip(grads) {
            value.make_mut().iter_mut().zip(grad).for_each(|(w, g)| *w -= 0.1 * g);
        }
    }
    assert_eq!(weights(&model), weights(&zeros));
    assert!(!model.parameters().iter().any(|p| is_placeholder(&p.tensor().into())));
    assert_ne!(weights(&copy), weights(&model));
    copy.linear.weight.value_mut()[1] = 3.0;
    assert_eq!(copy.linear.weight.tensor().to_vec()[..3], [0.0, 3.0, 0.0]);
}

#[test]
fn a_loaded_model_is_the_saved_one() {
    let saved = zoo();
    let model = skip_init(zoo);
    load_with(&model, &saved.state_dict(), LoadOptions::default()).unwrap();
    assert_eq!(model.state_dict(), saved.state_dict());
    assert_eq!(model.loss().to_vec(), saved.loss().to_vec());
}

#[test]
fn a_model_without_initialization_is_saved_and_summed_up() {
    let rng = &mut Generator::seed(0);
    let model = skip_init(|| Sequential::new().add(Linear::new(3, 2, rng)));
    let mut other = Sequential::new().add(Linear::new(3, 2, &mut Generator::seed(1)));
    other.load_state_dict(&model.state_dict()).unwrap();
    assert_eq!(other.forward(&Tensor::ones([1, 3])).to_vec(), [0.0, 0.0]);
    let double = model.state_dict().cast::<f64>();
    assert_eq!(double["0.weight"].tensor::<f64>().unwrap().to_vec(), [0.0; 6]);
    assert_eq!(model.state_dict().non_finite().count(), 0);
}
