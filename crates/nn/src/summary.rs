//! A model as a table: its layers, the shapes of their outputs, and their parameters.

use crate::tree::module::{Entered, Forward, Leaf, Module, Path};
use crate::tree::observe::{Call, Layer, address, calls_of, observed};
use crate::tree::panic_context::with_context;
use crate::tree::type_name::short;
use adamant_tensor::{Float, Shape, Tensor};
use std::collections::{HashMap, HashSet};
use std::fmt;

/// A line of a [`Summary`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SummaryRow {
    /// The layer's path in the model: `body.0`; empty for the model itself.
    pub path: String,
    /// Its type: `Linear`.
    pub layer: String,
    /// The shape of its output, if it was reported.
    pub output: Option<Shape>,
    /// The number of its own weights, without those of the layers within it.
    pub parameters: usize,
    depth: usize,
}

/// A table of a model's layers, printed by `{}`.
///
/// PyTorch: what `torchinfo.summary` returns.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The lines, a layer before the layers within it.
    pub rows: Vec<SummaryRow>,
    /// The number of weights; a shared parameter counts once.
    pub parameters: usize,
    /// The number of those that require a gradient.
    pub trainable: usize,
    bytes: usize,
}

/// Runs `model` on zeros of shape `input` and returns a table of its layers.
///
/// Nothing is recorded, and the model stays as it is: its layers behave as in evaluation. The
/// output shapes of this library's layers and of all layers of a
/// [`Sequential`](crate::Sequential) are known; other layers report theirs by
/// [`observe`](crate::observe()), or `-` is printed. For a model whose input is not a tensor:
/// [`summary_of`].
///
/// # Panics
/// If the model panics with such an input: at the caller's line, with the model's message.
///
/// PyTorch: `torchinfo.summary(model, input_size)`.
///
/// ```
/// use adamant_nn::{Linear, Relu, Sequential, summary};
/// use adamant_tensor::Generator;
/// let rng = &mut Generator::seed(0);
/// let net = Sequential::new().add(Linear::new(784, 128, rng)).add(Relu).add(Linear::new(128, 10, rng));
/// let table = summary(&net, [64, 784]);
/// assert_eq!(table.parameters, 101_770);
/// assert_eq!(format!("\n{table}"), "
/// layer        output     parameters    share
/// -------------------------------------------
/// Sequential   [64, 10]            -        -
///   0: Linear  [64, 128]     100,480   98.7 %
///   1: Relu    [64, 128]           -        -
///   2: Linear  [64, 10]        1,290    1.3 %
/// -------------------------------------------
/// total                      101,770  100.0 %
/// trainable                  101,770  100.0 %
/// memory                      0.4 MB
/// ");
/// ```
#[must_use]
#[track_caller]
pub fn summary<T: Float>(
    model: &(impl Module<T> + Forward<T> + ?Sized),
    input: impl Into<Shape>,
) -> Summary {
    let x = Tensor::zeros(input);
    let layer = (address(model), std::any::type_name_of_val(model));
    let run = || drop(observed(layer, || model.forward(&x)));
    let context = || format!("summary: an input of shape {:?}", x.shape());
    let calls = with_context(|| calls_of(run), context);
    Summary::new(model, &calls)
}

/// A table of the layers of `model`, with the output shapes reported while `run` uses it: for a
/// model whose input is not a tensor, such as one with an embedding.
///
/// ```
/// use adamant_nn::{Forward, Linear, summary_of};
/// use adamant_tensor::{Generator, Tensor};
/// let layer = Linear::new(3, 2, &mut Generator::seed(0));
/// let table = summary_of(&layer, |layer| drop(layer.forward(&Tensor::zeros([5, 3]))));
/// assert_eq!(table.rows[0].output.as_deref(), Some(&[5, 2][..]));
/// ```
#[must_use]
#[track_caller]
pub fn summary_of<T: Float, M: Module<T> + ?Sized>(model: &M, run: impl FnOnce(&M)) -> Summary {
    let calls = calls_of(|| run(model));
    Summary::new(model, &calls)
}

