//! Checks every row of the tables, and that the book's page is generated from them.

use std::path::{Path, PathBuf};

use super::*;
use crate::Config;
use crate::storage::{STORAGE_KINDS, STORAGE_TABLES};

fn all_tables() -> Vec<&'static SettingTable> {
    let listeners: &[_] =
        &[&TCP_LISTENER, &UNIX_LISTENER, &LISTENER_TELEMETRY, &PROFILING, &INFLIGHT_REQUESTS];
    [&[&TOP_LEVEL], STORAGE_TABLES, listeners, &[&TELEMETRY]].concat()
}

/// The example within its block, and the number of the line under test.
fn render_example(table: &SettingTable, setting: &SettingSpec) -> (String, usize) {
    let [before, after] = table.example_context;
    let line = before.matches('\n').count() + 1 + setting.example.matches('\n').count();
    (format!("{before}{}{after}", setting.example), line)
}

/// Compares how the configuration treats a row with what the table says; describes any difference.
fn check_setting(table: &SettingTable, setting: &SettingSpec) -> Option<String> {
    let (text, line) = render_example(table, setting);
    let read = Config::parse(&text, "t.hcl").map_err(|error| error.to_string());
    let place = format!("t.hcl:{line}:");
    let wrong = match (setting.treatment, &read) {
        (SettingTreatment::Honoured, Ok(config)) => {
            let about = format!("{} has no effect", setting.name);
            let unknown = format!("field {} ", setting.name);
            config.warnings.iter().any(|it| it.contains(&about) || it.contains(&unknown))
        }
        (SettingTreatment::Ignored(why), Ok(config)) => {
            let text = format!("the setting {} has no effect at {place}", setting.name);
            !config.warnings.iter().any(|it| it.starts_with(&text) && it.ends_with(why))
        }
        (SettingTreatment::Refused(why), Err(error)) => {
            !(error.starts_with(&place) && error.contains(setting.name) && error.ends_with(why))
        }
        _ => true,
    };
    wrong.then(|| format!("{} in {}: {read:?}", setting.name, table.title))
}

#[test]
fn every_setting_of_both_servers_is_treated_as_the_table_says() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for table in all_tables() {
        for setting in table.settings.iter().filter(|it| !it.example.is_empty()) {
            count += 1;
            wrong.extend(check_setting(table, setting));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 200, "only {count} rows were played");
}

#[test]
fn no_warning_if_nothing_changes() {
    for table in all_tables() {
        for setting in table.settings {
            let (name, example) = (setting.name, setting.example);
            let is_block = example.contains('{') && !example.starts_with(&format!("{name} ="));
            if is_block || matches!(setting.treatment, SettingTreatment::Honoured) {
                continue;
            }
            for value in setting.as_is {
                let example = format!("{name} = \"{value}\"");
                let text =
                    format!("{}{example}{}", table.example_context[0], table.example_context[1]);
                let read = Config::parse(&text, "t.hcl");
                let config = read.unwrap_or_else(|error| panic!("{example}: {error}"));
                let about = config.warnings.iter().filter(|it| it.contains(name)).count();
                assert_eq!(about, 0, "{example} in {}: {:?}", table.title, config.warnings);
            }
        }
    }
}

/// Vault accepts setting names in any case. If such a name counted as unknown, there would only be
/// a warning, and its protection would be missing.
#[test]
fn setting_names_ignore_case() {
    let listener = |setting: &str| {
        format!("storage \"inmem\" {{}}\nlistener \"tcp\" {{\ntls_disable = true\n{setting}\n}}")
    };
    for setting in ["Require_Request_Header = true", "MAX_REQUEST_SIZE = 1000"] {
        let error = Config::parse(&listener(setting), "t.hcl").unwrap_err().to_string();
        assert!(error.starts_with("t.hcl:4:1: ") && error.contains("in lower case"), "{error}");
    }
    let config = Config::parse(&listener("Role = \"default\""), "t.hcl").unwrap();
    assert!(config.warnings[0].contains("has no effect at t.hcl:4:1"), "{:?}", config.warnings);
}

#[test]
fn setting_names_are_unique() {
    for table in all_tables() {
        let mut names: Vec<_> = table.settings.iter().map(|setting| setting.name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "{}", table.title);
    }
}

#[test]
fn json_is_checked_like_hcl() {
    let text = r#"{
        "storage": {"inmem": {"max_value_size": 1}},
        "listener": [{"tcp": {
            "tls_disable": "true",
            "cluster_address": "10.0.0.1:8201",
            "telemetry": [{
                "unauthenticated_metrics_access": "true",
                "frobnicate": 1
            }]
        }}],
        "telemetry": {"statsd_address": "127.0.0.1:8125"},
        "service_registration": {"kubernetes": {}}
    }"#;
    let config = Config::parse(text, "t.json").unwrap();
    assert!(config.listeners[0].metrics.unauthenticated_access);
    for (name, line) in [
        ("max_value_size", 2),
        ("cluster_address", 5),
        ("frobnicate", 8),
        ("statsd_address", 11),
        ("service_registration", 12),
    ] {
        let place = format!("t.json:{line}:");
        let found = config.warnings.iter().any(|it| it.contains(name) && it.contains(&place));
        assert!(found, "{name} {line}: {:?}", config.warnings);
    }
    assert_eq!(config.warnings.len(), 5, "{:?}", config.warnings);
    let refused = text.replace("\"cluster_address\"", "\"chroot_namespace\"");
    let error = Config::parse(&refused, "t.json").unwrap_err().to_string();
    assert!(error.starts_with("t.json:5:13: chroot_namespace: "), "{error}");
}

