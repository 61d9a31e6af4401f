//! [`LaunchSpec`]: a registered plug-in, with everything that is needed to launch it.

use std::fmt;

use crate::error::Error;

/// A plug-in as it is registered in the catalog. Mounts with equal specs may share a process.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct LaunchSpec {
    /// The plug-in's name in the catalog.
    pub name: String,
    /// The plug-in's type: `secret` or `auth`.
    pub kind: &'static str,
    /// Its version with a leading `v`; empty for an unversioned one.
    pub version: String,
    /// The name of its file in the plug-in folder.
    pub command: String,
    /// The arguments it is started with, without the program's name. `Debug` does not show them.
    pub args: Vec<String>,
    /// Variables added to its environment, as `NAME=value`. Values may be secrets; `Debug` does not
    /// show them.
    pub env: Vec<String>,
    /// The SHA-256 of the file, in lower-case hex.
    pub sha256: String,
}

const MOST_ARGUMENTS: usize = 256;
const MOST_ARGUMENT_BYTES: usize = 64 * 1024;

impl LaunchSpec {
    /// Checks the arguments: their number, total size and characters. Reads no file. At most 256
    /// arguments with 64 KiB in total, and no NUL characters, are allowed.
    pub fn check_arguments(&self) -> Result<(), Error> {
        let refused = |reason: String| Err(Error::Arguments(reason));
        let bytes = self.args.iter().map(String::len).sum::<usize>();
        if self.args.len() > MOST_ARGUMENTS || bytes > MOST_ARGUMENT_BYTES {
            return refused(format!(
                "there are more than {MOST_ARGUMENTS} of them or {MOST_ARGUMENT_BYTES} bytes"
            ));
        }
        match self.args.iter().position(|argument| argument.contains('\0')) {
            Some(at) => refused(format!("number {} contains a NUL character", at + 1)),
            None => Ok(()),
        }
    }

    /// Name and version, separated by a space, for logs and messages. An unversioned plug-in is
    /// displayed by its name alone.
    pub fn display_name(&self) -> String {
        if self.version.is_empty() {
            self.name.clone()
        } else {
            format!("{} {}", self.name, self.version)
        }
    }
}

impl fmt::Debug for LaunchSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, command, sha256, .. } = self;
        write!(f, "LaunchSpec({kind} {}: {command} {sha256})", self.display_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_bounded_and_like_the_environment_not_shown() {
        let spec = LaunchSpec {
            name: "custom".to_owned(),
            kind: "secret",
            version: "v1.0.0".to_owned(),
            command: "custom".to_owned(),
            args: vec!["-password=hunter1".to_owned()],
            env: vec!["KEY=hunter2".to_owned()],
            sha256: "00".to_owned(),
        };
        spec.check_arguments().unwrap();
        let nul = LaunchSpec { args: vec!["hunter3\0".to_owned()], ..spec.clone() };
        let many = LaunchSpec { args: vec![String::new(); MOST_ARGUMENTS + 1], ..spec.clone() };
        for refused in [nul, many] {
            let error = refused.check_arguments().unwrap_err().to_string();
            assert!(!error.contains("hunter3"), "{error}");
        }
        let shown = format!("{spec:?}");
        assert!(shown.contains("custom v1.0.0") && !shown.contains("hunter"), "{shown}");
    }
}
