//! A mistaken derive says what is wrong and what to do.

#[test]
fn a_mistaken_derive_is_told_readably() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
