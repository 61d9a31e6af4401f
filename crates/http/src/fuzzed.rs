//! Runs the fuzz target's checks over its corpus and mutations of it.

#[path = "../fuzz/fuzz_targets/check.rs"]
mod check;

#[test]
fn any_target_has_one_meaning() {
    const PIECES: &[&[u8]] = &[
        b"/",
        b"//",
        b"/../",
        b"/./",
        b"%2e",
        b"%2E%2e",
        b"%2f",
        b"%5c",
        b"%",
        b"%00",
        b"%ff",
        b"%0a",
        b"?",
        b"&",
        b"=",
        b"+",
        b";",
        b"#",
        b"v1",
        b"..",
        b"\xc3\xbc",
    ];
    strongroom_fuzzing::run_corpus_and_mutations(
        env!("CARGO_MANIFEST_DIR"),
        "target",
        PIECES,
        check::any_target,
    );
}
