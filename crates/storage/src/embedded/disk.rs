//! The file layer under the store: a handful of named files in one folder. Tests put a simulated
//! disk here, which loses power, fills up and fails on purpose.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, FlockOperation};

/// A folder of files. Names are plain: no separators, no dots that climb.
///
/// What the store relies on, and no more: bytes written are on the medium once
/// [`DiskFile::sync`] returned; names created, renamed or removed are once [`Disk::sync_names`]
/// did. Before that, any part of them may be.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// Every name in the folder.
    fn list_names(&self) -> io::Result<Vec<String>>;
    /// Opens a file to read and write; it is created when it isn't there.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Gives `from` the name `to`, in one step, replacing what had it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file; one that isn't there is no error.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes all names durable.
    fn sync_names(&self) -> io::Result<()>;
}

/// An open file.
#[expect(clippy::len_without_is_empty, reason = "nobody asks, and a length may fail to be read")]
pub trait DiskFile: fmt::Debug + Send + Sync + 'static {
    /// Its length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Fills `into` from `offset`; an error if the file ends before.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;
    /// Writes all of `bytes` at `offset`.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cuts or extends it; what is new reads as zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes everything written so far durable.
    fn sync(&self) -> io::Result<()>;
    /// Forgets what is cached of it, so that reads tell what the medium holds. Best effort.
    fn drop_page_cache(&self);
}

/// A folder on the local file system.
#[derive(Debug)]
pub(super) struct LocalFolder {
    path: PathBuf,
}

/// Keeps other processes out of a folder for as long as it lives.
#[derive(Debug)]
pub(super) struct FolderLock {
    _file: File,
}

/// The file whose lock keeps a second process out.
pub(super) const LOCK_FILE: &str = "lock";

impl LocalFolder {
    /// The folder at `path`. It is created, for its owner alone, unless it is there.
    pub(super) fn open_or_create(path: &Path) -> io::Result<Self> {
        let folder = Self { path: path.to_owned() };
        if path.is_dir() {
            // Whoever made it may have died, or been content, before its name was durable. Who
            // may not read the folder above can't do this, and was given a finished folder.
            let _ = sync_parent(path);
            return Ok(folder);
        }
        let missing: Vec<&Path> = path.ancestors().take_while(|part| !part.exists()).collect();
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        // A name is durable once the folder that holds it is synced.
        missing.into_iter().try_for_each(sync_parent)?;
        Ok(folder)
    }

    /// Takes the folder's lock; `None` when somebody else has it.
    pub(super) fn try_lock(&self) -> io::Result<Option<FolderLock>> {
        let file = open_file(&self.path.join(LOCK_FILE))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(FolderLock { _file: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Disk for LocalFolder {
    fn list_names(&self) -> io::Result<Vec<String>> {
        let name = |entry: io::Result<fs::DirEntry>| {
            entry.map(|entry| entry.file_name().to_string_lossy().into_owned())
        };
        fs::read_dir(&self.path)?.map(name).collect()
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(LocalFile(open_file(&self.path.join(name))?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

#[derive(Debug)]
struct LocalFile(File);

impl DiskFile for LocalFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(into, offset)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        // fdatasync: also what is needed to read the data back, such as a new length.
        self.0.sync_data()
    }

    fn drop_page_cache(&self) {
        // A file system that can't still serves its cache; there is nothing better to do.
        let _ = rustix::fs::fadvise(&self.0, 0, None, Advice::DontNeed);
    }
}
