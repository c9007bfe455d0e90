//! Tensors as text, laid out as PyTorch's `print` does.
//!
//! `Debug` prints the same, so that failed assertions are readable. Names differ from PyTorch:
//! `dtype=f64`, `dtype=usize`, `grad_fn=<mul>`; and a summarized tensor prints its size.

use crate::arrays::array::Array;
use crate::arrays::indices::Indices;
use crate::arrays::mask::Mask;
use crate::tape::node::Kind;
use crate::tape::tensor::Tensor;
use adamant_kernels::{Element, Float};
use std::fmt;

/// Tensors with more elements are summarized: only both ends of each dimension are shown.
const THRESHOLD: usize = 1000;
/// The number of entries shown at either end of a summarized dimension.
const EDGE: usize = 3;
const LINE_WIDTH: usize = 80;
const PREFIX: &str = "tensor(";

/// Printed as by PyTorch: aligned, and summarized beyond 1,000 elements.
///
/// `{:.2}` sets the number of decimals; default 4.
///
/// ```
/// use adamant_tensor::Tensor;
/// let x: Tensor = Tensor::from([[1.0, -0.5], [10.0, 0.25]]);
/// assert_eq!(x.to_string(), "tensor([[ 1.0000, -0.5000],\n        [10.0000,  0.2500]])");
/// assert_eq!(format!("{x:.1}"), "tensor([[ 1.0, -0.5],\n        [10.0,  0.2]])");
/// assert_eq!(Tensor::<f64>::eye(1).to_string(), "tensor([[1.]], dtype=f64)");
/// ```
impl<T: Float> fmt::Display for Tensor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DEFAULT_DECIMALS: usize = 4;
        let shown: Vec<f64> = shown(&self.array).into_iter().map(T::to_f64).collect();
        let style = Style::of(&shown, f.precision().unwrap_or(DEFAULT_DECIMALS));
        let texts = shown.iter().map(|&x| style.cell(x)).collect::<Vec<_>>().into_iter();
        let cells = Cells { texts, width: style.width };
        let dtype = (T::DTYPE != "f32").then_some(T::DTYPE);
        let origin = self.node.as_ref().map(|node| match &node.kind {
            Kind::Leaf(_) => "requires_grad=True".to_string(),
            Kind::Operation(operation) => format!("grad_fn=<{}>", operation.name),
        });
        f.write_str(&text(self.shape(), cells, dtype, origin))
    }
}

/// Printed as by PyTorch: aligned, and summarized beyond 1,000 elements.
///
/// ```
/// use adamant_tensor::Indices;
/// assert_eq!(Indices::from([0, 12]).to_string(), "tensor([ 0, 12])");
/// ```
impl fmt::Display for Indices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells = shown(&self.array).iter().map(usize::to_string).collect();
        // Without elements, only the dtype shows that this is not a tensor of floats.
        let dtype = (self.numel() == 0).then_some("usize");
        f.write_str(&text(self.shape(), Cells::aligned(cells), dtype, None))
    }
}

/// Printed as by PyTorch: aligned, and summarized beyond 1,000 elements.
///
/// ```
/// use adamant_tensor::Mask;
/// assert_eq!(Mask::from([true, false]).to_string(), "tensor([ True, False])");
/// ```
impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cell = |&value: &u8| if value == 0 { "False" } else { "True" }.to_string();
        let cells = shown(&self.array).iter().map(cell).collect();
        let dtype = (self.numel() == 0).then_some("bool");
        f.write_str(&text(self.shape(), Cells::aligned(cells), dtype, None))
    }
}

/// The same as `Display`.
impl<T: Float> fmt::Debug for Tensor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The same as `Display`.
impl fmt::Debug for Indices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The same as `Display`.
impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The format of all elements of a tensor.
struct Style {
    decimals: usize,
    /// Whether all are integers: `1.`
    whole: bool,
    /// Whether their magnitudes need an exponent: `1.0000e-05`
    scientific: bool,
    width: usize,
}

impl Style {
    fn of(shown: &[f64], decimals: usize) -> Self {
        // Zeros and non-finite elements do not influence the style.
        let significant = || shown.iter().copied().filter(|&x| x.is_finite() && x != 0.0);
        let largest = significant().fold(0.0, |largest: f64, x| largest.max(x.abs()));
        let smallest = significant().fold(f64::INFINITY, |smallest, x| smallest.min(x.abs()));
        let scientific = largest / smallest > 1e3 || largest > 1e8 || smallest < 1e-4;
        let whole = significant().all(|x| x.fract() == 0.0);
        let style = Style { decimals, whole, scientific, width: 1 };
        let width = significant().map(|x| style.cell(x).len()).max().unwrap_or(1);
        Style { width, ..style }
    }

