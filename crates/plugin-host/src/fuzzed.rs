//! Runs the fuzz targets' checks over their corpora and mutations of them.

#[path = "../fuzz/fuzz_targets/check.rs"]
mod check;

fn smoke(target: &str, pieces: &[&[u8]], check: fn(&[u8])) {
    strongroom_fuzzing::run_corpus_and_mutations(env!("CARGO_MANIFEST_DIR"), target, pieces, check);
}

#[test]
fn any_program_is_judged() {
    const PIECES: &[&[u8]] = &[
        b"\x7fELF",
        b"\x02\x01\x01",
        b"\x01\x02\x01",
        b"\x03\0\0\0",
        b"\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x38\0",
        b"/lib\n\0",
        b"\xe2\x80\xae",
    ];
    smoke("elf", PIECES, check::any_program);
}

#[test]
fn any_trust_file_is_read_or_refused() {
    const PIECES: &[&[u8]] = &[
        b"plugin",
        b"{",
        b"}",
        b"[",
        b"]",
        b"\"",
        b"=",
        b"env",
        b"args",
        b"command",
        b"LD_X=",
        b"\n",
        b"0000000000000000000000000000000000000000000000000000000000000000",
        b"\0",
        b"\xff",
    ];
    smoke("trust", PIECES, check::any_trust_file);
}
