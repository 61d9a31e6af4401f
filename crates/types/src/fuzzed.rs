//! Runs the fuzz targets as tests, over their corpora and random mutations of them.

#[path = "../fuzz/fuzz_targets/check.rs"]
mod check;

fn smoke(target: &str, pieces: &[&[u8]], check: fn(&[u8])) {
    strongroom_fuzzing::run_corpus_and_mutations(env!("CARGO_MANIFEST_DIR"), target, pieces, check);
}

#[test]
fn any_body_is_read_as_others_read_it() {
    const PIECES: &[&[u8]] = &[
        b"{", b"}", b"[", b"]", b"\"", b"\\", b":", b",", b"null", b"true", b"-", b"1e9", b"0.1",
        b"\\u0061", b"\\ud800", b"\0", b"\xff", b" ",
    ];
    smoke("fields", PIECES, check::any_body);
}

#[test]
fn any_path_is_normal_or_refused() {
    const PIECES: &[&[u8]] = &[
        b"/",
        b"//",
        b".",
        b"..",
        b"/../",
        b"/./",
        b"%2e",
        b"%2f",
        b"\0",
        b"\x7f",
        b"\xe2\x80\x8b",
        b"\xe2\x80\xae",
        b"\xef\xbb\xbf",
        b"\xff",
        b"sys",
        b"+",
        b"*",
    ];
    smoke("paths", PIECES, check::any_path);
}

#[test]
fn any_name_is_normal_or_refused() {
    const PIECES: &[&[u8]] = &[
        b" ",
        b"root",
        b"ROOT",
        b"/",
        b".",
        b"-",
        b"+",
        b"0",
        b"9",
        b"\xc4\xb0",
        b"\xe2\x84\xaa",
        b"\t",
        b"\0",
    ];
    smoke("names", PIECES, check::any_name);
}

#[test]
fn any_duration_is_rounded_up_or_refused() {
    const PIECES: &[&[u8]] = &[
        b"0",
        b"1",
        b"9",
        b"5",
        b".",
        b"-",
        b"+",
        b" ",
        b"e",
        b"h",
        b"m",
        b"s",
        b"ms",
        b"us",
        b"ns",
        b"d",
        b"\xc2\xb5s",
        b"\xce\xbcs",
        b"9223372036",
        b"0.0000000001",
        b"NaN",
        b"inf",
        b"\0",
    ];
    smoke("durations", PIECES, check::any_duration);
}
