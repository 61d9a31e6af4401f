//! The arithmetic of key shares is another project's. What matters of it and isn't seen in its
//! results is looked for in its source.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The crate that splits and combines, and what is read here of it. Another one, or another
/// version, must be read before it is used: whether it branches or indexes by secret bytes.
const ARITHMETIC_CRATE: (&str, &str) = ("vsss-rs", "6.0.1");

/// A table that is indexed by secret bytes tells them to whoever shares the processor's cache.
#[test]
fn cve_2023_25000_key_shares_are_computed_without_tables() {
    let (name, version, source) = arithmetic_crate_source();
    assert_eq!((name.as_str(), version.as_str()), ARITHMETIC_CRATE, "read it before it is used");
    let mut files = 0;
    for path in source_files(&source) {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        assert_eq!(lookup_tables(code), [""; 0], "{}", path.display());
        files += 1;
    }
    assert!(files > 10, "only {files} files were read");
    let field = fs::read_to_string(source.join("gf256.rs")).unwrap();
    assert!(field.contains("fn gf256_mul("), "the multiplication stands elsewhere now");
}

#[test]
fn lookup_tables_are_recognised() {
    for table in ["const LOG: [u8; 256] = [", "pub static EXP: [u8;510]=[", "static T: &[u8] = &["]
    {
        assert_eq!(lookup_tables(table).len(), 1, "{table}");
    }
    for other in ["fn mul(a: u8, b: u8) -> u8 {", "const MODULUS: &'static str = \"\";"] {
        assert!(lookup_tables(other).is_empty(), "{other}");
    }
}

/// Lines that define bytes to be looked up.
fn lookup_tables(code: &str) -> Vec<&str> {
    let is_table = |line: &&str| {
        let words = line.split_whitespace().any(|word| matches!(word, "const" | "static"));
        let bytes = [": [u8", ": &[u8", ": [[u8", ": &'static [u8"];
        words && bytes.iter().any(|kind| line.contains(kind))
    };
    code.lines().filter(is_table).collect()
}

/// Name, version and source folder of the crate that ours is built with.
fn arithmetic_crate_source() -> (String, String, PathBuf) {
    let compiler = Command::new("rustc").arg("-vV").output().unwrap();
    let compiler = String::from_utf8(compiler.stdout).unwrap();
    let host = compiler.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    // Without the platform, the dependencies of all of them would have to be there.
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--offline"])
        .arg(format!("--filter-platform={host}"))
        .current_dir(strongroom_testkit::programs::repository_root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let mut found = packages.iter().filter(|package| package["name"] == ARITHMETIC_CRATE.0);
    let package = found.next().unwrap();
    assert!(found.next().is_none(), "there are two versions of it");
    let text = |name: &str| package[name].as_str().unwrap().to_owned();
    let manifest = PathBuf::from(text("manifest_path"));
    (text("name"), text("version"), manifest.parent().unwrap().join("src"))
}

/// All its source but its tests.
fn source_files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        if path.is_dir() && name != "tests" {
            all.extend(source_files(&path));
        } else if name.ends_with(".rs") && name != "tests.rs" {
            all.push(path);
        }
    }
    all
}
