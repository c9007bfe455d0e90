//! A mistake with the derive is reported with its remedy.

#[test]
fn mistakes_have_readable_messages() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
