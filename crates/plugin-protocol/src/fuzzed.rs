//! Runs the fuzz targets' checks over their corpora and mutations of them.

#[path = "../fuzz/fuzz_targets/check.rs"]
mod check;

fn smoke(target: &str, pieces: &[&[u8]], check: fn(&[u8])) {
    strongroom_fuzzing::run_corpus_and_mutations(env!("CARGO_MANIFEST_DIR"), target, pieces, check);
}

#[test]
fn any_first_line_is_read_or_refused() {
    const PIECES: &[&[u8]] = &[
        b"|",
        b"1|",
        b"|5|",
        b"unix",
        b"tcp",
        b"grpc",
        b"netrpc",
        b"/tmp/x",
        b"127.0.0.1:0",
        b"[::1]",
        b"true",
        b"false",
        b"\0",
        b"\n",
        b"\xff",
        b"AAAA",
        b"=",
        b"..",
    ];
    smoke("handshake", PIECES, check::any_line);
}

#[test]
fn any_log_is_read_and_shows() {
    const PIECES: &[&[u8]] = &[
        b"{",
        b"}",
        b"\"",
        b":",
        b"\n",
        b"\r",
        b"\x1b[2J",
        b"\\u001b",
        b"\\n",
        b"@level",
        b"@message",
        b"@timestamp",
        b"panic: ",
        b"[ERROR]",
        b"\xff",
        b"\0",
        b"\xc2\x9b",
    ];
    smoke("log_line", PIECES, check::any_log);
}

#[test]
fn any_message_is_read_or_refused() {
    smoke("messages", strongroom_fuzzing::MESSAGE_PIECES, check::any_message);
}
