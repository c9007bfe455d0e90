//! Drawing the tape: a tensor's graph in Graphviz's DOT language.

use crate::tape::node::{Kind, Node, Operation};
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

/// The graph of `tensor` in the DOT language of Graphviz, to draw with `dot -Tsvg`.
///
/// A box is a leaf, with its shape and whether it holds a gradient. An ellipse is an operation,
/// with the shape of its result and its line in the program; it is dashed and has no inputs if a
/// backward pass has freed it. Arrows point from inputs to results. `tensor` has a double border.
/// Nodes are numbered in the order of their creation, so the same program returns the same text.
///
/// ```
/// use adamant_tensor::{Tensor, graph_to_dot};
/// let x = Tensor::<f32>::ones([2]).requires_grad();
/// let dot = graph_to_dot(&(&x * &x).sum());
/// assert!(dot.starts_with("digraph") && dot.contains("mul") && dot.contains("n0 -> n1"));
/// ```
#[must_use]
pub fn graph_to_dot<T: Float>(tensor: &Tensor<T>) -> String {
    let mut dot = String::from("digraph {\n");
    let Some(root) = &tensor.node else {
        let shape = tensor.array.shape();
        line(&mut dot, format_args!("n0 [shape=box, label=\"untracked\\n{shape}\"]"));
        return dot + "}\n";
    };
    let mut found: BTreeMap<u64, Arc<Node<T>>> = BTreeMap::new();
    let mut to_visit = vec![root.clone()];
    while let Some(node) = to_visit.pop() {
        if found.insert(node.sequence, node.clone()).is_none() {
            to_visit.extend(node.parents().into_iter().flatten());
        }
    }
    // In ascending order: a node's parents are numbered before the node.
    let mut numbers = BTreeMap::new();
    for (number, (&sequence, node)) in found.iter().enumerate() {
        numbers.insert(sequence, number);
        let parents = node.parents();
        let shape = &node.shape;
        let border = if sequence == root.sequence { ", peripheries=2" } else { "" };
        match &node.kind {
            Kind::Leaf(cell) => {
                let grad = if cell.get().is_some() { "with" } else { "without" };
                let label = format_args!("leaf\\n{shape}\\n{grad} gradient");
                line(&mut dot, format_args!("n{number} [shape=box{border}, label=\"{label}\"]"));
            }
            Kind::Operation(Operation { name, location, .. }) => {
                let (name, file) = (escaped(name), escaped(location.file()));
                let label = format_args!("{name}\\n{shape}\\n{file}:{}", location.line());
                let freed =
                    if parents.is_some() { ("", "") } else { (", style=dashed", "\\nfreed") };
                line(
                    &mut dot,
                    format_args!("n{number} [label=\"{label}{}\"{}{border}]", freed.1, freed.0),
                );
            }
        }
        for parent in parents.into_iter().flatten() {
            line(&mut dot, format_args!("n{} -> n{number}", numbers[&parent.sequence]));
        }
    }
    dot + "}\n"
}

fn line(dot: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(dot, "    {text};").expect("writing to a String cannot fail");
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_shows_nodes_and_edges() {
        let picture = || {
            let x = Tensor::<f32>::ones([2, 1]).requires_grad();
            let w = Tensor::<f32>::ones([2, 1]).requires_grad();
            w.sum().backward();
            let y = &x * &x;
            let odd = Tensor::custom("\"odd\"", &[&y, &w], Tensor::ones([3]), |_| vec![None, None]);
            (graph_to_dot(&odd), line!())
        };
        let (dot, line) = picture();
        let file = escaped(file!());
        let expected = [
            "digraph {".to_string(),
            "    n0 [shape=box, label=\"leaf\\n[2, 1]\\nwithout gradient\"];".to_string(),
            "    n1 [shape=box, label=\"leaf\\n[2, 1]\\nwith gradient\"];".to_string(),
            format!("    n2 [label=\"mul\\n[2, 1]\\n{file}:{}\"];", line - 2),
            "    n0 -> n2;".to_string(),
            "    n0 -> n2;".to_string(),
            format!("    n3 [label=\"\\\"odd\\\"\\n[3]\\n{file}:{}\", peripheries=2];", line - 1),
            "    n2 -> n3;".to_string(),
            "    n1 -> n3;".to_string(),
            "}\n".to_string(),
        ];
        assert_eq!(dot, expected.join("\n"));
        assert_eq!(picture().0, dot);
    }

    #[test]
    fn freed_operations_and_untracked_tensors_are_marked() {
        let x = Tensor::<f32>::ones([2]).requires_grad();
        let y = &x * &x;
        y.sum().backward();
        let dot = graph_to_dot(&(&y * 2.0));
        assert!(dot.contains("n0 [label=\"mul") && dot.contains("freed\", style=dashed"), "{dot}");
        assert!(graph_to_dot(&x.detach()).contains("untracked\\n[2]"));
        assert!(graph_to_dot(&x).contains("n0 [shape=box, peripheries=2"));
    }

    #[test]
    fn a_long_chain_fits_the_stack() {
        let mut x = Tensor::<f32>::ones([]).requires_grad();
        for _ in 0..100_000 {
            x = &x + 1.0;
        }
        assert_eq!(graph_to_dot(&x).lines().count(), 100_000 * 2 + 3);
    }
}
