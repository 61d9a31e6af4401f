//! Paths in arguments: of files, of mounts and of secrets.

use std::path::PathBuf;

use crate::environment::Environment;

/// Expands a leading `~/` to the user's home directory.
pub(super) fn expand_home(path: &str, environment: &Environment) -> PathBuf {
    match (path.strip_prefix("~/"), environment.home_dir()) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => PathBuf::from(path),
    }
}

/// Removes slashes at both ends of a path, and doubled ones. Everything else is kept: white space
/// may be part of a name.
pub(super) fn clean_path(path: &str) -> String {
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    segments.collect::<Vec<_>>().join("/")
}

/// A mount path as it is displayed: with a slash at its end.
pub(super) fn mount_path(path: &str) -> String {
    format!("{}/", clean_path(path))
}
