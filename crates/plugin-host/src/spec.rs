//! [`Spec`]: what is to be run.

use std::fmt;

/// A plug-in as it was registered. Two mounts whose specs are equal may share a process.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Spec {
    /// The plug-in's name in the catalog.
    pub name: String,
    /// `secret` or `auth`.
    pub kind: &'static str,
    /// Its version with a leading `v`; empty for an unversioned one.
    pub version: String,
    /// The file's name in the plug-in folder.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Additions to its environment, `NAME=value`. Values may be secrets.
    pub env: Vec<String>,
    /// The SHA-256 of the file, in lower-case hex.
    pub sha256: String,
}

impl Spec {
    /// Name and version, for people.
    pub fn title(&self) -> String {
        if self.version.is_empty() {
            self.name.clone()
        } else {
            format!("{} {}", self.name, self.version)
        }
    }
}

impl fmt::Debug for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, command, sha256, .. } = self;
        write!(f, "Spec({kind} {}: {command} {sha256})", self.title())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_not_shown() {
        let spec = Spec {
            name: "custom".to_owned(),
            kind: "secret",
            version: "v1.0.0".to_owned(),
            command: "custom".to_owned(),
            args: vec!["-password=hunter1".to_owned()],
            env: vec!["KEY=hunter2".to_owned()],
            sha256: "00".to_owned(),
        };
        let shown = format!("{spec:?}");
        assert!(shown.contains("custom v1.0.0") && !shown.contains("hunter"), "{shown}");
    }
}
