//! The file that was hashed is the file that runs.
//!
//! A binary is copied, while it is hashed, into a folder that only the server's user can reach, and
//! the copy is what is started, hashed again at each launch. So whoever can replace files in the
//! plug-in folder can't change what runs, and a mount goes on with the very binary it was enabled
//! with when the file in the plug-in folder is a newer one. Where the folder of copies does not
//! allow programs to be run, the descriptor that was hashed is started instead.
//!
//! Everything here blocks.

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

use crate::error::Error;
use crate::spec::Spec;

/// The folder of plug-ins, and the private copies of what was run from it.
#[derive(Debug)]
pub struct Binaries {
    /// Where operators put plug-ins.
    pub directory: PathBuf,
    /// Where copies are kept. Made when it is needed.
    pub copies: PathBuf,
    /// Whether something else than ELF may be run.
    pub allow_scripts: bool,
    /// For the names of unfinished copies.
    pub entropy: Arc<dyn Entropy>,
}

/// What to start.
#[derive(Debug)]
pub enum Program {
    /// A private copy.
    Copy(PathBuf),
    /// The hashed file itself.
    Descriptor(OwnedFd),
}

/// Whether a copy will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The file in the plug-in folder must be there and be the one: it is being registered.
    Original,
    /// A copy of the file that was registered is as good.
    AnyCopy,
}

const WRITABLE_BY_OTHERS: u32 = 0o022;
const OPEN_TO_OTHERS: u32 = 0o077;
const ELF: &[u8] = b"\x7fELF";
const CHUNK_BYTES: usize = 256 * 1024;

impl Binaries {
    /// Makes sure that what the spec names is what was registered.
    pub fn verify(&self, spec: &Spec, source: Source) -> Result<Program, Error> {
        let expected = digest_of(spec)?;
        let copies = self.prepare_copies()?;
        if let Copies::Usable = copies {
            let path = self.copies.join(&spec.sha256);
            if source == Source::AnyCopy && self.is_intact(&path, &expected) {
                return Ok(Program::Copy(path));
            }
            let original = self.open_original(&spec.command)?;
            self.copy(original, &path, spec, &expected)?;
            return Ok(Program::Copy(path));
        }
        tracing::warn!(
            folder = %self.copies.display(),
            "programs can't be run from the folder of plug-in copies; the original is run, \
             which must not be written to while it runs"
        );
        let mut original = self.open_original(&spec.command)?;
        let seen = read_through(&mut original, &mut io::sink())
            .map_err(|error| unreadable(&spec.command, &error))?;
        self.judge(spec, &seen, &expected, true)?;
        Ok(Program::Descriptor(original.into()))
    }

    /// Opens a file that lies directly in the plug-in folder and that nobody but root and we can
    /// change.
    fn open_original(&self, command: &str) -> Result<File, Error> {
        let refused = |reason: &str| Error::Command {
            command: command.to_owned(),
            reason: reason.to_owned(),
        };
        let mut components = Path::new(command).components();
        let (Some(Component::Normal(_)), None) = (components.next(), components.next()) else {
            return Err(refused("it must be the name of a file in the plug-in folder"));
        };
        let folder = fs::canonicalize(&self.directory)
            .map_err(|error| unfit(PLUGINS, &self.directory, &error.to_string()))?;
        let metadata =
            fs::metadata(&folder).map_err(|error| unfit(PLUGINS, &folder, &error.to_string()))?;
        check_owner(&metadata).map_err(|reason| unfit(PLUGINS, &folder, reason))?;
        let path =
            fs::canonicalize(folder.join(command)).map_err(|error| unreadable(command, &error))?;
        if path.parent() != Some(&*folder) {
            return Err(refused("it points out of the plug-in folder"));
        }
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let flags = i32::try_from(flags.bits()).unwrap_or_default();
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(&path)
            .map_err(|error| unreadable(command, &error))?;
        let metadata = file.metadata().map_err(|error| unreadable(command, &error))?;
        if !metadata.is_file() {
            return Err(refused("it is not a file"));
        }
        check_owner(&metadata).map_err(refused)?;
        Ok(file)
    }

