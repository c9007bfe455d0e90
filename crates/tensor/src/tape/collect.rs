//! A backward pass that returns the gradients of chosen nodes instead of adding to `.grad`.

use crate::tape::backward::{Seed, enter, visit};
use crate::tape::node::{Graph, Kind, Node, Recorded};
use crate::tape::pending::Pending;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The options of [`collect_gradients`].
pub(crate) struct CollectOptions {
    pub(crate) graph: Graph,
    /// The pass stops at nodes older than this sequence number: it does not run their hooks or
    /// visit their parents. 0 is no limit; a checkpointed segment limits the pass to its second
    /// run.
    pub(crate) since: u64,
}

/// The gradients of the nodes `wanted`, by sequence number; `None` if no seed was computed from the
/// node.
///
/// Visits only nodes that lead to a wanted one; other operations keep what they recorded.
#[track_caller]
pub(crate) fn collect_gradients<T: Float>(
    seeds: Vec<Seed<T>>,
    wanted: impl IntoIterator<Item = u64>,
    options: CollectOptions,
) -> BTreeMap<u64, Option<Tensor<T>>> {
    let CollectOptions { graph, since } = options;
    let mut gradients: BTreeMap<u64, _> = wanted.into_iter().map(|number| (number, None)).collect();
    let leading = find_leading(&seeds, &gradients, since);
    let leads = |node: &Arc<Node<T>>| leading.contains_key(&node.sequence);
    let _mode = enter(graph);
    let mut pending = Pending::new(graph);
    for Seed { node, grad } in seeds.into_iter().filter(|seed| leads(&seed.node)) {
        pending.add(node, grad);
    }
    while let Some((node, mut grad)) = pending.pop() {
        if node.sequence >= since {
            pending.run_hooks(&node, &mut grad);
        }
        if let Some(gradient) = gradients.get_mut(&node.sequence) {
            *gradient = Some(grad.clone());
        }
        if let Kind::Operation(operation) = &node.kind
            && leading[&node.sequence]
        {
            let mut recorded = operation.take_or_clone(graph);
            if let Recorded::Formula { parents, .. } = &mut recorded {
                // The other parents count as untracked here, so their gradients are not computed.
                parents.iter_mut().for_each(|parent| *parent = parent.take().filter(leads));
            }
            visit(&node, operation, recorded, grad, &mut pending);
        }
    }
    gradients
}

/// The nodes on paths from the seeds to wanted nodes, ends included, by sequence number; for each,
/// whether it has a parent among them, which the pass has to reach.
fn find_leading<T: Float, V>(
    seeds: &[Seed<T>],
    wanted: &BTreeMap<u64, V>,
    since: u64,
) -> BTreeMap<u64, bool> {
    let mut leading = BTreeMap::new();
    let Some((&oldest, _)) = wanted.first_key_value() else { return leading };
    let mut parents_of = BTreeMap::new();
    let mut to_visit: Vec<_> = seeds.iter().map(|seed| seed.node.clone()).collect();
    while let Some(node) = to_visit.pop() {
        if node.sequence < oldest || parents_of.contains_key(&node.sequence) {
            continue;
        }
        // The ancestors of the oldest wanted node are older, so none of them is wanted.
        let is_end = node.sequence == oldest || node.sequence < since;
        let parents = if is_end { Some(Vec::new()) } else { node.parents() };
        let sequences = parents.as_ref().map(|p| p.iter().map(|p| p.sequence).collect::<Vec<_>>());
        parents_of.insert(node.sequence, sequences);
        to_visit.extend(parents.into_iter().flatten());
    }
    // In ascending order: parents come before their children.
    for (sequence, parents) in parents_of {
        // The parents of a freed operation are unknown. One may lead to a wanted node, so the pass
        // visits the operation and panics.
        let has_leading_parent =
            parents.is_none_or(|parents| parents.iter().any(|p| leading.contains_key(p)));
        if has_leading_parent || wanted.contains_key(&sequence) {
            leading.insert(sequence, has_leading_parent);
        }
    }
    leading
}
