//! Names and their values, in the order of the names.

/// The members of a JSON object, each name once.
pub(super) type Members<T> = Vec<(String, T)>;

pub(super) fn find<'m, T>(members: &'m Members<T>, name: &str) -> Option<&'m T> {
    let found = members.binary_search_by(|(known, _)| known.as_str().cmp(name));
    found.ok().map(|index| &members[index].1)
}
