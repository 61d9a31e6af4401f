//! [`LaunchFile`]: the file that a single process executes.
//!
//! It has no name in any folder, and the server's descriptors are not accessible to other
//! processes, so its content can't be changed after it was hashed, not even by a plug-in that runs
//! as the server's user. A program's file can be executed but not read. For a process that executes
//! such a file, the kernel clears the dumpable attribute, which setting
//! [`PR_SET_DUMPABLE`](https://man7.org/linux/man-pages/man2/PR_SET_DUMPABLE.2const.html) before
//! the execution would not achieve: so other processes of the same user can't read its memory,
//! environment or descriptors.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, fchmod, open};
use rustix::io::Errno;
use strongroom_types::Entropy;

/// An unnamed file that is being written.
#[derive(Debug)]
pub struct LaunchFile(File);

/// The extension of unfinished files, which are removed at the next start.
pub const UNFINISHED: &str = "unfinished";

impl LaunchFile {
    /// Creates an unnamed file on the file system of `folder`.
    pub fn create(folder: &Path, entropy: &dyn Entropy) -> io::Result<Self> {
        // With EXCL it can't be linked to a name later.
        let flags = OFlags::TMPFILE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
        match open(folder, flags, Mode::RUSR) {
            Ok(file) => Ok(Self(file.into())),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT) => {
                Self::create_then_unlink(folder, entropy)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// For file systems without O_TMPFILE: creates a named file and unlinks it.
    fn create_then_unlink(folder: &Path, entropy: &dyn Entropy) -> io::Result<Self> {
        let path = folder.join(format!("{}.{UNFINISHED}", entropy.base62(16)));
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        fs::remove_file(&path)?;
        Ok(Self(file))
    }

    /// The file, with everything written so far.
    pub fn file(&self) -> &File {
        &self.0
    }

    /// Makes the file executable and takes all other permissions from it, and returns a descriptor
    /// for executing it. The file of a script stays readable, for its interpreter.
    pub fn finish(self, is_script: bool) -> io::Result<OwnedFd> {
        let mode = if is_script { Mode::RUSR | Mode::XUSR } else { Mode::XUSR };
        fchmod(&self.0, mode)?;
        // The kernel refuses to execute a file that is open for writing, so it is opened again
        // before the writable descriptor is closed.
        let path = format!("/proc/self/fd/{}", self.0.as_raw_fd());
        Ok(open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
    }
}

impl Write for LaunchFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use strongroom_types::entropy::SeededEntropy;

    use super::*;

    #[test]
    fn it_has_no_name_and_a_program_can_not_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let entropy = SeededEntropy::new(1);
        let made = [
            LaunchFile::create(folder.path(), &entropy),
            LaunchFile::create_then_unlink(folder.path(), &entropy),
        ];
        for (made, is_script) in made.into_iter().zip([false, true]) {
            let mut made = made.unwrap();
            made.write_all(b"program").unwrap();
            let file = File::from(made.finish(is_script).unwrap());
            let metadata = file.metadata().unwrap();
            assert_eq!((metadata.nlink(), metadata.len()), (0, 7));
            assert_eq!(metadata.mode() & 0o777, if is_script { 0o500 } else { 0o100 });
            assert!((&file).write(b"x").is_err());
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
