//! Any bytes as an ELF program.
#![no_main]

mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::any_program(bytes));