#[test]
fn each_of_several_files_is_judged_under_its_own_name() {
    let folder = tempfile::tempdir().unwrap();
    let first = "storage \"inmem\" {}\nlistener \"tcp\" { tls_disable = true }\ncache_size = 1";
    let second = "{\"telemetry\":\n{\"statsd_address\": \"x\"}}";
    std::fs::write(folder.path().join("a.hcl"), first).unwrap();
    std::fs::write(folder.path().join("b.json"), second).unwrap();
    let config = Config::read(&[folder.path().to_owned()]).unwrap();
    assert!(config.warnings[0].contains("a.hcl:3:1: "), "{:?}", config.warnings);
    assert!(config.warnings[1].contains("b.json:2:2: "), "{:?}", config.warnings);
}

/// Vault evaluates go-sockaddr templates in these settings; this server refuses them.
#[test]
fn a_template_in_an_address_is_refused_with_its_line() {
    let minimal = "storage \"inmem\" {}\nlistener \"tcp\" { tls_disable = true }\n";
    for text in [
        "storage \"inmem\" {}\nlistener \"tcp\" {\naddress = \"{{ GetPrivateIP }}:8200\"\n}"
            .to_owned(),
        "storage \"inmem\" {}\nlistener \"unix\" {\naddress = \"/run/{{ env \\\"A\\\" }}\"\n}"
            .to_owned(),
        format!("{minimal}api_addr = \"https://{{{{GetInterfaceIP \\\"eth0\\\"}}}}:8200\""),
    ] {
        let error = Config::parse(&text, "t.hcl").unwrap_err().to_string();
        assert!(error.starts_with("t.hcl:3:1: ") && error.contains("go-sockaddr"), "{error}");
    }
    for address in ["127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:70000", ""] {
        let text = format!(
            "storage \"inmem\" {{}}\nlistener \"tcp\" {{\ntls_disable = true\naddress = \"{address}\"\n}}"
        );
        let error = Config::parse(&text, "t.hcl").unwrap_err().to_string();
        assert!(error.starts_with("t.hcl:4:1: address: must be host and port"), "{error}");
    }
}

fn escape_table_cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn render_page() -> String {
    let mut page = String::from(PREFACE);
    for table in all_tables() {
        page.push_str(&format!("\n## {}\n\n| setting | of | here |\n|---|---|---|\n", table.title));
        for setting in table.settings {
            let origin = match setting.origin {
                SettingOrigin::Both => "both",
                SettingOrigin::Vault => "Vault",
                SettingOrigin::OpenBao => "OpenBao",
                SettingOrigin::Own => "Strongroom",
            };
            let as_is: Vec<_> =
                setting.as_is.iter().filter(|value| !matches!(**value, "" | "0")).collect();
            let unless = match as_is.as_slice() {
                [only] if **only != "false" => format!(" (nothing is said of `{only}`)"),
                _ => String::new(),
            };
            let here = match setting.treatment {
                SettingTreatment::Honoured => "honoured".to_owned(),
                SettingTreatment::Ignored(why) => format!("warning: {why}{unless}"),
                SettingTreatment::Refused(why) => format!("refused: {why}"),
            };
            page.push_str(&format!(
                "| `{}` | {origin} | {} |\n",
                setting.name,
                escape_table_cell(&here)
            ));
        }
    }
    for (title, kinds) in [("storage", STORAGE_KINDS), ("seal", SEAL_KINDS)] {
        let named = |built: bool| {
            let names = kinds.iter().filter(|kind| kind.is_supported == built);
            names.map(|kind| format!("`{}`", kind.name)).collect::<Vec<_>>().join(", ")
        };
        let (built, unbuilt) = (named(true), named(false));
        page.push_str(&format!(
            "\n## Kinds of `{title}`\n\nThere are {built}. Refused are {unbuilt}.\n"
        ));
    }
    page.push_str("\nA seal that has `disabled = true` is a warning.\n");
    page.push_str(
        "\n## Kinds of `service_registration`\n\nNone is supported. The consequences:\n\n",
    );
    for (name, follows) in REGISTRATION_KINDS {
        page.push_str(&format!("- `{name}`: {follows}\n"));
    }
    page
}

const PREFACE: &str = "\
<!-- Made by a test of crates/config: STRONGROOM_BLESS=1 cargo test -p strongroom-config -->
# Settings of Vault and OpenBao

All settings of Vault's and OpenBao's configuration files, and how this server treats them. An ignored setting
causes a warning in the log at startup, with file, line and column; with a refused one the server doesn't start,
and the error has the same details. A switch that is off (`false`, `0`, empty) is accepted without a warning. A
setting that is in none of the tables causes a warning, too.
";

#[test]
fn the_page_of_the_book_is_current() {
    let file: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs/src/reference/configuration-compatibility.md");
    let page = render_page();
    if std::env::var_os("STRONGROOM_BLESS").is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    let current = std::fs::read_to_string(&file).unwrap_or_default();
    let name = "docs/src/reference/configuration-compatibility.md";
    assert!(page == current, "{name} is old: STRONGROOM_BLESS=1 writes it anew");
}