    fn copy(
        &self,
        mut original: File,
        to: &Path,
        spec: &Spec,
        expected: &Sha256Digest,
    ) -> Result<(), Error> {
        let failed = |error: io::Error| unfit(COPIES, &self.copies, &error.to_string());
        let unfinished = self.copies.join(format!("{}.{UNFINISHED}", self.entropy.base62(16)));
        let outcome = (|| {
            let mut copy = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o500)
                .open(&unfinished)
                .map_err(failed)?;
            let seen = read_through(&mut original, &mut copy).map_err(failed)?;
            self.judge(spec, &seen, expected, false)?;
            // What has its name must have its content, also after the power fails: the original
            // may be another by then.
            copy.sync_all().map_err(failed)?;
            drop(copy);
            fs::rename(&unfinished, to).map_err(failed)?;
            File::open(&self.copies).and_then(|folder| folder.sync_all()).map_err(failed)
        })();
        if outcome.is_err() {
            // It may not have been made at all.
            let _ = fs::remove_file(&unfinished);
        }
        outcome
    }

    fn judge(
        &self,
        spec: &Spec,
        seen: &Seen,
        expected: &Sha256Digest,
        by_descriptor: bool,
    ) -> Result<(), Error> {
        let command = spec.command.clone();
        if !bool::from(seen.digest.ct_eq(expected)) {
            return Err(Error::Checksum { command });
        }
        if seen.is_elf {
            return Ok(());
        }
        let reason = if !self.allow_scripts {
            "it is not an ELF program; other kinds need plugin_allow_scripts = true"
        } else if by_descriptor {
            "a script can't be run where the folder of copies allows no programs; set plugin_tmpdir"
        } else {
            return Ok(());
        };
        Err(Error::Command { command, reason: reason.to_owned() })
    }

    /// Whether the copy is there, ours, and what it should be. One that isn't is replaced.
    fn is_intact(&self, path: &Path, expected: &Sha256Digest) -> bool {
        let checked = (|| {
            let mut copy = OpenOptions::new().read(true).open(path)?;
            let metadata = copy.metadata()?;
            let ours = metadata.is_file() && check_owner(&metadata).is_ok();
            let seen = read_through(&mut copy, &mut io::sink())?;
            Ok::<_, io::Error>(
                ours && bool::from(seen.digest.ct_eq(expected))
                    && (seen.is_elf || self.allow_scripts),
            )
        })();
        match checked {
            Ok(true) => true,
            Ok(false) => {
                tracing::error!(
                    copy = %path.display(),
                    "a private copy of a plug-in was changed; it is replaced by the original"
                );
                false
            }
            Err(_) => false,
        }
    }

    fn prepare_copies(&self) -> Result<Copies, Error> {
        let failed = |error: io::Error| unfit(COPIES, &self.copies, &error.to_string());
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
            return Err(unfit(COPIES, &self.copies, "it belongs to another user"));
        }
        if metadata.mode() & OPEN_TO_OTHERS != 0 {
            return Err(unfit(COPIES, &self.copies, "others than its owner may use it"));
        }
        let mount = fstatvfs(&folder).map_err(|error| failed(error.into()))?;
        let runs = !mount.f_flag.contains(StatVfsMountFlags::NOEXEC);
        Ok(if runs { Copies::Usable } else { Copies::NoPrograms })
    }

    /// Removes copies that were never finished. Nobody else may be making some.
    pub fn remove_unfinished(&self) {
        let Ok(entries) = fs::read_dir(&self.copies) else { return };
        for entry in entries.flatten() {
            if entry.path().extension().is_some_and(|it| it == UNFINISHED) {
                // It will be tried again at the next start.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

const PLUGINS: &str = "plug-in folder";
const COPIES: &str = "folder of plug-in copies";

fn unfit(role: &'static str, folder: &Path, reason: &str) -> Error {
    Error::Folder { role, folder: folder.to_owned(), reason: reason.to_owned() }
}

const UNFINISHED: &str = "unfinished";

enum Copies {
    Usable,
    /// The file system is mounted so that nothing on it runs.
    NoPrograms,
}

struct Seen {
    digest: Sha256Digest,
    is_elf: bool,
}

fn read_through(from: &mut File, to: &mut dyn Write) -> io::Result<Seen> {
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
        if start.len() < ELF.len() {
            start.extend(part.iter().take(ELF.len() - start.len()));
        }
        digest.update(part);
        to.write_all(part)?;
    }
    Ok(Seen { digest: digest.finish(), is_elf: start == ELF })
}

fn check_owner(metadata: &fs::Metadata) -> Result<(), &'static str> {
    let ours = rustix::process::geteuid().as_raw();
    if metadata.uid() != 0 && metadata.uid() != ours {
        return Err("it belongs to another user than root or the server's");
    }
    if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
        return Err("its group or others may write to it");
    }
    Ok(())
}

fn unreadable(command: &str, error: &io::Error) -> Error {
    Error::Command { command: command.to_owned(), reason: error.to_string() }
}

