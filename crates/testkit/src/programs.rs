//! The binaries of this build, and programs in Go that tests build.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FlockOperation, flock};
use std::sync::OnceLock;

use data_encoding::HEXLOWER;
use strongroom_crypto::digest::sha256;

/// The folder with this repository's programs, built with the same profile as the running test.
pub fn binaries_folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        // The test binary is <target>/<profile>/deps/<test>
        let folder = test.ancestors().nth(2).unwrap().to_owned();
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--workspace", "--all-features", "--bins", "--quiet"]);
        if folder.ends_with("release") {
            cargo.arg("--release");
        }
        cargo.arg("--target-dir").arg(folder.parent().unwrap());
        let status = cargo.current_dir(repository_root()).status().expect("cargo runs");
        assert!(status.success(), "the programs can't be built");
        folder
    })
}

/// The path of one of these programs.
pub fn program_path(name: &str) -> PathBuf {
    binaries_folder().join(name)
}

/// The root folder of the repository.
pub fn repository_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

/// The SHA-256 of a file, hexadecimal.
pub fn sha256_hex(file: &Path) -> String {
    HEXLOWER.encode(&sha256(&fs::read(file).unwrap()))
}

/// Builds a Go program below `tests/interop`. `None` if there is no Go, with a message; with
/// `STRONGROOM_REQUIRE_INTEROP=1` that fails the test instead.
pub fn build_go_program(test: &str, name: &str) -> Option<PathBuf> {
    has_go(test).then(|| go_build(&interop_folder().join(name), name))
}

/// The two families of Go libraries that a Go program below `tests/interop` can be built with.
pub const GO_FAMILIES: [&str; 2] = ["vault", "openbao"];

/// The import paths of OpenBao's libraries, for those of HashiCorp's that the sources name.
const OPENBAO_IMPORTS: [(&str, &str); 4] = [
    ("github.com/hashicorp/vault/sdk/", "github.com/openbao/openbao/sdk/v2/"),
    ("\"github.com/hashicorp/vault/api\"", "\"github.com/openbao/openbao/api/v2\""),
    (
        "github.com/hashicorp/vault/api/auth/approle",
        "github.com/openbao/openbao/api/auth/approle/v2",
    ),
    (
        "github.com/hashicorp/vault/api/auth/userpass",
        "github.com/openbao/openbao/api/auth/userpass/v2",
    ),
];

/// Builds a program below `tests/interop` with the libraries of one of [`GO_FAMILIES`]. Its module
/// file is in the folder of the family, with sources that only this family has; `None` as in
/// [`build_go_program`].
pub fn build_go_program_of(test: &str, name: &str, family: &str) -> Option<PathBuf> {
    if !has_go(test) {
        return None;
    }
    let from = interop_folder().join(name);
    let name = format!("{name}-{family}");
    let source = binaries_folder().join("interop").join(format!("{name}-source"));
    // Files of an older state of the source must not be built in.
    let _ = fs::remove_dir_all(&source);
    fs::create_dir_all(&source).unwrap();
    let folders = [from.clone(), from.join(family)];
    for entry in folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap().flatten()) {
        if entry.path().extension().is_some_and(|it| it == "go") {
            let mut text = fs::read_to_string(entry.path()).unwrap();
            if family == "openbao" {
                for (of_vault, of_openbao) in OPENBAO_IMPORTS {
                    text = text.replace(of_vault, of_openbao);
                }
            }
            fs::write(source.join(entry.file_name()), text).unwrap();
        }
    }
    for module in ["go.mod", "go.sum"] {
        fs::copy(from.join(family).join(module), source.join(module)).unwrap();
    }
    Some(go_build(&source, &name))
}

fn interop_folder() -> PathBuf {
    repository_root().join("tests/interop")
}

fn has_go(test: &str) -> bool {
    let has = Command::new("go").arg("version").output().is_ok_and(|it| it.status.success());
    if !has {
        skip_test(test, "Go is not installed");
    }
    has
}

fn go_build(source: &Path, name: &str) -> PathBuf {
    let built = binaries_folder().join("interop").join(name);
    let _lock = lock_path(&built);
    let mut go = Command::new("go");
    go.args(["build", "-trimpath", "-o"]).arg(&built).arg(".").current_dir(source);
    let output = go.output().unwrap();
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} can't be built: {wrong}");
    built
}

/// Waits until no other test, of this process or another, holds the lock of `path`, and takes it
/// until the returned file is dropped. The lock is a file beside `path`.
pub(crate) fn lock_path(path: &Path) -> File {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let file = File::create(beside).unwrap();
    flock(&file, FlockOperation::LockExclusive).unwrap();
    file
}

/// Reports that a test is skipped; fails it if `STRONGROOM_REQUIRE_INTEROP=1` forbids skipping. The
/// report, with the reason, goes to standard error.
pub fn skip_test(test: &str, why: &str) {
    let required = std::env::var("STRONGROOM_REQUIRE_INTEROP").is_ok_and(|value| value == "1");
    assert!(!required, "{test}: {why}, and STRONGROOM_REQUIRE_INTEROP=1 forbids skipping");
    print_to_stderr(&format!("SKIPPED {test}: {why}"));
}

/// Prints a line that is shown even if the test passes. The test harness captures other output of a
/// passing test.
pub fn print_to_stderr(line: &str) {
    // Ignored: without a reader there is nothing to report to.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
