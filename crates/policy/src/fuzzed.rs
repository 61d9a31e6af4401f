//! Runs the fuzz targets as tests, over their corpora and random mutations of them.

#[path = "../fuzz/fuzz_targets/check.rs"]
mod check;

fn smoke(target: &str, pieces: &[&[u8]], check: fn(&[u8])) {
    strongroom_fuzzing::run_corpus_and_mutations(env!("CARGO_MANIFEST_DIR"), target, pieces, check);
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

#[test]
fn a_value_an_allow_matches_is_stopped_by_the_same_deny() {
    const PIECES: &[&[u8]] = &[
        b"[",
        b"]",
        b"{",
        b"}",
        b"\"",
        b",",
        b":",
        b"*",
        b"=",
        b" ",
        b"\n",
        b"/",
        b"null",
        b"true",
        b"\"true\"",
        b"0",
        b"1",
        b"-1",
        b"1.10",
        b"1e3",
        b"\"1h\"",
        b"\"60m\"",
        b"\"0x10\"",
        b"\"v1.0\"",
        b"\"admin\"",
        b"\"ADMIN\"",
        b"\"a=b\"",
        b"\"a, b\"",
        b"\"adm*\"",
        b"\\\"",
    ];
    smoke("condition", PIECES, check::any_condition);
}
