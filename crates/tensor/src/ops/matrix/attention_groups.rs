//! Grouped-query attention: the heads of the queries in groups that share the keys of one head.

use crate::arrays::shape::Shape;
use crate::ops::matrix::attention_call::NAME;

/// `count` groups of `size` heads: a dimension of all heads of the queries, viewed as two.
///
/// Keys and values have one head for each group. With their heads viewed as `[count, 1]`, they
/// broadcast to the queries', so nothing is repeated in memory.
pub(super) struct HeadGroups {
    count: usize,
    size: usize,
}

impl HeadGroups {
    /// The groups of queries, keys and values of these shapes, whose heads are the third dimension
    /// from the end.
    #[track_caller]
    pub(super) fn new(q: &Shape, k: &Shape, v: &Shape) -> Self {
        let heads = |shape: &Shape| shape.len().checked_sub(3).map_or(0, |dim| shape[dim]);
        let (queries, count) = (heads(q), heads(k));
        assert!(
            q.len() >= 3 && count > 0 && count == heads(v) && queries.is_multiple_of(count),
            "{NAME}: enable_gqa with queries of shape {q}, keys of {k}, values of {v}; expected \
             […, Hq, L, E], […, H, S, E] and […, H, S, Ev], where H divides Hq"
        );
        HeadGroups { count, size: queries / count }
    }

    /// The shape of keys or values of shape `shape` if there were one head for each of the queries.
    pub(super) fn repeated(&self, shape: &Shape) -> Shape {
        shape.with_size(shape.len() - 3, self.count * self.size)
    }

    /// `shape` with its dimension of heads, if it has one, as two: `[count, size]` for all heads of
    /// the queries, and `[heads, 1]` for fewer.
    pub(super) fn split(&self, shape: &Shape) -> Shape {
        let Some(dim) = shape.len().checked_sub(3) else {
            return shape.clone();
        };
        let all = self.count * self.size;
        let heads = if shape[dim] == all { [self.count, self.size] } else { [shape[dim], 1] };
        shape[..dim].iter().copied().chain(heads).chain(shape[dim + 1..].iter().copied()).collect()
    }
}
