//! The binary tree along which shards are added: it depends on their number alone.

use std::ops::Range;

/// The two halves of a node of at least two shards; the left one is a power of two.
fn halves(node: &Range<usize>) -> [Range<usize>; 2] {
    let middle = node.start + node.len().next_power_of_two() / 2;
    [node.start..middle, middle..node.end]
}

/// The largest nodes below `node` that lie within `local`, in order.
pub(crate) fn cover(node: &Range<usize>, local: &Range<usize>) -> Vec<Range<usize>> {
    if node.end <= local.start || local.end <= node.start {
        Vec::new()
    } else if local.start <= node.start && node.end <= local.end {
        vec![node.clone()]
    } else {
        halves(node).iter().flat_map(|half| cover(half, local)).collect()
    }
}

/// The sum of a node: its own if there is one, else that of its halves.
pub(crate) fn sum<V>(
    node: &Range<usize>,
    own: &mut impl FnMut(&Range<usize>) -> Option<V>,
    add: &mut impl FnMut(V, V) -> V,
) -> V {
    if let Some(sum) = own(node) {
        return sum;
    }
    let [left, right] = halves(node);
    let left = sum(&left, own, add);
    let right = sum(&right, own, add);
    add(left, right)
}

/// The number of nodes within `local` that end with `shard` and have halves: of each, the left half is
/// known when the right one is, if the shards are evaluated in order.
pub(crate) fn completed(root: &Range<usize>, local: &Range<usize>, shard: usize) -> usize {
    if root.len() < 2 {
        return 0;
    }
    let is_completed = local.start <= root.start && root.end <= local.end && root.end == shard + 1;
    let below = halves(root)
        .iter()
        .find(|half| half.contains(&shard))
        .map_or(0, |half| completed(half, local, shard));
    usize::from(is_completed) + below
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sum as a term: `((0 + 1) + 2)`.
    fn term(node: &Range<usize>) -> String {
        let shard = |node: &Range<usize>| (node.len() == 1).then(|| node.start.to_string());
        sum(node, &mut { shard }, &mut |left, right| format!("({left} + {right})"))
    }

    #[test]
    fn the_left_half_is_a_power_of_two() {
        assert_eq!(term(&(0..1)), "0");
        assert_eq!(term(&(0..3)), "((0 + 1) + 2)");
        assert_eq!(term(&(0..7)), "(((0 + 1) + (2 + 3)) + ((4 + 5) + 6))");
        assert_eq!(term(&(0..8)), "(((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7)))");
    }

    #[test]
    fn shards_in_order_complete_the_nodes() {
        for (shards, local) in [(8, 0..8), (8, 3..7), (7, 2..7), (5, 0..4), (1, 0..1)] {
            let mut rows: Vec<String> = Vec::new();
            for shard in local.clone() {
                let mut row = shard.to_string();
                for _ in 0..completed(&(0..shards), &local, shard) {
                    row = format!("({} + {row})", rows.pop().unwrap());
                }
                rows.push(row);
            }
            let nodes = cover(&(0..shards), &local);
            assert_eq!(rows, nodes.iter().map(term).collect::<Vec<_>>());
        }
    }

    #[test]
    fn any_ranks_compute_the_same_term() {
        for shards in 1..20 {
            for ranks in 1..=shards {
                let local = |rank| shards * rank / ranks..shards * (rank + 1) / ranks;
                let nodes = (0..ranks).flat_map(|rank| cover(&(0..shards), &local(rank)));
                let nodes: Vec<_> = nodes.collect();
                let mut own = |node: &Range<usize>| nodes.contains(node).then(|| term(node));
                let found = sum(&(0..shards), &mut own, &mut |l, r| format!("({l} + {r})"));
                assert_eq!(found, term(&(0..shards)));
            }
        }
    }
}
