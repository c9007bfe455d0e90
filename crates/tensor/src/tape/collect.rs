//! A backward pass that returns the gradients of chosen nodes instead of adding to `.grad`.

use crate::tape::backward::{Seed, enter, visit};
use crate::tape::node::{Kind, Node};
use crate::tape::pending::Pending;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The options of [`collect`].
#[derive(Clone, Copy, Default)]
pub(crate) struct CollectOptions {
    /// Operations keep what they recorded, for another pass.
    pub(crate) retain_graph: bool,
    /// The pass itself is recorded, so that its results can be differentiated.
    pub(crate) create_graph: bool,
}

/// The gradients of the nodes `wanted`, by sequence number; `None` if no seed was computed from the
/// node.
///
/// Visits only nodes that lead to a wanted one; other operations keep what they recorded. The pass
/// stops at nodes older than `since`: it does not run their hooks or visit their parents. (A
/// checkpointed segment limits the pass over its second run in this way; `grad()` passes 0.)
#[track_caller]
pub(crate) fn collect<T: Float>(
    seeds: Vec<Seed<T>>,
    wanted: impl IntoIterator<Item = u64>,
    since: u64,
    pass: CollectOptions,
) -> BTreeMap<u64, Option<Tensor<T>>> {
    let mut found: BTreeMap<u64, _> = wanted.into_iter().map(|sequence| (sequence, None)).collect();
    let leading = find_leading(&seeds, &found, since);
    let leads = |node: &Arc<Node<T>>| leading.contains(&node.sequence);
    let _mode = enter(pass.create_graph);
    let mut pending = Pending::new();
    for (root, seed) in seeds.into_iter().filter(|(root, _)| leads(root)) {
        pending.add(root, seed);
    }
    while let Some((node, mut grad)) = pending.pop() {
        let is_inside = node.sequence >= since;
        if is_inside {
            grad = node.hooks.run(grad);
        }
        if let Some(found) = found.get_mut(&node.sequence) {
            // A hook may have returned a tracked gradient.
            *found = Some(if pass.create_graph { grad.clone() } else { grad.detach() });
        }
        if let Kind::Operation(operation) = &node.kind
            && is_inside
            && node.parents().is_none_or(|parents| parents.iter().any(leads))
        {
            // The other parents count as untracked here, so their gradients are not computed.
            let mut recorded = operation.recorded(pass.retain_graph || pass.create_graph);
            recorded.parents.iter_mut().for_each(|parent| *parent = parent.take().filter(leads));
            visit(&node, operation, recorded, grad, &mut pending);
        }
    }
    found
}

/// The sequence numbers of all nodes on paths from the seeds to wanted nodes, ends included.
fn find_leading<T: Float, V>(
    seeds: &[Seed<T>],
    wanted: &BTreeMap<u64, V>,
    since: u64,
) -> BTreeSet<u64> {
    let mut leading = BTreeSet::new();
    let Some((&oldest, _)) = wanted.first_key_value() else { return leading };
    let mut parents_of = BTreeMap::new();
    let mut to_visit: Vec<_> = seeds.iter().map(|(root, _)| root.clone()).collect();
    while let Some(node) = to_visit.pop() {
        if node.sequence < oldest || parents_of.contains_key(&node.sequence) {
            continue;
        }
        let parents = if node.sequence < since { Some(Vec::new()) } else { node.parents() };
        let sequences = parents.as_ref().map(|p| p.iter().map(|p| p.sequence).collect::<Vec<_>>());
        parents_of.insert(node.sequence, sequences);
        to_visit.extend(parents.into_iter().flatten());
    }
    // In ascending order: parents come before their children.
    for (sequence, parents) in parents_of {
        // The parents of a freed operation are unknown. It counts as leading, so that the pass
        // visits it and panics.
        let leads = parents.is_none_or(|parents| parents.iter().any(|p| leading.contains(p)));
        if leads || wanted.contains_key(&sequence) {
            leading.insert(sequence);
        }
    }
    leading
}
