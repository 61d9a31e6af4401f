//! [`SocketFolder`]: a folder for sockets that only this user can access.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use strongroom_types::Entropy;

/// A folder with mode 0700 and an unguessable name. It is removed on drop, with all that is left in
/// it.
#[derive(Debug)]
pub struct SocketFolder(PathBuf);

impl SocketFolder {
    /// Creates a folder in `parent`, which must be an absolute path, and short enough for
    /// [`MAX_SOCKET_PATH_BYTES`](super::listener::MAX_SOCKET_PATH_BYTES).
    pub fn create(parent: &Path, entropy: &dyn Entropy) -> io::Result<Self> {
        let path = parent.join(format!("strongroom-{}", entropy.base62(16)));
        // Not recursive, so that it fails if the folder exists, whoever created it.
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    /// The absolute path of the folder.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SocketFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::debug!(folder = %self.0.display(), %error, "a socket folder was not removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use strongroom_types::entropy::SeededEntropy;

    use super::*;

    #[test]
    fn the_folder_is_private_and_goes_with_its_owner() {
        let parent = tempfile::tempdir().unwrap();
        let folder = SocketFolder::create(parent.path(), &SeededEntropy::new(1)).unwrap();
        let path = folder.path().to_owned();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        fs::write(path.join("left behind"), "x").unwrap();
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_that_is_there_is_not_taken_over() {
        let parent = tempfile::tempdir().unwrap();
        let first = SocketFolder::create(parent.path(), &SeededEntropy::new(1)).unwrap();
        let again = SocketFolder::create(parent.path(), &SeededEntropy::new(1));
        assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert!(first.path().exists());
    }
}
