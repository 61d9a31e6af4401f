//! [`PluginBinaries`]: makes sure that the file that was hashed is the file that runs.
//!
//! A binary is hashed while it is copied to a folder that only the server's user can access. The
//! copy is named after the registered command and digest, and is kept: a mount continues with the
//! binary it was enabled with when the file in the plug-in folder is replaced by a newer one. At
//! each launch the copy is copied and hashed once more, into a [`LaunchFile`] that no other process
//! can open, and that is executed. So neither replacing files in the plug-in folder nor writing to
//! the copies can change what runs. If the copies' file system is mounted `noexec`, the descriptor
//! of the original file that was hashed is executed instead.
//!
//! A digest alone starts nothing: at each launch the plug-in folder must hold a file of the
//! registered name, and both must have acceptable owners and permissions.
//!
//! Everything in this module blocks on file access.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use data_encoding::HEXLOWER_PERMISSIVE;
use rustix::fs::{OFlags, StatVfsMountFlags, fstatvfs};
use strongroom_crypto::digest::{Sha256, Sha256Digest};
use strongroom_types::Entropy;
use subtle::ConstantTimeEq;

use crate::elf;
use crate::error::Error;
use crate::kept_copies::{CopyRemoval, KeptCopies};
use crate::launch_file::{LaunchFile, UNFINISHED};
use crate::spec::LaunchSpec;
use crate::system_errors::system_error_text;

/// The plug-in folder, and the private copies of the binaries that were run from it.
#[derive(Debug)]
pub struct PluginBinaries {
    /// The plug-in folder, where operators put the binaries.
    pub directory: PathBuf,
    /// The folder of the private copies. Created when needed, with mode 0700.
    pub copies: PathBuf,
    /// Whether scripts may be run in addition to ELF programs.
    pub allow_scripts: bool,
    /// Whether the plug-in folder and its files may be writable by the server process's own group.
    /// Each use logs a warning.
    pub group_may_write: bool,
    /// The source of random names for unfinished copies.
    pub entropy: Arc<dyn Entropy>,
    /// The copies that must not be removed.
    pub kept_copies: KeptCopies,
}

/// A verified binary, ready to be executed.
#[derive(Debug)]
pub struct VerifiedBinary {
    /// The file, open for execution; its content has the registered digest.
    pub file: OwnedFd,
    /// Whether it is a script, whose interpreter must be able to read it.
    pub is_script: bool,
}

/// Which files may be used for a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinarySource {
    /// Only the file in the plug-in folder, which must match: it is being registered.
    Original,
    /// Preferably the private copy of the registered file; if there is none, the original.
    AnyCopy,
}

const GROUP_OR_OTHERS_WRITE: u32 = 0o022;
const GROUP_WRITE: u32 = 0o020;
const GROUP_OR_OTHERS_ANY: u32 = 0o077;
/// The first bytes of a script.
const SHEBANG: &[u8] = b"#!";
/// Keeps the name of a copy, the command and its digest, below the 255 bytes that file systems
/// allow.
const MAX_COMMAND_BYTES: usize = 180;
const CHUNK_BYTES: usize = 256 * 1024;

impl PluginBinaries {
    /// Returns a file for execution whose content has the registered digest: made from the private
    /// copy if `source` allows it and there is one, else from the command's own file.
    pub fn verify(&self, spec: &LaunchSpec, source: BinarySource) -> Result<VerifiedBinary, Error> {
        let expected = parse_digest(spec)?;
        let original = self.open_original(&spec.command)?;
        let CopyFolderState::Usable = self.prepare_copy_folder()? else {
            return self.verify_without_copy(original, spec, &expected);
        };
        if source == BinarySource::AnyCopy
            && let Some(program) = self.launch_file_from_copy(spec, &expected)?
        {
            return Ok(program);
        }
        self.launch_file_from_original(original, spec, &expected)
    }