impl Summary {
    fn new<T: Float>(model: &(impl Module<T> + ?Sized), calls: &[Call]) -> Summary {
        let mut path = Path::listing();
        let mut own: HashMap<String, usize> = HashMap::new(); // by path
        let (mut seen, mut parameters, mut trainable) = (HashSet::new(), 0, 0);
        model.visit(&mut path, &mut |path, leaf| {
            if let Leaf::Parameter(parameter) = leaf
                && seen.insert(parameter.id())
            {
                let n = parameter.numel();
                parameters += n;
                trainable += if parameter.is_tracked() { n } else { 0 };
                *own.entry(path.to_string()).or_default() += n;
            }
        });
        let entered = path.into_entered();
        let outputs = outputs(&entered, calls);
        // A parameter belongs to the innermost layer entered on the way to it.
        let mut counts = vec![0; entered.len()];
        for (path, n) in own {
            let around = (0..entered.len()).filter(|&i| is_within(&path, &entered[i].path));
            if let Some(i) = around.max_by_key(|&i| (entered[i].path.len(), i)) {
                counts[i] += n;
            }
        }
        let mut rows: Vec<SummaryRow> = Vec::new();
        for ((layer, output), parameters) in entered.iter().zip(outputs).zip(counts) {
            let around = rows.iter().rev().find(|row| is_within(&layer.path, &row.path));
            let depth = around.map_or(0, |row| row.depth + 1);
            let (path, layer) = (layer.path.clone(), short(layer.type_name));
            rows.push(SummaryRow { path, layer, output, parameters, depth });
        }
        Summary { rows, parameters, trainable, bytes: parameters * size_of::<T>() }
    }
}

