//! Every mistake that the SDK turns into a compile error, with the compiler's message for it.
//!
//! The cases are files of the SDK crate. They are compiled from this crate, because it depends on
//! the SDK without the `serve` feature, and each run compiles all dependencies.
//! `TRYBUILD=overwrite` updates the expected messages.

#[test]
fn mistakes_dont_compile() {
    trybuild::TestCases::new().compile_fail("../sdk/tests/compile_fail/*.rs");
}
