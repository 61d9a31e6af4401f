//! The file layer of the store: a few named files in one folder. Tests substitute a simulated disk
//! that loses power, fills up and fails on purpose.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, FlockOperation};

/// A folder of files. Names are plain file names without separators.
///
/// The store relies on exactly this: bytes written are durable once [`DiskFile::sync`] returned,
/// and created, renamed or removed names once [`Disk::sync_names`] returned. Before that, any
/// subset of them may be.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// Lists the names of all files in the folder.
    fn list_names(&self) -> io::Result<Vec<String>>;
    /// Opens a file for reading and writing, creating it if it doesn't exist.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Atomically renames `from` to `to`, replacing an existing file.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file; does nothing if it doesn't exist.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes all created, renamed and removed names durable.
    fn sync_names(&self) -> io::Result<()>;
}

/// An open file of a [`Disk`].
#[expect(clippy::len_without_is_empty, reason = "nobody asks, and a length may fail to be read")]
pub trait DiskFile: fmt::Debug + Send + Sync + 'static {
    /// The length of the file in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Fills `into` from `offset`; an error if the file ends before.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;
    /// Writes all of `bytes` at `offset`, extending the file if necessary.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Truncates or extends the file; new bytes read as zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes everything written to the file so far durable.
    fn sync(&self) -> io::Result<()>;
    /// Drops cached pages of the file, so that reads return what is on the medium. Best effort.
    fn drop_page_cache(&self);
}

/// A folder on the local file system.
#[derive(Debug)]
pub(super) struct LocalFolder {
    path: PathBuf,
}

/// A lock that excludes other processes from the folder until it is dropped.
#[derive(Debug)]
pub(super) struct FolderLock {
    _file: File,
}

/// The file that is locked to exclude other processes.
pub(super) const LOCK_FILE: &str = "lock";

impl LocalFolder {
    /// Opens the folder at `path`, creating it with mode 0700 if it doesn't exist.
    pub(super) fn open_or_create(path: &Path) -> io::Result<Self> {
        let folder = Self { path: path.to_owned() };
        if path.is_dir() {
            // The creator may have crashed, or not synced, before the name was durable. A failure
            // is ignored: without read access to the parent the folder was prepared by someone
            // else.
            let _ = sync_parent(path);
            return Ok(folder);
        }
        let missing: Vec<&Path> = path.ancestors().take_while(|part| !part.exists()).collect();
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        // A name is durable once its parent folder is synced.
        missing.into_iter().try_for_each(sync_parent)?;
        Ok(folder)
    }

    /// Takes the folder's lock; `None` if another process holds it.
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
        // fdatasync: also syncs metadata needed to read the data back, such as a new length.
        self.0.sync_data()
    }

    fn drop_page_cache(&self) {
        // A file system that doesn't support this keeps serving its cache.
        let _ = rustix::fs::fadvise(&self.0, 0, None, Advice::DontNeed);
    }
}
