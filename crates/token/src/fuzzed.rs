//! Runs the fuzz target as a test, over its corpus and random mutations of it.

#[path = "../fuzz/fuzz_targets/check.rs"]
mod check;

#[test]
fn arbitrary_text_is_no_token() {
    const PIECES: &[&[u8]] = &[
        b"the-only-token",
        b" ",
        b"\0",
        b"/",
        b".",
        b"hvs.",
        b"\"",
        b"{",
        b"}",
        b":",
        b",",
        b"null",
        b"-1",
        b"\"policies\"",
        b"\"root\"",
        b"\xff",
    ];
    strongroom_fuzzing::run_corpus_and_mutations(
        env!("CARGO_MANIFEST_DIR"),
        "token",
        PIECES,
        check::any_token,
    );
}
