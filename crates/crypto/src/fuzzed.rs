//! Runs the fuzz target as a test, over its corpus and random mutations of it.

#[path = "../fuzz/fuzz_targets/check.rs"]
mod check;

#[test]
fn any_shares_are_put_together_or_refused() {
    const PIECES: &[&[u8]] = &[b"\0", b"\x01", b"\xff", b"\0\0\0\0", b"\x21"];
    strongroom_fuzzing::run_corpus_and_mutations(
        env!("CARGO_MANIFEST_DIR"),
        "shares",
        PIECES,
        check::any_shares,
    );
}
