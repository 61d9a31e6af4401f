//! Any values of a condition, and any value that is sent.
#![no_main]

mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::any_condition(bytes));
