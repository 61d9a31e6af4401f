//! Which of our crates may depend on which: the layers of the crates in `ARCHITECTURE.md`. Those of
//! others are checked with `deny.toml`.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde_json::Value;

/// The layers, lowest first. A crate may depend on crates of the lines above its own and on no
/// others, not even on those of its own line.
const CRATE_LAYERS: &[&[&str]] = &[
    &["types"],
    &["crypto"],
    &["hcl"],
    &["telemetry"],
    &["storage"],
    &["barrier"],
    &["plugin-protocol"],
    &["sdk-derive"],
    &["schema"],
    &["engine"],
    &["engine-wire"],
    &["totp"],
    &["sdk"],
    &["plugin-host"],
    &["policy", "token", "lease"],
    &["mounts"],
    &["core"],
    &["system"],
    &["http"],
    &["config"],
    &["server"],
    &["client"],
    &["cli"],
    &["strongroom"],
    &["fakes"],
];

/// Dependencies that the order would allow and that are forbidden all the same.
const FORBIDDEN_DEPENDENCIES: &[(&str, &str)] = &[
    ("mounts", "plugin-host"),
    ("mounts", "token"),
    ("mounts", "lease"),
    ("core", "plugin-host"),
    ("system", "plugin-host"),
    ("system", "storage"),
    ("http", "system"),
    ("http", "storage"),
    ("client", "core"),
    ("client", "server"),
    ("client", "http"),
    ("cli", "core"),
    ("cli", "storage"),
    ("strongroom", "core"),
    ("strongroom", "server"),
    ("plugin-host", "barrier"),
    ("engine", "plugin-protocol"),
    ("engine", "storage"),
    ("engine", "barrier"),
    ("engine-wire", "storage"),
    ("engine-wire", "barrier"),
    ("sdk", "barrier"),
    ("sdk", "storage"),
    ("plugin-protocol", "storage"),
];

/// The one crate that sees engines and stores.
const COMPOSITION_ROOT: &str = "server";

#[test]
fn dependencies_follow_the_layers() {
    let dependencies = crate_dependencies();
    assert!(dependencies.len() > 15, "only {} crates were read", dependencies.len());
    let mut wrong = Vec::new();
    for (from, to) in
        dependencies.iter().flat_map(|(from, all)| all.iter().map(move |to| (from, to)))
    {
        if !is_allowed(from, to) {
            wrong.push(format!("{from} → {to}"));
        }
    }
    assert!(wrong.is_empty(), "new dependencies: {wrong:?}");
}

#[test]
fn forbidden_dependencies_are_detected() {
    for (from, to) in [
        ("sdk", "core"),
        ("core", "engine-kv"),
        ("core", "http"),
        ("core", "plugin-host"),
        ("system", "plugin-host"),
        ("system", "storage"),
        ("http", "system"),
        ("policy", "token"),
        ("mounts", "core"),
        ("mounts", "plugin-host"),
        ("http", "storage"),
        ("engine-kv", "core"),
        ("engine-kv", "types"),
        ("engine-kv", "engine"),
        ("engine-kv", "engine-wire"),
        ("core", "sdk"),
        ("plugin-host", "sdk"),
        ("server", "sdk"),
        ("engine", "plugin-protocol"),
        ("cli", "engine-kv"),
        ("cli", "strongroom"),
        ("types", "testkit"),
        ("core", "nowhere"),
        ("engine-nomad", "fakes"),
        ("example-ports", "engine"),
    ] {
        assert!(!is_allowed(from, to), "{from} → {to}");
    }
    for (from, to) in
        [("server", "engine-kv"), ("engine-kv", "sdk"), ("core", "lease"), ("sdk", "engine-wire")]
    {
        assert!(is_allowed(from, to), "{from} → {to}");
    }
}

/// Everybody else takes a store as a trait object.
#[test]
fn only_server_depends_on_a_store() {
    let crates = strongroom_testkit::programs::repository_root().join("crates");
    let mut read = 0;
    for name in
        CRATE_LAYERS.iter().flat_map(|layer| layer.iter()).filter(|name| **name != COMPOSITION_ROOT)
    {
        let mut folders = vec![crates.join(name).join("src")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap().flatten() {
                let path = entry.path();
                let name = entry.file_name().into_string().unwrap();
                if path.is_dir() && name != "tests" {
                    folders.push(path);
                } else if name.ends_with(".rs") && name != "tests.rs" && name != "bench.rs" {
                    let text = fs::read_to_string(&path).unwrap();
                    let code = text.split("#[cfg(test)]").next().unwrap();
                    for store in ["strongroom_storage::embedded", "strongroom_storage::memory"] {
                        assert!(!code.contains(store), "{} names {store}", path.display());
                    }
                    read += 1;
                }
            }
        }
    }
    assert!(read > 100, "only {read} files were read");
}

fn is_allowed(from: &str, to: &str) -> bool {
    if is_unrestricted(from) {
        return true;
    }
    if is_engine(from) {
        return to == "sdk";
    }
    if is_engine(to) {
        return from == COMPOSITION_ROOT;
    }
    // It is for authors only. Hosts use `engine`, `engine-wire` and `schema`.
    if to == "sdk" {
        return false;
    }
    match (layer_of(from), layer_of(to)) {
        (Some(from_at), Some(to_at)) => {
            to_at < from_at && !FORBIDDEN_DEPENDENCIES.contains(&(from, to))
        }
        _ => false,
    }
}

/// Whether the crate is a secrets engine or an auth method, or has examples of them. `engine-wire` is
/// none.
fn is_engine(name: &str) -> bool {
    let prefixes = ["engine-", "auth-", "example-"];
    prefixes.iter().any(|prefix| name.starts_with(prefix)) && layer_of(name).is_none()
}

/// Tests, benchmarks and examples stand beside the house and may look into any window.
fn is_unrestricted(from: &str) -> bool {
    ["testkit", "e2e", "golden", "token-service"].contains(&from) || from.starts_with("bench")
}

fn layer_of(name: &str) -> Option<usize> {
    CRATE_LAYERS.iter().position(|layer| layer.contains(&name))
}

/// Normal and build dependencies between the crates of this repository.
fn crate_dependencies() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--locked"])
        .current_dir(strongroom_testkit::programs::repository_root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let ours = |name: &str| packages.iter().any(|package| package["name"] == name);
    let mut all = BTreeMap::new();
    for package in packages {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let real = dependencies.filter(|dependency| dependency["kind"] != "dev");
        let names = real.filter_map(|dependency| dependency["name"].as_str());
        let to = names.filter(|name| ours(name)).map(strip_crate_prefix).collect();
        all.insert(strip_crate_prefix(package["name"].as_str().unwrap()), to);
    }
    all
}

fn strip_crate_prefix(name: &str) -> String {
    name.strip_prefix("strongroom-").unwrap_or(name).to_owned()
}
