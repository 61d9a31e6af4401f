//! What the fuzz targets check, over their corpora and mutations of them.

#[path = "../fuzz/fuzz_targets/check.rs"]
mod check;

fn smoke(target: &str, pieces: &[&[u8]], check: fn(&[u8])) {
    strongroom_fuzzing::smoke(env!("CARGO_MANIFEST_DIR"), target, pieces, check);
}

#[test]
fn any_policy_is_read_or_refused() {
    const PIECES: &[&[u8]] = &[
        b"path",
        b"\"",
        b"{",
        b"}",
        b"[",
        b"]",
        b"=",
        b",",
        b"*",
        b"+",
        b"/",
        b"capabilities",
        b"policy",
        b"\"deny\"",
        b"\"read\"",
        b"\"sudo\"",
        b"\"root\"",
        b"{{",
        b"\n",
        b"#",
        b"\0",
    ];
    smoke("policy", PIECES, check::any_policy);
}

#[test]
fn any_pattern_matches_what_it_reaches() {
    const PIECES: &[&[u8]] = &[b"/", b"*", b"+", b"/+/", b"/+", b"+*", b"a", b"\n", b"..", b"//"];
    smoke("pattern", PIECES, check::any_pattern);
}
