//! `deploy/`: what the server is run with elsewhere, as far as it can be tried here.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};
use strongroom_config::{Config, StorageConfig};
use strongroom_testkit::ServerFolder;
use strongroom_testkit::programs::{build_go_program, program_path, repository_root, skip_test};

fn deploy_path(part: &str) -> PathBuf {
    repository_root().join("deploy").join(part)
}

/// Every object is one that the API server would take, and the server takes what is in them.
#[tokio::test]
async fn the_manifests_fit_each_other_and_the_server() {
    let test = "the_manifests_fit_each_other_and_the_server";
    let Some(checker) = build_go_program(test, "manifests") else { return };
    let output = Command::new(&checker).arg(deploy_path("kubernetes")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();

    let texts: BTreeMap<String, String> = serde_json::from_value(report["config"].clone()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in &texts {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let config = Config::read(&[folder.path().to_owned()]).unwrap();
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);

    // What the configuration names lies where something is mounted.
    let mounted = |name: &str| PathBuf::from(report["mounts"][name].as_str().unwrap());
    let StorageConfig::Embedded { path, .. } = &config.storage else { panic!("in memory") };
    assert!(path.starts_with(mounted("data")) && *path != mounted("data"));
    let plugins = config.plugin.directory.unwrap();
    assert!(plugins.starts_with(mounted("plugins")) && plugins != mounted("plugins"));
    let tls = config.listeners[0].tls.clone().unwrap();
    assert!(tls.cert_file.starts_with(mounted("tls")) && tls.key_file.starts_with(mounted("tls")));
    let from = format!("-config={}", mounted("config").display());
    assert_eq!(report["args"], json!(["server", from]));
    assert_eq!(report["user"], json!(image_user()));

    check_probes(&report["probes"]).await;
}

/// What the kubelet asks, answered in each state of a server.
async fn check_probes(paths: &Value) {
    let mut site = ServerFolder::new("");
    let ask = async |api: &strongroom_testkit::ApiClient| {
        let mut statuses = Vec::new();
        for probe in ["liveness", "readiness"] {
            let path = paths[probe].as_str().unwrap().strip_prefix("/v1/").unwrap();
            statuses.push(api.read(path).await.status);
        }
        statuses
    };
    let server = site.start_sealed().await;
    assert_eq!(
        ask(&server.api_with_token("")).await,
        [204, 501],
        "not initialised: alive, not ready"
    );
    server.kill().await;
    let (server, api) = site.start_unsealed().await;
    assert_eq!(ask(&api).await, [200, 200], "unsealed: alive and ready");
    api.write("sys/seal", json!({})).await.assert_ok();
    assert_eq!(ask(&api).await, [204, 503], "sealed: alive, not ready");
    server.kill().await;
}

#[test]
fn a_broken_manifest_is_noticed() {
    let Some(checker) = build_go_program("a_broken_manifest_is_noticed", "manifests") else {
        return;
    };
    for (file, written, broken, complaint) in [
        ("statefulset.yaml", "readinessProbe:", "readynessProbe:", "unknown field"),
        ("statefulset.yaml", "replicas: 1", "replicas: one", "cannot unmarshal"),
        ("statefulset.yaml", "runAsNonRoot: true", "runAsNonRoot: false", "may be root"),
        (
            "statefulset.yaml",
            "mountPath: /plugins\n",
            "mountPath: /plugins\n              mountPath: /p\n",
            "already set",
        ),
        ("services.yaml", "targetPort: api", "targetPort: grpc", "leads to no port"),
        ("services.yaml", "kind: Service", "kind: Servise", "none of the kinds"),
        (
            "poddisruptionbudget.yaml",
            "name: strongroom\n  namespace",
            "name: s\n  namespace",
            "budget finds no pod",
        ),
        ("configmap.yaml", "name: strongroom\n", "name: other\n", "no config map"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(deploy_path("kubernetes")).unwrap().flatten() {
            fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
        let text = fs::read_to_string(folder.path().join(file)).unwrap();
        assert!(text.contains(written), "{written}");
        fs::write(folder.path().join(file), text.replacen(written, broken, 1)).unwrap();
        let output = Command::new(&checker).arg(folder.path()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains(complaint), "{broken}: {told}");
    }
}

#[test]
fn the_unit_is_one_that_systemd_understands() {
    let test = "the_unit_is_one_that_systemd_understands";
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        skip_test(test, "systemd-analyze is not installed");
        return;
    }
    let unit = fs::read_to_string(deploy_path("systemd/strongroom.service")).unwrap();
    assert!(unit.contains("\nExecStart=/usr/bin/strongroom server "), "{unit}");
    // It isn't installed here.
    let binary = program_path("strongroom");
    let unit = unit.replace("/usr/bin/strongroom ", &format!("{} ", binary.display()));
    let told = systemd_errors(&unit);
    assert!(told.is_empty(), "{told:#?}");
    let misspelt = unit.replace("NoNewPrivileges=", "NoNewPrivilege=");
    assert!(!systemd_errors(&misspelt).is_empty(), "nothing would be noticed");
}

/// Of the machine's other units nothing is known, so that only ours counts.
fn systemd_errors(unit: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("strongroom.service");
    fs::write(&file, unit).unwrap();
    let output = Command::new("systemd-analyze").arg("verify").arg(&file).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    told.lines().filter(|line| line.contains("strongroom")).map(str::to_owned).collect()
}

/// Its instructions, lines that go on put together.
fn containerfile_instructions() -> Vec<(String, String)> {
    let text = fs::read_to_string(deploy_path("container/Containerfile")).unwrap();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let text = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let instructions = text.lines().filter(|line| !line.trim().is_empty());
    let split = instructions.map(|line| line.trim().split_once(' ').unwrap());
    split.map(|(name, rest)| (name.to_owned(), rest.trim().to_owned())).collect()
}

fn last_instruction(instructions: &[(String, String)], name: &str) -> String {
    instructions.iter().rfind(|(known, _)| known == name).unwrap().1.clone()
}

fn image_user() -> u32 {
    let user = last_instruction(&containerfile_instructions(), "USER");
    // A number, so that everybody sees that it isn't root.
    user.split(':').next().unwrap().parse().unwrap()
}

#[test]
fn the_image_runs_what_it_builds_as_nobody() {
    let all = containerfile_instructions();
    assert!(image_user() > 0);
    let stages: Vec<&String> =
        all.iter().filter(|(name, _)| name == "FROM").map(|(_, it)| it).collect();
    // Both stages have the same C library.
    assert_eq!(stages.len(), 2);
    assert!(stages[0].ends_with("-bookworm AS build") && stages[1].ends_with(":bookworm-slim"));
    let build = all.iter().find(|(name, rest)| name == "RUN" && rest.starts_with("cargo build"));
    let build = &build.expect("it builds with cargo").1;
    assert_eq!(build, "cargo build --release --locked --package strongroom");
    let copied = last_instruction(&all, "COPY");
    assert_eq!(copied, "--from=build /source/target/release/strongroom /usr/bin/strongroom");
    assert_eq!(last_instruction(&all, "ENTRYPOINT"), r#"["/usr/bin/strongroom"]"#);
    let minimum = rust_version();
    let used = stages[0].split("rust:").nth(1).unwrap().split('-').next().unwrap();
    assert!(parse_version(used) >= parse_version(&minimum), "{used} is older than {minimum}");
    // Where there is a linter, it has to say yes, too.
    match Command::new("hadolint").arg(deploy_path("container/Containerfile")).output() {
        Ok(output) => assert!(output.status.success(), "{}", output_text(&output)),
        Err(_) => println!("SKIPPED in part: hadolint is not installed"),
    }
}

/// The image has the C library and the one that unwinds, and nothing else that is linked to.
#[test]
fn the_binary_needs_no_library_that_the_image_has_not() {
    const THERE: [&str; 6] =
        ["libc.so.6", "libm.so.6", "libgcc_s.so.1", "libdl.so.2", "libpthread.so.0", "ld-linux"];
    let output = Command::new("readelf").arg("-d").arg(program_path("strongroom")).output();
    let Ok(output) = output else {
        skip_test("the_binary_needs_no_library_that_the_image_has_not", "readelf is not installed");
        return;
    };
    let listed = output_text(&output);
    let needed: Vec<&str> = listed
        .lines()
        .filter(|line| line.contains("(NEEDED)"))
        .filter_map(|line| line.split(['[', ']']).nth(1))
        .collect();
    assert!(needed.contains(&"libc.so.6"), "{listed}");
    for library in needed {
        assert!(THERE.iter().any(|there| library.starts_with(there)), "it needs {library}");
    }
}

fn output_text(output: &Output) -> String {
    String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned()
}

/// The oldest compiler that the workspace promises to work with.
fn rust_version() -> String {
    let manifest = fs::read_to_string(repository_root().join("Cargo.toml")).unwrap();
    let line = manifest.lines().find_map(|line| line.strip_prefix("rust-version = \""));
    line.unwrap().trim_end_matches('"').to_owned()
}

fn parse_version(text: &str) -> Vec<u32> {
    text.split('.').map(|part| part.parse().unwrap()).collect()
}
