//! Checks that the generated code in the repository matches the files in `proto`.

mod codegen;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

/// The name and content of every generated file in a folder.
fn files(folder: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != "mod.rs" {
            files.insert(name, fs::read_to_string(entry.path())?);
        }
    }
    Ok(files)
}

#[test]
fn generated_code_is_current() {
    let fresh = tempfile::tempdir().unwrap();
    codegen::generate(fresh.path()).unwrap();
    let fresh = files(fresh.path()).unwrap();
    let kept = files(&codegen::checked_in()).unwrap();
    assert_eq!(kept.keys().collect::<Vec<_>>(), fresh.keys().collect::<Vec<_>>());
    for (name, text) in fresh {
        // Not `assert_eq`: it would print a difference of thousands of lines.
        assert!(
            kept.get(&name) == Some(&text),
            "src/generated/{name} is stale: cargo run -p strongroom-plugin-protocol --example \
             generate"
        );
    }
}
