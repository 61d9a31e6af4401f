//! Tests of the book: it documents every setting, and its configuration examples are valid.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Config;
use crate::compatibility::{SettingTreatment, TOP_LEVEL};
use crate::storage::STORAGE_TABLES;

/// An HCL example that begins so is a policy, not a configuration.
const POLICY: &str = "path \"";
/// An example that begins so is a password policy.
const PASSWORD_POLICY: &str = "length =";
/// An example that begins so is a plug-in trust file.
const TRUST_FILE: &str = "plugin \"";

fn book_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src")
}

/// The HCL code blocks of a page.
fn hcl_examples(page: &str) -> Vec<String> {
    let parts = page.split("```hcl\n").skip(1);
    parts.map(|part| part.split("\n```").next().unwrap().to_owned()).collect()
}

/// Adds the mandatory stanzas that an example leaves out.
fn complete_example(example: &str) -> String {
    let mut text = example.to_owned();
    if !example.contains("storage \"") {
        text.push_str("\nstorage \"inmem\" {}");
    }
    if !example.contains("listener \"") {
        text.push_str("\nlistener \"tcp\" { tls_disable = true }");
    }
    text
}

#[test]
fn every_setting_of_the_top_level_and_of_storage_stands_in_the_book() {
    let page = fs::read_to_string(book_folder().join("reference/configuration.md")).unwrap();
    let tables = std::iter::once(&TOP_LEVEL).chain(STORAGE_TABLES.iter().copied());
    for setting in tables.flat_map(|table| table.settings) {
        let is_honoured = setting.treatment == SettingTreatment::Honoured;
        let name = setting.name;
        assert!(!is_honoured || page.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn every_example_of_the_book_is_accepted() {
    let mut tried = 0;
    let mut folders = vec![book_folder()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let page = fs::read_to_string(&path).unwrap();
            let others = [POLICY, PASSWORD_POLICY, TRUST_FILE];
            let all = hcl_examples(&page).into_iter();
            let all = all.filter(|it| !others.iter().any(|other| it.starts_with(other)));
            for example in all {
                let name = path.display().to_string();
                let config =
                    Config::parse(&complete_example(&example), &name).unwrap_or_else(|error| {
                        panic!("{error} in\n{example}");
                    });
                assert!(config.warnings.is_empty(), "{name}: {:?}\n{example}", config.warnings);
                tried += 1;
            }
        }
    }
    assert!(tried > 5, "only {tried} examples were found");
}

#[test]
fn the_example_of_the_service_is_accepted() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/systemd/strongroom.hcl");
    let config = Config::read(&[file]).unwrap();
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert!(config.listeners.iter().all(|listener| {
        listener.tls.is_some() || matches!(listener.endpoint, crate::ListenerEndpoint::Unix(_))
    }));
}
