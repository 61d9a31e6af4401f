//! Any text as a name, an identifier or a duration.
#![no_main]

mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::any_name(bytes));
