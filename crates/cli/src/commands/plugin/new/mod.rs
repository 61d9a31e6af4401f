//! `plugin new`

mod template;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;

use self::template::{NewCrate, PluginKind};
use super::super::paths::expand_home;
use crate::context::CommandContext;
use crate::error::{CliError, CliResult, check_argument_count};

/// Create a crate for a new plug-in in Rust
#[derive(Args)]
#[command(after_help = "\
The crate is complete: it builds, and its tests pass. Its README says what to change. No server is needed.

Example:
  strongroom plugin new -kind=secrets acme-tokens && cd acme-tokens && cargo test")]
pub(crate) struct PluginNew {
    /// secrets for a secrets engine, auth for an auth method
    #[arg(long, value_name = "KIND", default_value = "secrets")]
    kind: String,
    /// Folder to create [default: the plug-in's name]
    #[arg(long, value_name = "FOLDER")]
    directory: Option<String>,
    /// Folder of the SDK's crate, to use that instead of the published one
    #[arg(long, value_name = "FOLDER")]
    sdk_path: Option<String>,
    #[arg(value_name = "NAME", help = "The plug-in's name, such as acme-tokens")]
    arguments: Vec<String>,
}

impl PluginNew {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        check_argument_count(&self.arguments, 1, 1)?;
        let name = self.arguments.concat();
        check_name(&name).map_err(CliError::usage)?;
        let kind = match self.kind.as_str() {
            "secret" | "secrets" => PluginKind::Secrets,
            "auth" => PluginKind::Auth,
            other => {
                let text = format!("-kind is secrets or auth, not {other:?}");
                return Err(CliError::usage(text));
            }
        };
        let shown = self.directory.unwrap_or_else(|| name.clone());
        let folder = expand_home(&shown, &context.environment);
        let sdk_path = self.sdk_path.map(|path| expand_home(&path, &context.environment));
        let sdk_path = sdk_path.map(|path| check_sdk(&path)).transpose()?;
        let new_crate = NewCrate { name: &name, kind, sdk_path: sdk_path.as_deref() };
        write_crate(&folder, &new_crate).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => CliError::local(format!(
                "{shown} exists already: name another folder with -directory"
            )),
            _ => CliError::local(format!("{shown} can't be created: {error}")),
        })?;
        context.printer.success(&format!("Success! Created the plug-in {name} in: {shown}"));
        Ok(())
    }
}

/// A longer name would not fit into the lines of the generated code.
const MAX_NAME_BYTES: usize = 40;

/// Names that Cargo refuses for a package, or that would hide a crate that the code uses.
const REFUSED_NAMES: [&str; 10] = [
    "alloc",
    "core",
    "proc-macro",
    "serde",
    "serde-json",
    "std",
    "strongroom-sdk",
    "test",
    "tokio",
    "tests",
];

/// Keywords of Rust, which Cargo refuses as well. Those with underscores or capitals have no form
/// that the other rules accept.
const KEYWORDS: [&str; 48] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
    "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "unsafe", "use", "where", "while",
];

/// Checks the name of a package, a file and a mount at once: the strictest rules of these.
fn check_name(name: &str) -> Result<(), String> {
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let begins_with_letter = name.starts_with(|c: char| c.is_ascii_lowercase());
    let has_gaps = name.ends_with('-') || name.contains("--");
    if !begins_with_letter || has_gaps || !name.chars().all(is_allowed) {
        return Err(format!(
            "{name:?} can't be a plug-in's name: use small letters, digits and single hyphens, \
             such as acme-tokens, and begin with a letter"
        ));
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(format!("the name is longer than {MAX_NAME_BYTES} characters"));
    }
    if REFUSED_NAMES.contains(&name) || KEYWORDS.contains(&name) {
        return Err(format!("{name:?} has another meaning in Rust: choose another name"));
    }
    Ok(())
}

/// Checks that a folder has the SDK, and makes its path absolute.
fn check_sdk(path: &Path) -> CliResult<PathBuf> {
    let wrong = |reason: &str| {
        let text = format!("-sdk-path: {} {reason}", path.display());
        CliError::local(text)
    };
    let folder = path.canonicalize().map_err(|_| wrong("doesn't exist"))?;
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
    if manifest.contains("name = \"strongroom-sdk\"") {
        Ok(folder)
    } else {
        Err(wrong("is not the crate strongroom-sdk"))
    }
}

/// Writes the files beside the folder and then gives it its name, so that there is no half of a
/// crate after a failure.
fn write_crate(folder: &Path, new_crate: &NewCrate<'_>) -> io::Result<()> {
    if folder.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    let unfinished = tempfile::tempdir_in(parent)?;
    // The temporary folder is accessible to its owner only, and the crate is not to be.
    let place = unfinished.path().join("crate");
    for (name, text) in new_crate.files()? {
        let file = place.join(name);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(file, text)?;
    }
    fs::rename(place, folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cargo_files_or_mounts_refuse_are_refused() {
        for name in ["a", "acme-tokens", "x2", "ldap-2"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        let long = "a".repeat(MAX_NAME_BYTES + 1);
        for name in [
            "",
            "-a",
            "a-",
            "a--b",
            "2x",
            "A",
            "a_b",
            "a/b",
            "..",
            "a b",
            "ä",
            "std",
            "fn",
            "strongroom-sdk",
            &long,
        ] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_folder_is_created_whole_or_not_at_all() {
        let place = tempfile::tempdir().unwrap();
        let new_crate = NewCrate { name: "mine", kind: PluginKind::Auth, sdk_path: None };
        let folder = place.path().join("below/mine");
        write_crate(&folder, &new_crate).unwrap();
        assert!(folder.join("src/lib.rs").is_file());
        assert_eq!(fs::read_dir(place.path().join("below")).unwrap().count(), 1);
        let again = write_crate(&folder, &new_crate).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
    }
}