    fn verify_without_copy(
        &self,
        mut original: File,
        spec: &LaunchSpec,
        expected: &Sha256Digest,
    ) -> Result<VerifiedBinary, Error> {
        tracing::warn!(
            folder = %self.copies.display(),
            "programs can't be run from the folder of plug-in copies; the original is run, which \
             must not be written to while it runs, and other plug-ins can read the memory of its \
             process"
        );
        let seen = copy_and_hash(&mut original, &mut io::sink())
            .map_err(|error| command_error(&spec.command, &error))?;
        let is_script = self.check_content(spec, &seen, expected, &original)?;
        Ok(VerifiedBinary { file: original.into(), is_script })
    }

    /// Opens a file directly in the plug-in folder that only root and the server's user can change.
    fn open_original(&self, command: &str) -> Result<File, Error> {
        let refused = |reason: &str| Error::Command {
            command: command.to_owned(),
            reason: reason.to_owned(),
        };
        let mut components = Path::new(command).components();
        let (Some(Component::Normal(_)), None) = (components.next(), components.next()) else {
            return Err(refused("it must be the name of a file in the plug-in folder"));
        };
        if command.len() > MAX_COMMAND_BYTES {
            return Err(refused("its name is longer than 180 bytes"));
        }
        let folder = fs::canonicalize(&self.directory).map_err(|error| {
            folder_error(PLUGIN_FOLDER_ROLE, &self.directory, &system_error_text(&error))
        })?;
        let metadata = fs::metadata(&folder).map_err(|error| {
            folder_error(PLUGIN_FOLDER_ROLE, &folder, &system_error_text(&error))
        })?;
        self.check_writers(&folder, &metadata)
            .map_err(|reason| folder_error(PLUGIN_FOLDER_ROLE, &folder, reason))?;
        let path = fs::canonicalize(folder.join(command))
            .map_err(|error| command_error(command, &error))?;
        if path.parent() != Some(&*folder) {
            return Err(refused("it points out of the plug-in folder"));
        }
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let flags = i32::try_from(flags.bits()).unwrap_or_default();
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(&path)
            .map_err(|error| command_error(command, &error))?;
        let metadata = file.metadata().map_err(|error| command_error(command, &error))?;
        if !metadata.is_file() {
            return Err(refused("it is not a file"));
        }
        self.check_writers(&path, &metadata).map_err(refused)?;
        Ok(file)
    }

