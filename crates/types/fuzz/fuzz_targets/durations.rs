//! Parses arbitrary text as a duration.
#![no_main]

mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::any_duration(bytes));