/// Whether `path` is `part` or below it.
fn is_within(path: &str, part: &str) -> bool {
    part.is_empty()
        || path.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The output shape of each layer, where it is certain. Layers that share an address and a type
/// are distinguished by the order of their calls, if there is one call for each.
fn outputs(entered: &[Entered], calls: &[Call]) -> Vec<Option<Shape>> {
    let key = |layer: &Entered| (layer.address, layer.type_name);
    let mut shapes: HashMap<Layer, Vec<&Shape>> = HashMap::new();
    for call in calls {
        shapes.entry(call.layer).or_default().push(&call.shape);
    }
    let mut of_key: HashMap<Layer, usize> = HashMap::new();
    let mut ranks = Vec::new(); // the number of earlier layers with the same key
    for layer in entered {
        let count = of_key.entry(key(layer)).or_default();
        ranks.push(*count);
        *count += 1;
    }
    let output = |(layer, rank): (&Entered, usize)| {
        let shapes = shapes.get(&key(layer))?;
        let alike = shapes.windows(2).all(|pair| pair[0] == pair[1]);
        match of_key[&key(layer)] {
            1 => Some(shapes[0].clone()),
            _ if alike => Some(shapes[0].clone()),
            n if n == shapes.len() => Some(shapes[rank].clone()),
            _ => None,
        }
    };
    entered.iter().zip(ranks).map(output).collect()
}

/// `1234567` as `1,234,567`.
fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |n: usize| match self.parameters {
            0 => "-".to_string(),
            all => format!("{:.1} %", 100.0 * n as f64 / all as f64),
        };
        let count_and_share = |n: usize| match n {
            0 => ["-".to_string(), "-".to_string()],
            n => [grouped(n), share(n)],
        };
        let mut lines = vec![["layer", "output", "parameters", "share"].map(String::from)];
        for row in &self.rows {
            // The path relative to that of the layer around it.
            let before = self.rows.iter().take_while(|other| !std::ptr::eq(*other, row));
            let outer = before.filter(|other| other.depth + 1 == row.depth).last();
            let name = outer.map_or(&row.path[..], |outer| {
                row.path[outer.path.len()..].trim_start_matches('.')
            });
            let colon = if name.is_empty() { "" } else { ": " };
            let layer = format!("{}{name}{colon}{}", "  ".repeat(row.depth), row.layer);
            let output = row.output.as_ref().map_or("-".to_string(), Shape::to_string);
            let [parameters, share] = count_and_share(row.parameters);
            lines.push([layer, output, parameters, share]);
        }
        for (name, n) in [("total", self.parameters), ("trainable", self.trainable)] {
            lines.push([name.to_string(), String::new(), grouped(n), share(n)]);
        }
        let megabytes = format!("{:.1} MB", self.bytes as f64 / 1e6);
        lines.push(["memory".to_string(), String::new(), megabytes, String::new()]);

        let width = |column: usize| {
            lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0)
        };
        let [a, b, c, d] = [0, 1, 2, 3].map(width);
        let rule = "-".repeat(a + b + c + d + 6);
        for (i, [layer, output, parameters, share]) in lines.iter().enumerate() {
            if i == 1 || i + 3 == lines.len() {
                writeln!(f, "{rule}")?;
            }
            let line = format!("{layer:<a$}  {output:<b$}  {parameters:>c$}  {share:>d$}");
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Embedding, Linear, Lstm, LstmOptions, Module, TransformerEncoderLayer};
    use adamant_tensor::{Generator, Indices, Stateful};

    #[derive(Module)]
    #[module(crate = crate)]
    struct Reader {
        words: Embedding,
        blocks: Vec<TransformerEncoderLayer>,
        lstm: Lstm,
        head: Linear,
    }

    #[test]
    fn every_layers_output_is_reported() {
        let rng = &mut Generator::seed(0);
        let options = LstmOptions::default().num_layers(2).bidirectional(true).dropout(0.1);
        let model = Reader {
            words: Embedding::new(50, 8, rng),
            blocks: (0..2).map(|_| TransformerEncoderLayer::new(8, 2, rng)).collect(),
            lstm: Lstm::with_options(8, 3, options, rng),
            head: Linear::new(6, 4, rng),
        };
        let before = model.state_dict(); // includes the generators of the dropouts
        let table = summary_of(&model, |model| {
            let x = model.words.forward(&Indices::from([[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]]));
            let x = model.blocks.iter().fold(x, |x, block| block.forward(&x));
            drop(model.head.forward(&model.lstm.forward(&x)));
        });
        assert_eq!(model.state_dict(), before);
        let shape = |path: &str| {
            let row = table.rows.iter().find(|row| row.path == path).unwrap();
            row.output.as_deref().unwrap_or_default().to_vec()
        };
        assert_eq!(shape("words"), [2, 5, 8]);
        assert_eq!(shape("blocks.1"), [2, 5, 8]);
        assert_eq!(shape("blocks.1.self_attn"), [2, 5, 8]);
        assert_eq!(shape("blocks.1.linear1"), [2, 5, 2048]);
        assert_eq!(shape("lstm"), [2, 5, 6]);
        assert_eq!(shape("head"), [2, 5, 4]);
        // Only the model itself does not report its output.
        let unknown = table.rows.iter().filter(|row| row.output.is_none());
        assert_eq!(unknown.map(|row| &row.layer[..]).collect::<Vec<_>>(), ["Reader"]);
    }

    /// Two layers without fields share an address; only the order of their calls tells them apart.
    #[test]
    fn layers_without_fields_are_told_apart() {
        #[derive(Clone, Module)]
        #[module(crate = crate)]
        struct Halve;
        impl Forward for Halve {
            fn forward(&self, x: &Tensor) -> Tensor {
                x.narrow(-1, 0, x.shape()[1] / 2)
            }
        }
        let net = crate::Sequential::new().add(Halve).add(crate::Relu).add(Halve);
        let outputs = summary(&net, [2, 8]).rows.into_iter().map(|row| row.output.unwrap());
        assert_eq!(outputs.collect::<Vec<_>>(), [[2, 2], [2, 4], [2, 4], [2, 2]].map(Shape::from));
    }
}
