//! The crates that `strongroom plugin new` creates: they are formatted, have no warnings, and pass
//! their tests. They are built offline, with the versions of this repository.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use strongroom_testkit::ServerFolder;
use strongroom_testkit::programs::{
    binaries_folder, print_to_stderr, program_path, repository_root,
};
use strongroom_types::{Clock, SystemClock};

/// Creates a crate with the SDK of this repository.
fn create_crate(place: &Path, kind: &str, name: &str) {
    let output = Command::new(program_path("strongroom"))
        .args(["plugin", "new", &format!("-kind={kind}")])
        .arg(format!("-sdk-path={}", repository_root().join("crates/sdk").display()))
        .arg(name)
        .current_dir(place)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said, format!("Success! Created the plug-in {name} in: {name}\n"));
    fs::copy(repository_root().join("Cargo.lock"), place.join(name).join("Cargo.lock")).unwrap();
}

/// Where all crates are built, so that their dependencies are built once.
fn build_folder() -> PathBuf {
    binaries_folder().join("interop/plugin-new")
}

/// Runs cargo in a crate, and returns what it printed.
fn run_cargo(folder: &Path, words: &[&str]) -> String {
    run_cargo_into(&build_folder(), folder, words)
}

/// Runs cargo in a crate with this target folder, and returns what it printed.
fn run_cargo_into(target: &Path, folder: &Path, words: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(words)
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", target)
        // Those of the repository, so that its tests compile no slower than they run.
        .env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {words:?}: {said}\n{wrong}");
    said
}

/// The number of tests that passed.
fn passed_tests(said: &str) -> usize {
    let results = said.lines().filter_map(|line| line.strip_prefix("test result: ok. "));
    results.filter_map(|line| line.split(' ').next()?.parse::<usize>().ok()).sum()
}

#[test]
fn a_crate_has_the_files_of_its_kind_and_is_formatted() {
    let place = tempfile::tempdir().unwrap();
    // The longest name that is accepted makes the longest lines.
    for name in ["a", "acme-tokens", &"a".repeat(40)] {
        for (kind, test) in [("secrets", "tests/engine.rs"), ("auth", "tests/method.rs")] {
            let name = format!("{}{name}", if kind == "auth" { "m" } else { "" });
            let name = name.get(..name.len().min(40)).unwrap();
            create_crate(place.path(), kind, name);
            let folder = place.path().join(name);
            for file in ["src/lib.rs", "src/main.rs", "README.md", ".github/workflows/ci.yml", test]
            {
                assert!(folder.join(file).is_file(), "{kind}: {file}");
            }
            run_cargo(&folder, &["fmt", "--check"]);
            fs::remove_dir_all(&folder).unwrap();
        }
    }
}

#[test]
#[ignore = "takes minutes: make test-long"]
fn both_kinds_of_crate_build_without_warnings_and_pass_their_tests() {
    let place = tempfile::tempdir().unwrap();
    for (kind, name, least) in [("secrets", "acme-tokens", 8), ("auth", "acme-machines", 5)] {
        create_crate(place.path(), kind, name);
        let folder = place.path().join(name);
        let passed = passed_tests(&run_cargo(&folder, &["test", "--offline"]));
        assert!(passed >= least, "{kind}: {passed} tests");
        let clippy = ["clippy", "--offline", "--all-targets", "--", "-D", "warnings"];
        run_cargo(&folder, &clippy);
    }
}

/// The limits of what a plug-in costs with the release profile of the template: its file, its memory
/// that isn't backed by a file, and the crates that are compiled into it.
const MAX_FILE_BYTES: u64 = 6_000_000;
const MAX_ANONYMOUS_KIB: u64 = 1536;
const MAX_CRATES: usize = 130;

/// Builds the crate without anything from an earlier build, and prints what the build takes and what
/// it makes.
#[tokio::test]
#[ignore = "takes minutes: make figures, which CI runs"]
async fn a_release_build_is_small_in_file_and_memory() {
    let place = tempfile::tempdir().unwrap();
    create_crate(place.path(), "secrets", "acme-tokens");
    let folder = place.path().join("acme-tokens");
    let tree = ["tree", "--offline", "--edges", "normal", "--prefix", "none", "--no-dedupe"];
    let tree = run_cargo(&folder, &tree);
    let crates = tree.lines().collect::<BTreeSet<_>>().len() - 1;
    let target = tempfile::tempdir_in(binaries_folder()).unwrap();
    let begun = SystemClock.monotonic_time();
    run_cargo_into(target.path(), &folder, &["build", "--release", "--offline"]);
    let build_secs = (SystemClock.monotonic_time() - begun).as_secs();
    let program = target.path().join("release/acme-tokens");
    let bytes = fs::metadata(&program).unwrap().len();
    let mut site = ServerFolder::new("");
    let (server, api) = site.start_unsealed().await;
    let sha256 = site.install_plugin(&program);
    let body = json!({ "sha256": sha256, "command": "acme-tokens" });
    api.write("sys/plugins/catalog/secret/acme-tokens", body).await.assert_ok();
    api.write("sys/mounts/acme", json!({ "type": "acme-tokens" })).await.assert_ok();
    assert_eq!(api.read("acme/config").await.status, 404, "it answers");
    let processes = server.child_processes();
    assert_eq!(processes.len(), 1);
    let status = fs::read_to_string(format!("/proc/{}/status", processes[0])).unwrap();
    let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    let anonymous_kib: u64 = anonymous.trim().trim_end_matches(" kB").parse().unwrap();
    print_to_stderr(&format!(
        "FIGURES of an engine outside the repository: {crates} crates, {build_secs} s for a cold \
         release build, {bytes} bytes, {anonymous_kib} KiB of anonymous memory at idle"
    ));
    assert!(crates <= MAX_CRATES && bytes <= MAX_FILE_BYTES && anonymous_kib <= MAX_ANONYMOUS_KIB);
    assert_eq!(server.stop().await, Some(0));
}
