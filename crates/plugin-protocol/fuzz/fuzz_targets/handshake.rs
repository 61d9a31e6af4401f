//! Any text as the first line of a plug-in.
#![no_main]

mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::any_line(bytes));
