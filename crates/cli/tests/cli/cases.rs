//! What commands print, as text: `tests/cmd/*.md` are sessions of a terminal, `*.toml` are single
//! commands with their standard input, output and errors apart.
//!
//! All cases share one server that runs in memory, side by side, so each file has mounts, policies
//! and tokens of its own. `TRYCMD=overwrite` writes down what is printed now.

use crate::process::{ROOT, dev_server, dev_server_with};

#[test]
fn every_case_prints_what_is_written() {
    let foreign: Vec<String> = std::env::vars()
        .map(|(name, _)| name)
        .filter(|name| name.starts_with("BAO_") || name.starts_with("VAULT_"))
        .filter(|name| !matches!(name.as_str(), "VAULT_ADDR" | "VAULT_TOKEN"))
        .collect();
    assert!(foreign.is_empty(), "unset these, they change what commands do: {foreign:?}");

    let server = dev_server();
    let sealed = dev_server_with(&["-dev-no-store-token"]);
    let done = sealed.command(&["operator", "seal"]).env("VAULT_TOKEN", ROOT).output().unwrap();
    assert!(done.status.success(), "{done:?}");

    let cases = trycmd::TestCases::new();
    cases
        .env("VAULT_ADDR", server.address())
        .env("VAULT_TOKEN", ROOT)
        .env("HOME", server.home().to_str().unwrap())
        .env("SEALED", sealed.address())
        .insert_var("[ADDR]", server.address().to_owned())
        .unwrap()
        .insert_var("[SEALED]", sealed.address().to_owned())
        .unwrap()
        .case("tests/cmd/*.md")
        .case("tests/cmd/*.toml");
    cases.run();
}