fn digest_of(spec: &Spec) -> Result<Sha256Digest, Error> {
    let decoded = HEXLOWER_PERMISSIVE.decode(spec.sha256.as_bytes()).ok();
    decoded.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| Error::Command {
        command: spec.command.clone(),
        reason: "its SHA-256 is not 64 hexadecimal digits".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use data_encoding::HEXLOWER;
    use strongroom_crypto::digest::sha256;
    use strongroom_types::entropy::SeededEntropy;

    use super::*;

    struct Place {
        binaries: Binaries,
        root: tempfile::TempDir,
    }

    const PROGRAM: &[u8] = b"\x7fELF and the rest";

    fn place() -> Place {
        let root = tempfile::tempdir().unwrap();
        let (directory, copies) = (root.path().join("plugins"), root.path().join("copies"));
        fs::create_dir(&directory).unwrap();
        set_mode(&directory, 0o755);
        let entropy = Arc::new(SeededEntropy::new(1));
        let binaries = Binaries { directory, copies, allow_scripts: false, entropy };
        let place = Place { binaries, root };
        place.put("custom", PROGRAM);
        place
    }

    impl Place {
        fn put(&self, name: &str, content: &[u8]) {
            let path = self.binaries.directory.join(name);
            fs::write(&path, content).unwrap();
            set_mode(&path, 0o755);
        }

        fn verify(&self, command: &str, content: &[u8]) -> Result<Program, Error> {
            self.binaries.verify(&spec(command, content), Source::Original)
        }

        fn refusal(&self, command: &str) -> String {
            self.verify(command, PROGRAM).unwrap_err().to_string()
        }
    }

    fn spec(command: &str, content: &[u8]) -> Spec {
        Spec {
            name: "custom".to_owned(),
            kind: "secret",
            version: String::new(),
            command: command.to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            sha256: HEXLOWER.encode(&sha256(content)),
        }
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn path_of(program: Program) -> PathBuf {
        match program {
            Program::Copy(path) => path,
            Program::Descriptor(_) => panic!("the folder allows programs"),
        }
    }

    #[test]
    fn what_runs_is_a_private_copy() {
        let place = place();
        let copy = path_of(place.verify("custom", PROGRAM).unwrap());
        assert_eq!(fs::read(&copy).unwrap(), PROGRAM);
        assert_eq!(fs::metadata(&copy).unwrap().mode() & 0o777, 0o500);
        assert_eq!(fs::metadata(&place.binaries.copies).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(&place.binaries.copies).unwrap().count(), 1);
    }

    #[test]
    fn a_mount_goes_on_with_its_copy_and_a_registration_does_not() {
        let place = place();
        let copy = path_of(place.verify("custom", PROGRAM).unwrap());
        place.put("custom", b"\x7fELF of another day");
        let again = place.binaries.verify(&spec("custom", PROGRAM), Source::AnyCopy).unwrap();
        assert_eq!(path_of(again), copy);
        assert!(place.refusal("custom").contains("checksums did not match"));
        assert_eq!(
            fs::read_dir(&place.binaries.copies).unwrap().count(),
            1,
            "nothing stays behind"
        );
    }

    #[test]
    fn a_copy_that_was_changed_is_not_run() {
        let place = place();
        let copy = path_of(place.verify("custom", PROGRAM).unwrap());
        set_mode(&copy, 0o700);
        fs::write(&copy, b"\x7fELF of a thief").unwrap();
        let again = place.binaries.verify(&spec("custom", PROGRAM), Source::AnyCopy).unwrap();
        assert_eq!(fs::read(path_of(again)).unwrap(), PROGRAM);
        fs::write(place.binaries.directory.join("custom"), b"\x7fELF other").unwrap();
        set_mode(&copy, 0o700);
        fs::write(&copy, b"\x7fELF of a thief").unwrap();
        let refused = place.binaries.verify(&spec("custom", PROGRAM), Source::AnyCopy);
        assert!(refused.unwrap_err().to_string().contains("checksums did not match"));
    }

    #[test]
    fn only_files_directly_in_the_folder_are_run() {
        let place = place();
        let outside = place.root.path().join("outside");
        fs::write(&outside, PROGRAM).unwrap();
        set_mode(&outside, 0o755);
        let plugins = &place.binaries.directory;
        symlink(&outside, plugins.join("out")).unwrap();
        symlink("custom", plugins.join("alias")).unwrap();
        fs::create_dir(plugins.join("folder")).unwrap();
        for command in ["out", "folder", "../outside", "/etc/passwd", "a/../custom", "", ".", ".."]
        {
            let error = place.verify(command, PROGRAM).unwrap_err();
            assert!(matches!(error, Error::Command { .. }), "{command}: {error}");
        }
        place.verify("alias", PROGRAM).unwrap();
    }

    #[test]
    fn what_others_may_write_is_not_run() {
        let place = place();
        let (folder, file) =
            (place.binaries.directory.clone(), place.binaries.directory.join("custom"));
        for mode in [0o775, 0o757] {
            set_mode(&file, mode);
            assert!(place.refusal("custom").contains("may write to it"), "file {mode:o}");
            set_mode(&file, 0o755);
            set_mode(&folder, mode);
            assert!(place.refusal("custom").contains("may write to it"), "folder {mode:o}");
            set_mode(&folder, 0o755);
        }
        place.verify("custom", PROGRAM).unwrap();
        set_mode(&place.binaries.copies, 0o750);
        assert!(place.refusal("custom").contains("others than its owner"));
    }

    #[test]
    fn scripts_are_run_only_when_allowed() {
        let mut place = place();
        let script = b"#!/bin/sh\n";
        place.put("script", script);
        let refused = place.verify("script", script).unwrap_err().to_string();
        assert!(refused.contains("plugin_allow_scripts"), "{refused}");
        place.binaries.allow_scripts = true;
        place.verify("script", script).unwrap();
    }

    #[test]
    fn unfinished_copies_go_at_the_start() {
        let place = place();
        let copy = path_of(place.verify("custom", PROGRAM).unwrap());
        fs::write(place.binaries.copies.join("x.unfinished"), "x").unwrap();
        place.binaries.remove_unfinished();
        let left: Vec<_> = fs::read_dir(&place.binaries.copies).unwrap().flatten().collect();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].path(), copy);
    }
}
