//! What commands print, as text: `tests/cmd/*/*.md` are sessions of a terminal, `*.toml` are single
//! commands with their standard input, output and errors apart.
//!
//! `recorded` is asked about what other servers answer: `answers.txt` has answers that OpenBao 2.6
//! gave, and what is asked is shown by `-output-curl-string`. Each folder has a server of its own. The files in it run side by side, so each has mounts,
//! policies and tokens of its own. `TRYCMD=overwrite` writes down what is printed now; what changes
//! from run to run is then to be replaced by `[..]`.

use std::path::Path;

use crate::process::{StrongroomProcess, dev_server};
use crate::recorded::RecordedServer;

#[test]
fn recorded_sessions_match() {
    let read = std::env::vars().map(|(name, _)| name);
    let foreign: Vec<_> = read
        .filter(|name| name.starts_with("BAO_") || name.starts_with("VAULT_"))
        .filter(|name| name != "VAULT_ADDR")
        .collect();
    assert!(foreign.is_empty(), "unset what changes what commands do: {foreign:?}");

    let recorded = RecordedServer::start(include_str!("../cmd/recorded/answers.txt"));
    run_cases_at("recorded", recorded.address(), recorded.home());
    run_cases("open", &dev_server());
    run_cases("mounts", &dev_server());
    let sealed = dev_server();
    let done = sealed.command(&["operator", "seal"]).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    run_cases("sealed", &sealed);
    run_cases("new", &new_server());
}

/// The token is the one that the server has left in its home.
fn run_cases(folder: &str, server: &StrongroomProcess) {
    run_cases_at(folder, server.address(), &server.home());
}

fn run_cases_at(folder: &str, address: &str, home: &Path) {
    trycmd::TestCases::new()
        .env("VAULT_ADDR", address)
        .env("HOME", home.to_str().unwrap())
        .insert_var("[ADDR]", address.to_owned())
        .unwrap()
        .case(format!("tests/cmd/{folder}/*.md"))
        .case(format!("tests/cmd/{folder}/*.toml"))
        .run();
}

/// In memory, and never initialised.
fn new_server() -> StrongroomProcess {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("server.hcl");
    let listener = "listener \"tcp\" {\n  address = \"127.0.0.1:0\"\n  tls_disable = true\n}\n";
    std::fs::write(&file, format!("storage \"inmem\" {{}}\n{listener}")).unwrap();
    StrongroomProcess::start_with_config(&file, home, "http://127.0.0.1")
}