    /// Checks owner and permissions. With `group_may_write` the group may be able to write: on many
    /// systems each user has a group of his own, and developers' files are writable by it.
    fn check_writers(&self, path: &Path, metadata: &fs::Metadata) -> Result<(), &'static str> {
        let refusal = match check_owner(metadata) {
            Ok(()) => return Ok(()),
            Err(reason) => reason,
        };
        let is_of_our_group = metadata.gid() == rustix::process::getegid().as_raw();
        if !self.group_may_write || !is_of_our_group {
            return Err(refusal);
        }
        check_owner_of(metadata.uid(), metadata.mode() & !GROUP_WRITE)?;
        tracing::warn!(
            path = %path.display(),
            "the group may write to this, which only -dev-plugin-dir allows: chmod g-w"
        );
        Ok(())
    }

    /// Creates the launch file from the private copy. Returns `None` if there is no copy, or it was
    /// changed or has the wrong owner; the caller then copies the original again.
    fn launch_file_from_copy(
        &self,
        spec: &LaunchSpec,
        expected: &Sha256Digest,
    ) -> Result<Option<VerifiedBinary>, Error> {
        let path = self.copies.join(copy_name(spec));
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC).bits();
        let flags = i32::try_from(flags).unwrap_or_default();
        let opened = OpenOptions::new().read(true).custom_flags(flags).open(&path);
        // Whatever the error is, the original can be used instead.
        let Ok(mut copy) = opened else { return Ok(None) };
        let failed = |error: io::Error| {
            folder_error(COPY_FOLDER_ROLE, &self.copies, &system_error_text(&error))
        };
        let metadata = copy.metadata().map_err(failed)?;
        let is_ours = metadata.is_file() && check_owner(&metadata).is_ok();
        let mut launch = LaunchFile::create(&self.copies, &*self.entropy).map_err(failed)?;
        let seen = copy_and_hash(&mut copy, &mut launch).map_err(failed)?;
        if !is_ours || !bool::from(seen.digest.ct_eq(expected)) {
            tracing::error!(
                copy = %path.display(),
                "a private copy of a plug-in was changed; it is replaced by the original"
            );
            return Ok(None);
        }
        let is_script = self.check_content(spec, &seen, expected, launch.file())?;
        let file = launch.finish(is_script).map_err(failed)?;
        Ok(Some(VerifiedBinary { file, is_script }))
    }

    /// Copies the original to the private copy and to the launch file at once.
    fn launch_file_from_original(
        &self,
        mut original: File,
        spec: &LaunchSpec,
        expected: &Sha256Digest,
    ) -> Result<VerifiedBinary, Error> {
        let failed = |error: io::Error| {
            folder_error(COPY_FOLDER_ROLE, &self.copies, &system_error_text(&error))
        };
        let mut launch = LaunchFile::create(&self.copies, &*self.entropy).map_err(failed)?;
        let unfinished = self.copies.join(format!("{}.{UNFINISHED}", self.entropy.base62(16)));
        let outcome = (|| {
            let mut copy = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o500)
                .open(&unfinished)
                .map_err(failed)?;
            let mut both = TeeWriter(&mut copy, &mut launch);
            let seen = copy_and_hash(&mut original, &mut both).map_err(failed)?;
            let is_script = self.check_content(spec, &seen, expected, launch.file())?;
            // Synced before it gets its final name, so that it is complete even after a power
            // failure: the original may have been replaced by then.
            copy.sync_all().map_err(failed)?;
            drop(copy);
            fs::rename(&unfinished, self.copies.join(copy_name(spec))).map_err(failed)?;
            File::open(&self.copies).and_then(|folder| folder.sync_all()).map_err(failed)?;
            Ok::<_, Error>(is_script)
        })();
        if outcome.is_err() {
            // It may not exist.
            let _ = fs::remove_file(&unfinished);
        }
        let is_script = outcome?;
        let file = launch.finish(is_script).map_err(failed)?;
        Ok(VerifiedBinary { file, is_script })
    }

    /// Checks the digest and format of content that is also in `file`. Returns whether it is a
    /// script.
    fn check_content(
        &self,
        spec: &LaunchSpec,
        seen: &HashedContent,
        expected: &Sha256Digest,
        file: &File,
    ) -> Result<bool, Error> {
        let command = spec.command.clone();
        if !bool::from(seen.digest.ct_eq(expected)) {
            return Err(Error::Checksum { command });
        }
        let refused = |reason: String| Err(Error::Command { command, reason });
        if seen.start.starts_with(elf::MAGIC) {
            return elf::check_executable(file)
                .map_or_else(|error| refused(error.to_string()), |()| Ok(false));
        }
        if !self.allow_scripts {
            let reason = "it is not an ELF program; scripts need plugin_allow_scripts = true";
            return refused(reason.to_owned());
        }
        if !seen.start.starts_with(SHEBANG) {
            let reason = "it is neither an ELF program nor a script that begins with #!";
            return refused(reason.to_owned());
        }
        Ok(true)
    }

    fn prepare_copy_folder(&self) -> Result<CopyFolderState, Error> {
        let failed = |error: io::Error| {
            folder_error(COPY_FOLDER_ROLE, &self.copies, &system_error_text(&error))
        };
        match DirBuilder::new().mode(0o700).create(&self.copies) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
        let flags = OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let flags = i32::try_from(flags.bits()).unwrap_or_default();
        let folder =
            OpenOptions::new().read(true).custom_flags(flags).open(&self.copies).map_err(failed)?;
        let metadata = folder.metadata().map_err(failed)?;
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(folder_error(COPY_FOLDER_ROLE, &self.copies, "it belongs to another user"));
        }
        if metadata.mode() & GROUP_OR_OTHERS_ANY != 0 {
            return Err(folder_error(
                COPY_FOLDER_ROLE,
                &self.copies,
                "others than its owner may use it",
            ));
        }
        let mount = fstatvfs(&folder).map_err(|error| failed(error.into()))?;
        let runs = !mount.f_flag.contains(StatVfsMountFlags::NOEXEC);
        Ok(if runs { CopyFolderState::Usable } else { CopyFolderState::NoExec })
    }

    /// Removes copies that were never finished. Called at the start, when no other copy is being
    /// made.
    pub fn remove_unfinished(&self) {
        let is_unfinished =
            |name: &str| Path::new(name).extension().is_some_and(|it| it == UNFINISHED);
        self.remove(&self.kept_copies.begin_removal(), is_unfinished);
    }

    /// Removes the copies that are neither in `needed` nor guarded. `removal` must have begun
    /// before `needed` was determined.
    pub fn remove_all_but(&self, needed: &BTreeSet<String>, removal: &CopyRemoval) {
        self.remove(removal, |name| {
            let is_copy = name.len() >= DIGEST_DIGITS
                && name.bytes().rev().take(DIGEST_DIGITS).all(|byte| byte.is_ascii_hexdigit());
            is_copy && !needed.contains(name)
        });
    }

    fn remove(&self, removal: &CopyRemoval, unneeded: impl Fn(&str) -> bool) {
        let Ok(entries) = fs::read_dir(&self.copies) else { return };
        for entry in entries.flatten() {
            if let Some(name) = entry.file_name().to_str().filter(|name| unneeded(name)) {
                removal.remove_unless_kept(name, || {
                    // The next removal tries again.
                    let _ = fs::remove_file(entry.path());
                });
            }
        }
    }
}

