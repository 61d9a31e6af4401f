//! Runs the fuzz target as a test, over its corpus and random mutations of it.

#[path = "../fuzz/fuzz_targets/check.rs"]
mod check;

#[test]
fn any_record_opens_only_where_it_was_sealed() {
    const PIECES: &[&[u8]] = &[b"\x01", b"\x02", b"\0\0\0\x07", b"\xff\xff\xff\xff"];
    strongroom_fuzzing::run_corpus_and_mutations(
        env!("CARGO_MANIFEST_DIR"),
        "record",
        PIECES,
        check::any_record,
    );
}
