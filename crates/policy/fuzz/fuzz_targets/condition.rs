//! Checks arbitrary values of a condition against an arbitrary value sent.
#![no_main]

mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::any_condition(bytes));
