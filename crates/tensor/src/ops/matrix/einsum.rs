//! Sums of products by Einstein's convention.

use crate::tape::tensor::Tensor;
use adamant_kernels::Float;
use std::collections::BTreeMap;

impl<T: Float> Tensor<T> {
    /// The sum of products described by an equation, which has a letter for each dimension of each
    /// operand. Letters that the result does not have are summed over.
    ///
    /// Without `->` the result has the letters that appear once, in alphabetical order, after the
    /// ellipsis. A letter that appears twice in one operand takes the diagonal. `...` stands for
    /// any number of dimensions, matched from the last. A dimension of size 1 broadcasts against a
    /// larger one of another operand. Spaces are ignored.
    ///
    /// Operands are combined from left to right, each pair by one batched matrix product. PyTorch:
    /// `torch.einsum(equation, operands)`.
    ///
    /// # Panics
    /// If the equation cannot be parsed, does not fit the operands, or has an ellipsis for more
    /// than nine dimensions.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let (q, k) = (Tensor::<f32>::ones([2, 5, 3]), Tensor::ones([2, 4, 3]));
    /// assert_eq!(Tensor::einsum("bqd,bkd->bqk", &[&q, &k]).shape(), [2, 5, 4]);
    /// assert_eq!(Tensor::einsum("...qd,...kd->...qk", &[&q, &k]).shape(), [2, 5, 4]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn einsum(equation: &str, operands: &[&Tensor<T>]) -> Tensor<T> {
        let Equation { inputs, output, sizes } = Equation::parse(equation, operands);
        // Loops, not closures, which would hide the caller.
        let mut terms = Vec::new();
        for (letters, &tensor) in inputs.into_iter().zip(operands) {
            terms.push(Term { letters, tensor: tensor.clone() }.diagonal().narrowed(&sizes));
        }
        let mut terms = terms.into_iter();
        let mut joined = terms.next().expect("an equation names an operand");
        while let Some(next) = terms.next() {
            let rest = terms.as_slice();
            joined = joined.join(next, |letter| {
                output.contains(&letter) || rest.iter().any(|term| term.letters.contains(&letter))
            });
        }
        joined.keep(|letter| output.contains(&letter)).in_order(&output)
    }
}

/// A parsed equation, checked against the operands.
struct Equation {
    /// The letters of each operand. The dimensions of the ellipsis are letters too: `'1'`
    /// and up, the last of which is the last dimension.
    inputs: Vec<Vec<char>>,
    output: Vec<char>,
    sizes: BTreeMap<char, usize>,
}

const ELLIPSIS: char = '…';