/// The file name of a private copy: the registered command and digest. Both must match to find it.
pub fn copy_name(spec: &LaunchSpec) -> String {
    format!("{}-{}", spec.command, spec.sha256.to_ascii_lowercase())
}

const DIGEST_DIGITS: usize = 64;

/// Writes to two files.
struct TeeWriter<'a>(&'a mut File, &'a mut LaunchFile);

impl Write for TeeWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(bytes)?;
        self.1.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const PLUGIN_FOLDER_ROLE: &str = "plug-in folder";
const COPY_FOLDER_ROLE: &str = "folder of plug-in copies";

fn folder_error(role: &'static str, folder: &Path, reason: &str) -> Error {
    Error::Folder { role, folder: folder.to_owned(), reason: reason.to_owned() }
}

enum CopyFolderState {
    Usable,
    /// The file system is mounted `noexec`.
    NoExec,
}

struct HashedContent {
    digest: Sha256Digest,
    /// The first few bytes of the content, to detect its format.
    start: Vec<u8>,
}

fn copy_and_hash(from: &mut File, to: &mut dyn Write) -> io::Result<HashedContent> {
    let mut digest = Sha256::new();
    let mut start: Vec<u8> = Vec::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = match from.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let part = chunk.get(..read).unwrap_or_default();
        if start.len() < elf::MAGIC.len() {
            start.extend(part.iter().take(elf::MAGIC.len() - start.len()));
        }
        digest.update(part);
        to.write_all(part)?;
    }
    Ok(HashedContent { digest: digest.finish(), start })
}

pub(crate) fn check_owner(metadata: &fs::Metadata) -> Result<(), &'static str> {
    check_owner_of(metadata.uid(), metadata.mode())
}

fn check_owner_of(user: u32, mode: u32) -> Result<(), &'static str> {
    let ours = rustix::process::geteuid().as_raw();
    if user != 0 && user != ours {
        return Err("it belongs to another user than root or the server's");
    }
    if mode & GROUP_OR_OTHERS_WRITE != 0 {
        return Err("its group or others may write to it (chmod go-w)");
    }
    Ok(())
}

fn command_error(command: &str, error: &io::Error) -> Error {
    Error::Command { command: command.to_owned(), reason: system_error_text(error) }
}

fn parse_digest(spec: &LaunchSpec) -> Result<Sha256Digest, Error> {
    let decoded = HEXLOWER_PERMISSIVE.decode(spec.sha256.as_bytes()).ok();
    decoded.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| Error::Command {
        command: spec.command.clone(),
        reason: "its SHA-256 is not 64 hexadecimal digits".to_owned(),
    })
}

#[cfg(test)]
mod tests;
