//! [`LogFile`]: a log file that can be reopened after it was renamed, for log rotation.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::OFlags;

/// A log file, created with mode 0600. Clones write to the same file.
#[derive(Clone, Debug)]
pub struct LogFile {
    path: Arc<Path>,
    file: Arc<Mutex<File>>,
}

/// Name of the log file if only a directory is configured.
const DEFAULT_NAME: &str = "strongroom.log";
/// Only the owner may read the log, because it names mounts, roles and addresses.
const OWNER_ONLY_MODE: u32 = 0o600;

impl LogFile {
    /// Opens the file for appending, and creates it if needed. For a directory, opens
    /// `strongroom.log` in it.
    ///
    /// # Errors
    ///
    /// If the file can't be opened, or the last component of the path is a symbolic link.
    pub fn open(path: &Path) -> io::Result<Self> {
        let path: PathBuf = if path.is_dir() { path.join(DEFAULT_NAME) } else { path.to_owned() };
        let open = Arc::new(Mutex::new(open_for_append(&path)?));
        Ok(Self { path: path.into(), file: open })
    }

    /// Opens the path again, which after a rename creates a new file, and continues there.
    ///
    /// # Errors
    ///
    /// If the path can't be opened; the log then continues in the old file.
    pub fn reopen(&self) -> io::Result<()> {
        let fresh = open_for_append(&self.path)?;
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// Appends a whole line, usually with one system call. Other lines and [`LogFile::reopen`] wait
    /// until all of it is written.
    pub(crate) fn write_line(&self, line: &str) -> io::Result<()> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes())
    }
}

fn open_for_append(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let opened = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(OWNER_ONLY_MODE)
        .custom_flags(flags)
        .open(path);
    opened.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn reopen_continues_in_a_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let log = LogFile::open(folder.path()).unwrap();
        let (file, old) = (folder.path().join(DEFAULT_NAME), folder.path().join("old"));
        log.write_line("one\n").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, OWNER_ONLY_MODE);
        fs::rename(&file, &old).unwrap();
        log.write_line("two\n").unwrap();
        log.reopen().unwrap();
        log.write_line("three\n").unwrap();
        assert_eq!(fs::read_to_string(&old).unwrap(), "one\ntwo\n");
        assert_eq!(fs::read_to_string(&file).unwrap(), "three\n");
        LogFile::open(&file).unwrap().write_line("four\n").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "three\nfour\n");
    }

    #[test]
    fn a_link_is_refused_and_the_old_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (file, target) = (folder.path().join("log"), folder.path().join("target"));
        let log = LogFile::open(&file).unwrap();
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink(&target, &file).unwrap();
        let error = log.reopen().unwrap_err();
        assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
        log.write_line("still here\n").unwrap();
        assert!(!target.exists());
    }
}
