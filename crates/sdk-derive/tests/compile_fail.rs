//! Each mistake that the SDK makes impossible, and what the compiler says to it.
//!
//! The cases lie with the SDK. They are compiled from here since this crate pulls in the SDK without
//! its wire, and each run compiles all that they depend on. The texts are the compiler's: with
//! `TRYBUILD=overwrite` they are written anew.

#[test]
fn mistakes_dont_compile() {
    trybuild::TestCases::new().compile_fail("../sdk/tests/compile_fail/*.rs");
}
