//! Any bytes: no panic, bounds hold, and what is read prints and reads back the same.
#![no_main]

mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::any_bytes(bytes));