    fn cell(&self, x: f64) -> String {
        let Style { decimals, whole, scientific, width } = *self;
        let digits = if x.is_nan() {
            "nan".to_string()
        } else if x.is_infinite() {
            x.to_string()
        } else if scientific {
            // Rust writes 1e-5, PyTorch 1e-05.
            let text = format!("{x:.decimals$e}");
            let (digits, exponent) = text.split_once('e').expect("the format has an exponent");
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            format!("{digits}e{sign}{exponent:0>2}")
        } else if whole {
            format!("{x:.0}.")
        } else {
            format!("{x:.decimals$}")
        };
        format!("{digits:>width$}")
    }
}

/// The elements as text.
struct Cells {
    texts: std::vec::IntoIter<String>,
    /// The width of the cells; only an infinity among short elements is wider.
    width: usize,
}

impl Cells {
    /// These texts, padded to the widest.
    fn aligned(texts: Vec<String>) -> Self {
        let width = texts.iter().map(String::len).max().unwrap_or(0);
        let texts: Vec<String> = texts.into_iter().map(|text| format!("{text:>width$}")).collect();
        Cells { texts: texts.into_iter(), width }
    }
}

fn is_summarized(shape: &[usize]) -> bool {
    shape.iter().product::<usize>() > THRESHOLD
}

/// The number of entries out of `size` that are shown before the gap, if there is one.
fn gap(size: usize, summarized: bool) -> Option<usize> {
    (summarized && size > 2 * EDGE).then_some(EDGE)
}

/// The elements that are shown, in row-major order.
fn shown<E: Element>(x: &Array<E>) -> Vec<E> {
    fn push<E: Element>(x: &Array<E>, summarized: bool, out: &mut Vec<E>) {
        let Some(&size) = x.shape().first() else { return out.push(x.strided_slice().data[0]) };
        let hidden = gap(size, summarized).map_or(size..size, |edge| edge..size - edge);
        for i in (0..hidden.start).chain(hidden.end..size) {
            push(&x.with_layout(x.layout().select(0, i)), summarized, out);
        }
    }
    let mut out = Vec::new();
    if !x.shape().contains(&0) {
        push(x, is_summarized(x.shape()), &mut out);
    }
    out
}

/// The whole text: the cells in brackets, followed by what they do not show.
fn text(shape: &[usize], mut cells: Cells, dtype: Option<&str>, origin: Option<String>) -> String {
    let mut text = PREFIX.to_string();
    let (empty, summarized) = (shape.contains(&0), is_summarized(shape));
    if empty {
        text += "[]";
    } else {
        text += &brackets(shape, PREFIX.len(), summarized, &mut cells);
    }
    let size = ((empty && shape.len() != 1) || summarized).then(|| {
        let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
        format!("size=({}{})", sizes.join(", "), if shape.len() == 1 { "," } else { "" })
    });
    let dtype = dtype.map(|dtype| format!("dtype={dtype}"));
    // PyTorch counts two characters more than there are.
    let mut line = text.len() - text.rfind('\n').map_or(0, |end| end + 1) + 2;
    for suffix in [size, dtype, origin].into_iter().flatten() {
        if line + suffix.len() + 2 > LINE_WIDTH {
            text = text + ",\n" + &" ".repeat(PREFIX.len()) + &suffix;
            line = PREFIX.len() + suffix.len();
        } else {
            line += suffix.len() + 2;
            text = text + ", " + &suffix;
        }
    }
    text + ")"
}

/// The cells of `shape` in nested brackets, the first of which is at column `indent`.
fn brackets(shape: &[usize], indent: usize, summarized: bool, cells: &mut Cells) -> String {
    let Some((&size, inner)) = shape.split_first() else {
        return cells.texts.next().expect("a cell for each element");
    };
    let gap = gap(size, summarized);
    let count = gap.map_or(size, |edge| 2 * edge);
    let mut parts: Vec<String> =
        (0..count).map(|_| brackets(inner, indent + 1, summarized, cells)).collect();
    if let Some(edge) = gap {
        parts.insert(edge, if inner.is_empty() { " ..." } else { "..." }.to_string());
    }
    let per_line = match inner.len() {
        0 => (LINE_WIDTH.saturating_sub(indent) / (cells.width + 2)).max(1),
        _ => 1,
    };
    let lines: Vec<String> = parts.chunks(per_line).map(|line| line.join(", ")).collect();
    let new_line = ",".to_string() + &"\n".repeat(inner.len().max(1)) + &" ".repeat(indent + 1);
    format!("[{}]", lines.join(&new_line))
}
