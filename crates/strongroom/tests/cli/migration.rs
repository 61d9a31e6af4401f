//! The table of `docs/src/howto/from-vault.md`: every row is played against `-dev`.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use crate::process::{StrongroomProcess, dev_server};

#[test]
fn every_row_of_the_migration_table_works() {
    let rows = table_rows();
    assert!(rows.len() > 8, "{rows:?}");
    let server = dev_server();
    fs::write(
        server.home().join("reader.hcl"),
        "path \"secret/*\" { capabilities = [\"read\"] }\n",
    )
    .unwrap();
    for (theirs, ours) in rows {
        // Their command works here with the name changed: that is what the table is about.
        assert_eq!(ours, theirs.replacen("vault ", "strongroom ", 1));
        let words: Vec<&str> = ours.split(' ').skip(1).collect();
        if let ["server", flags @ ..] = words.as_slice() {
            start_row_server(flags);
            continue;
        }
        let done = server.command(&words).current_dir(server.home()).output().unwrap();
        assert!(done.status.success(), "{ours}: {done:?}");
    }
}

/// Starts a server as a row says, but on a port that is free, in a folder with what rows name.
fn start_row_server(flags: &[&str]) {
    let home = tempfile::tempdir().unwrap();
    for folder in ["plugins", "certs"] {
        fs::DirBuilder::new().mode(0o755).create(home.path().join(folder)).unwrap();
    }
    let is_address = |flag: &&&str| flag.starts_with("-dev-listen-address=");
    let mut flags: Vec<&str> = flags.iter().filter(|flag| !is_address(flag)).copied().collect();
    flags.push("-dev-listen-address=127.0.0.1:0");
    let server = StrongroomProcess::start(home, &flags);
    server.wait_for_line("==> Vault server started!");
}

/// Both commands of each row.
fn table_rows() -> Vec<(String, String)> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/howto/from-vault.md");
    let page = fs::read_to_string(page).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let mut commands = row.split('`').skip(1).step_by(2).map(ToOwned::to_owned);
        (commands.next().unwrap(), commands.next().unwrap())
    })
    .collect()
}
