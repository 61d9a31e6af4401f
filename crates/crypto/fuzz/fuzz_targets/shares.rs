//! Combines arbitrary bytes as key shares.
#![no_main]

mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::any_shares(bytes));
