//! The derives of `Stateful` and `Collate`. (`Module`'s is tested in the `nn` crate.)

mod collate;
mod stateful;

#[test]
fn mistakes_have_readable_messages() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