impl Equation {
    #[track_caller]
    fn parse<T: Float>(equation: &str, operands: &[&Tensor<T>]) -> Equation {
        let text: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
        let known = |c: char| c.is_ascii_alphabetic() || c == ',';
        let plain = text.replace("...", "").replacen("->", "", 1);
        if let Some(c) = plain.chars().find(|&c| !known(c)) {
            panic!("einsum: '{c}' in \"{equation}\"; expected letters, ',', '...' and one \"->\"");
        }
        let text = text.replace("...", ELLIPSIS.encode_utf8(&mut [0; 4]));
        let (inputs, output) = match text.split_once("->") {
            Some((inputs, output)) => (inputs, Some(output)),
            None => (&text[..], None),
        };
        let inputs: Vec<&str> = inputs.split(',').collect();
        assert!(
            inputs.len() == operands.len(),
            "einsum: \"{equation}\" names {} operands, but {} were given",
            inputs.len(),
            operands.len()
        );

        // The number of dimensions that the ellipsis stands for in each operand.
        let mut hidden = Vec::new();
        for (i, (term, operand)) in inputs.iter().zip(operands).enumerate() {
            let shape = operand.array.shape();
            let named = term.chars().filter(|&c| c != ELLIPSIS).count();
            let ellipses = term.chars().count() - named;
            assert!(
                ellipses <= 1,
                "einsum: '...' appears {ellipses} times in a term of \"{equation}\""
            );
            assert!(
                named == shape.len() || (ellipses == 1 && named < shape.len()),
                "einsum: \"{equation}\" names {named} dimensions of operand {i}, which has shape \
                 {shape}"
            );
            hidden.push(shape.len() - named);
        }
        let most = hidden.iter().copied().max().unwrap_or(0);
        assert!(most < 10, "einsum: an ellipsis for {most} dimensions; expected at most 9");
        let unfold = |term: &str, hidden: usize| -> Vec<char> {
            let digits = (most - hidden + 1..=most).map(|d| char::from(b'0' + d as u8));
            term.replace(ELLIPSIS, &digits.collect::<String>()).chars().collect()
        };
        let inputs: Vec<Vec<char>> =
            inputs.iter().zip(hidden).map(|(term, hidden)| unfold(term, hidden)).collect();

        let mut sizes = BTreeMap::new();
        for (i, (letters, operand)) in inputs.iter().zip(operands).enumerate() {
            let shape = operand.array.shape();
            for (d, (&letter, &size)) in letters.iter().zip(shape.iter()).enumerate() {
                let twice = letters[..d].iter().position(|&l| l == letter);
                assert!(
                    twice.is_none_or(|before| shape[before] == size),
                    "einsum: '{letter}' of \"{equation}\" appears twice in operand {i}, which has \
                     shape {shape}; expected equal sizes"
                );
                let known = sizes.entry(letter).or_insert(size);
                assert!(
                    *known == size || *known == 1 || size == 1,
                    "einsum: {} of \"{equation}\" has size {size} in operand {i}, which has shape \
                     {shape}, but {known} before",
                    if letter.is_ascii_digit() {
                        "a dimension of '...'".into()
                    } else {
                        format!("'{letter}'")
                    }
                );
                if *known == 1 {
                    *known = size;
                }
            }
        }

        let once = |letter: &char| inputs.iter().flatten().filter(|&l| l == letter).count() == 1;
        let output = match output {
            // Digits come first in the order of characters.
            None => sizes.keys().copied().filter(|l| l.is_ascii_digit() || once(l)).collect(),
            Some(output) => {
                let ellipses = output.matches(ELLIPSIS).count();
                assert!(
                    ellipses <= 1,
                    "einsum: '...' appears {ellipses} times in a term of \"{equation}\""
                );
                let letters = unfold(output, most);
                for (i, letter) in letters.iter().enumerate() {
                    assert!(
                        sizes.contains_key(letter) && !letters[..i].contains(letter),
                        "einsum: '{letter}' of the result of \"{equation}\" must be a letter of an \
                         operand, and come once"
                    );
                }
                letters
            }
        };
        Equation { inputs, output, sizes }
    }
}

/// A tensor and a letter for each of its dimensions.
struct Term<T: Float> {
    letters: Vec<char>,
    tensor: Tensor<T>,
}

impl<T: Float> Term<T> {
    /// The diagonals for letters that appear twice, so that each letter appears once.
    #[track_caller]
    fn diagonal(mut self) -> Self {
        let twice = |letters: &[char]| {
            let mut pairs = (0..letters.len()).flat_map(|b| (0..b).map(move |a| (a, b)));
            pairs.find(|&(a, b)| letters[a] == letters[b])
        };
        while let Some((a, b)) = twice(&self.letters) {
            self.tensor = self.tensor.diagonal(0, a, b);
            let letter = self.letters.remove(b);
            self.letters.remove(a);
            self.letters.push(letter);
        }
        self
    }

    /// Drops dimensions of size 1 that are larger in another operand, where they would broadcast.
    #[track_caller]
    fn narrowed(mut self, sizes: &BTreeMap<char, usize>) -> Self {
        for d in (0..self.letters.len()).rev() {
            if self.tensor.shape()[d] == 1 && sizes[&self.letters[d]] != 1 {
                self.letters.remove(d);
                self.tensor = self.tensor.squeeze(d);
            }
        }
        self
    }

    /// Summed over the letters that are not kept.
    #[track_caller]
    fn keep(self, wanted: impl Fn(char) -> bool) -> Self {
        let (kept, summed): (Vec<usize>, Vec<usize>) =
            (0..self.letters.len()).partition(|&d| wanted(self.letters[d]));
        if summed.is_empty() {
            return self;
        }
        Term {
            letters: kept.into_iter().map(|d| self.letters[d]).collect(),
            tensor: self.tensor.sum_dim(&summed[..]),
        }
    }

