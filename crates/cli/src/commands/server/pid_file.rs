//! `pid_file`: a file with the process id, for other programs.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::{CliError, CliResult};

/// A file with this process's id. It is removed when this value is dropped.
pub(super) struct PidFile {
    path: PathBuf,
    text: String,
}

const WORLD_READABLE_MODE: u32 = 0o644;

impl PidFile {
    /// Writes the file. An existing file is replaced atomically: a link is not followed, and nobody
    /// reads an incomplete number.
    pub(super) fn write(path: &Path) -> CliResult<Self> {
        let failed = |error: std::io::Error| {
            CliError::local(format!("pid_file {} can't be written: {error}", path.display()))
        };
        let text = format!("{}\n", std::process::id());
        let folder = path.parent().unwrap_or(path);
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        let readable = Permissions::from_mode(WORLD_READABLE_MODE);
        file.as_file().set_permissions(readable).map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        Ok(Self { path: path.to_owned(), text })
    }
}

impl Drop for PidFile {
    /// Removes the file, unless it now holds another process's id.
    fn drop(&mut self) {
        if fs::read_to_string(&self.path).is_ok_and(|text| text == self.text) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pid_file_is_removed_on_drop() {
        let folder = tempfile::tempdir().unwrap();
        let (path, target) = (folder.path().join("pid"), folder.path().join("target"));
        fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        let file = PidFile::write(&path).unwrap();
        let own = format!("{}\n", std::process::id());
        assert_eq!(fs::read_to_string(&path).unwrap(), own);
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
        drop(file);
        assert!(!path.exists());

        let file = PidFile::write(&path).unwrap();
        fs::write(&path, "1\n").unwrap();
        drop(file);
        assert!(path.exists(), "another's is left alone");
        let error = PidFile::write(&folder.path().join("no/pid")).err().unwrap();
        assert_eq!(error.code, 1);
    }
}
