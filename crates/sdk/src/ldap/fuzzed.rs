//! Runs the fuzz target as a test, over its corpus and random mutations of it.

#[path = "../../fuzz/fuzz_targets/check.rs"]
mod check;

#[test]
fn any_response_of_a_directory_is_read_or_refused() {
    const PIECES: &[&[u8]] = &[
        b"\x30\x84\x00\x00\x00\x10",
        b"\x30\x80",
        b"\x02\x01\x01",
        b"\x02\x01\x07",
        b"\x61",
        b"\x64",
        b"\x65",
        b"\x78",
        b"\xa0",
        b"\x04\x02cn",
        b"\x31\x04\x04\x02ab",
        b"\x0a\x01\x00",
        b"\x04\x00",
        b"1.2.840.113556.1.4.319",
        b"\x84\xff\xff\xff\xff",
        b"(cn=*)",
        b"cn=a\\2c,",
    ];
    let manifest = env!("CARGO_MANIFEST_DIR");
    strongroom_fuzzing::run_corpus_and_mutations(
        manifest,
        "ldap_responses",
        PIECES,
        check::any_response,
    );
}