    /// The tensor with its dimensions in the order of these letters.
    #[track_caller]
    fn in_order(self, letters: &[char]) -> Tensor<T> {
        let position = |letter: &char| {
            self.letters.iter().position(|l| l == letter).expect("the term has these letters")
        };
        let order: Vec<usize> = letters.iter().map(position).collect();
        if order.is_sorted() { self.tensor } else { self.tensor.permute(&order[..]) }
    }

    /// The product with another term, summed over the letters that are not needed later.
    #[track_caller]
    fn join(self, other: Term<T>, later: impl Fn(char) -> bool) -> Self {
        let a = self.letters.clone();
        let b = other.letters.clone();
        // A letter that only one of them has and that is not needed later is summed first.
        let left = self.keep(|letter| later(letter) || b.contains(&letter));
        let right = other.keep(|letter| later(letter) || a.contains(&letter));
        let (both, rows): (Vec<char>, Vec<char>) =
            left.letters.iter().partition(|letter| right.letters.contains(letter));
        let cols: Vec<char> =
            right.letters.iter().copied().filter(|letter| !both.contains(letter)).collect();
        let (batch, summed): (Vec<char>, Vec<char>) =
            both.iter().partition(|&&letter| later(letter));

        let size = |term: &Term<T>, letters: &[char]| -> Vec<usize> {
            let position = |letter: &char| term.letters.iter().position(|l| l == letter);
            letters.iter().filter_map(position).map(|d| term.tensor.shape()[d]).collect()
        };
        let (batch_sizes, row_sizes) = (size(&left, &batch), size(&left, &rows));
        let (summed_sizes, col_sizes) = (size(&left, &summed), size(&right, &cols));
        let count = |sizes: &[usize]| sizes.iter().product::<usize>();
        let [n, m, k, p] =
            [&batch_sizes, &row_sizes, &summed_sizes, &col_sizes].map(|sizes| count(sizes));
        let left = left.in_order(&[&batch[..], &rows, &summed].concat()).reshape([n, m, k]);
        let right = right.in_order(&[&batch[..], &summed, &cols].concat()).reshape([n, k, p]);
        // Without a sum, or for a single element, a matrix product is a detour.
        let product = if k == 1 {
            left * right
        } else if m == 1 && p == 1 {
            (left.reshape([n, k]) * right.reshape([n, k])).sum_dim(1)
        } else {
            left.bmm(&right)
        };
        let sizes = [batch_sizes, row_sizes, col_sizes].concat();
        Term { letters: [batch, rows, cols].concat(), tensor: product.reshape(sizes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::gradcheck::testing::check_op;

    fn counted(shape: &[usize], seed: usize) -> Tensor<f64> {
        let n = shape.iter().product::<usize>();
        let values = (0..n).map(|i| ((i * 7 + seed) % 11) as f64 - 4.0).collect();
        Tensor::from_vec(values, shape).unwrap()
    }

    /// The definition: a loop over all index values of all letters.
    fn slow(equation: &str, operands: &[&Tensor<f64>]) -> Vec<f64> {
        let Equation { inputs, output, sizes } = Equation::parse(equation, operands);
        let mut letters: Vec<char> = output.clone();
        inputs.iter().flatten().for_each(|l| {
            if !letters.contains(l) {
                letters.push(*l);
            }
        });
        let size = |letter: char| sizes[&letter];
        let sizes: Vec<usize> = letters.iter().map(|&l| size(l)).collect();
        let mut out = vec![0.0; output.iter().map(|&l| size(l)).product()];
        let inner: usize = sizes[output.len()..].iter().product();
        for at in 0..sizes.iter().product() {
            let mut rest = at;
            let mut values = vec![0; letters.len()];
            for d in (0..letters.len()).rev() {
                values[d] = rest % sizes[d];
                rest /= sizes[d];
            }
            let value = |l: char| values[letters.iter().position(|&m| m == l).unwrap()];
            let term = |(letters, x): (&Vec<char>, &&Tensor<f64>)| {
                let at = |x: &Tensor<f64>, l| if x.shape()[0] == 1 { 0 } else { value(l) };
                letters.iter().fold((*x).clone(), |x, &l| x.select(0, at(&x, l))).item()
            };
            out[at / inner] += inputs.iter().zip(operands).map(term).product::<f64>();
        }
        out
    }

    #[test]
    fn equations_match_their_definition() {
        for (equation, shapes) in [
            ("ij,jk->ik", &[&[2, 3][..], &[3, 4]][..]),
            ("ij,jk", &[&[2, 3], &[3, 4]]),
            ("ij,kj->ki", &[&[2, 3], &[4, 3]]),
            ("bij,bjk->bik", &[&[2, 3, 4], &[2, 4, 2]]),
            ("bhqd,bhkd->bhqk", &[&[2, 2, 3, 2], &[2, 2, 4, 2]]),
            ("i,j->ij", &[&[3], &[2]]),
            ("i,i->", &[&[3], &[3]]),
            ("ij->ji", &[&[2, 3]]),
            ("ij->", &[&[2, 3]]),
            ("ii->i", &[&[3, 3]]),
            ("ii", &[&[3, 3]]),
            ("iij,j->ij", &[&[2, 2, 3], &[3]]),
            ("ij,jk,kl->il", &[&[2, 3], &[3, 2], &[2, 4]]),
            ("ij,ij->ij", &[&[2, 3], &[2, 3]]),
            ("ij,kl->", &[&[2, 3], &[4, 2]]),
            (" b i , b -> i ", &[&[2, 3], &[2]]),
            (",i->i", &[&[], &[3]]),
            ("ij,jk->ik", &[&[2, 1], &[3, 4]]),
            ("ij,ij->", &[&[2, 1], &[1, 3]]),
            ("...ij,...jk->...ik", &[&[2, 5, 3, 4], &[5, 4, 2]]),
            ("...ij,...jk->...ik", &[&[3, 4], &[4, 2]]),
            ("...i,...i", &[&[2, 1, 3], &[4, 3]]),
            ("b...d,...->b...", &[&[2, 3, 4, 5], &[4]]),
            ("b...,b...->b", &[&[2, 3], &[2, 3]]),
            ("j...i", &[&[2, 3, 4]]),
        ] {
            let operands: Vec<_> = shapes.iter().zip(1..).map(|(s, i)| counted(s, i)).collect();
            let operands: Vec<_> = operands.iter().collect();
            let found = Tensor::einsum(equation, &operands);
            assert_eq!(found.to_vec(), slow(equation, &operands), "{equation}");
        }
    }

    #[test]
    fn gradients() {
        let shapes = [&[2, 3, 2][..], &[2, 2, 4]];
        check_op(|x| Tensor::einsum("bij,bjk->bik", &[&x[0], &x[1]]), &shapes, -2.0..2.0);
        check_op(|x| Tensor::einsum("ii,i", &[&x[0], &x[1]]), &[&[3, 3], &[3]], -2.0..2.0);
    }

    #[test]
    #[should_panic(expected = "einsum: 'j' of \"ij,jk\" has size 4 in operand 1, which has shape \
                               [4, 2], but 3 before")]
    fn sizes_that_differ_are_refused() {
        let _ = Tensor::<f32>::einsum("ij,jk", &[&Tensor::ones([2, 3]), &Tensor::ones([4, 2])]);
    }

    #[test]
    #[should_panic(expected = "einsum: '...' appears 2 times in a term of \"...i...\"")]
    fn two_ellipses_are_refused() {
        let _ = Tensor::<f32>::einsum("...i...", &[&Tensor::ones([3])]);
    }

    #[test]
    #[should_panic(expected = "einsum: '.' in \"..ij\"; expected letters")]
    fn half_an_ellipsis_is_refused() {
        let _ = Tensor::<f32>::einsum("..ij", &[&Tensor::ones([2, 3])]);
    }

    #[test]
    #[should_panic(
        expected = "einsum: 'i' of \"ii->i\" appears twice in operand 0, which has shape \
                               [1, 3]; expected equal sizes"
    )]
    fn a_diagonal_does_not_broadcast() {
        let _ = Tensor::<f32>::einsum("ii->i", &[&Tensor::ones([1, 3])]);
    }

    #[test]
    #[should_panic(expected = "a dimension of '...' of \"...i,...i\" has size 4 in operand 1")]
    fn ellipses_that_do_not_broadcast_are_refused() {
        let x = [Tensor::<f32>::ones([2, 3]), Tensor::ones([4, 3])];
        let _ = Tensor::einsum("...i,...i", &[&x[0], &x[1]]);
    }
}
