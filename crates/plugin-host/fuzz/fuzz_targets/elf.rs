//! Any bytes as the beginning of a program.
#![no_main]

mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::any_program(bytes));
