//! Socket files of listeners, created without a moment when others could connect, and removed at
//! the end.
//!
//! No link is followed in the last component of the path, and only a socket without a listener any
//! more is ever removed.

use std::fs::{self, Metadata};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use strongroom_types::chain;

use nix::unistd::{Group, User};
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Uid, chownat, fchmod, fstat, openat};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};
use strongroom_config::UnixSocketConfig;
use tokio::net::UnixListener;

/// A socket file that we created. It is removed when this value is dropped.
#[derive(Debug)]
pub(crate) struct SocketFileGuard {
    path: PathBuf,
    /// Device and inode of the file, so that another process's file is never removed.
    identity: (u64, u64),
}

/// The maximum number of connections that wait to be accepted.
const BACKLOG: i32 = 1024;
const WRITABLE_BY_ALL: u32 = 0o002;
const STICKY: u32 = 0o1000;
const OWNER_ONLY: Mode = Mode::RUSR.union(Mode::WUSR);

/// Creates the socket file and listens on it.
pub(crate) fn bind_socket_file(
    config: &UnixSocketConfig,
) -> io::Result<(UnixListener, SocketFileGuard)> {
    let path = &config.path;
    let owner = config.user.as_deref().map(resolve_user).transpose()?;
    let group = config.group.as_deref().map(resolve_group).transpose()?;
    check_folder(path)?;
    remove_stale_socket(path)?;
    let socket = bind_privately(path)?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(CWD, path, flags, Mode::empty())?;
    let stat = fstat(&file)?;
    let bound = SocketFileGuard { path: path.clone(), identity: (stat.st_dev, stat.st_ino) };
    if stat.st_mode & FILE_TYPE_MASK != SOCKET_FILE_TYPE {
        return Err(io::Error::other("somebody has put something else in its place"));
    }
    set_ownership(&file, owner, group, config.mode)?;
    listen(&socket, BACKLOG)?;
    let listener = std::os::unix::net::UnixListener::from(socket);
    Ok((UnixListener::from_std(listener)?, bound))
}

/// Binds the socket with permissions for its owner only. The file inherits the socket's mode, so no
/// other user can connect until ownership and mode are set.
fn bind_privately(path: &Path) -> io::Result<OwnedFd> {
    let socket = new_socket()?;
    fchmod(&socket, OWNER_ONLY)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// The bits of a file's mode that hold the file type.
const FILE_TYPE_MASK: u32 = 0o170_000;
const SOCKET_FILE_TYPE: u32 = 0o140_000;

/// Sets owner and mode through the open file, since its name may refer to another file by now. The
/// owner comes first, because changing it may clear permissions.
fn set_ownership(
    file: &OwnedFd,
    owner: Option<Uid>,
    group: Option<Gid>,
    mode: u32,
) -> io::Result<()> {
    if owner.is_some() || group.is_some() {
        chownat(file, "", owner, group, AtFlags::EMPTY_PATH)?;
    }
    let itself = format!("/proc/self/fd/{}", file.as_raw_fd());
    fs::set_permissions(itself, fs::Permissions::from_mode(mode))
}

fn new_socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}

/// Refuses a folder that everybody may write to, unless its sticky bit is set: someone could
/// replace the socket with their own and receive clients' tokens.
fn check_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    let mode = fs::metadata(folder)?.permissions().mode();
    if mode & WRITABLE_BY_ALL != 0 && mode & STICKY == 0 {
        return Err(io::Error::other("everybody may write to its folder"));
    }
    Ok(())
}

/// Removes the socket of a server that was killed.
fn remove_stale_socket(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::other("there is something that is no socket; it is left alone"));
    }
    match connect(new_socket()?, &SocketAddrUnix::new(path)?) {
        Err(Errno::CONNREFUSED) => {}
        Ok(()) | Err(Errno::AGAIN) => {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "another process listens on the socket",
            ));
        }
        Err(error) => return Err(error.into()),
    }
    remove_if_same(path, file_identity(&found))
}

fn file_identity(of: &Metadata) -> (u64, u64) {
    (of.dev(), of.ino())
}

fn remove_if_same(path: &Path, expected: (u64, u64)) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if file_identity(&found) == expected => fs::remove_file(path),
        _ => Ok(()),
    }
}

impl Drop for SocketFileGuard {
    fn drop(&mut self) {
        if let Err(error) = remove_if_same(&self.path, self.identity) {
            tracing::warn!(error = %chain(&error), path = %self.path.display(), "a socket file is left behind");
        }
    }
}

fn resolve_user(text: &str) -> io::Result<Uid> {
    let found = match text.parse::<u32>() {
        Ok(number) => Some(number),
        Err(_) => User::from_name(text)?.map(|user| user.uid.as_raw()),
    };
    found.and_then(valid_id).map(Uid::from_raw).ok_or_else(|| unknown_name("user", text))
}

fn resolve_group(text: &str) -> io::Result<Gid> {
    let found = match text.parse::<u32>() {
        Ok(number) => Some(number),
        Err(_) => Group::from_name(text)?.map(|group| group.gid.as_raw()),
    };
    found.and_then(valid_id).map(Gid::from_raw).ok_or_else(|| unknown_name("group", text))
}

/// The highest number is reserved: chown(2) takes it as "don't change".
fn valid_id(number: u32) -> Option<u32> {
    (number != u32::MAX).then_some(number)
}

fn unknown_name(what: &str, name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("there is no {what} {name:?}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn config_at(path: &Path) -> UnixSocketConfig {
        UnixSocketConfig { path: path.to_owned(), mode: 0o600, user: None, group: None }
    }

    fn mode_of(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn sets_socket_mode_and_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        for permissions in [0o600, 0o660, 0o666] {
            let config = UnixSocketConfig { mode: permissions, ..config_at(&path) };
            let (listener, bound) = bind_socket_file(&config).unwrap();
            assert_eq!(mode_of(&path), permissions);
            let _client = UnixStream::connect(&path).unwrap();
            listener.accept().await.unwrap();
            drop((listener, bound));
            assert!(!path.exists());
        }
        let own = |text: &str| UnixSocketConfig { user: Some(text.to_owned()), ..config_at(&path) };
        let number = rustix::process::geteuid().as_raw().to_string();
        drop(bind_socket_file(&own(&number)).unwrap());
        let error = bind_socket_file(&own("nobody-has-this-name")).unwrap_err();
        assert!(error.to_string().contains("no user \"nobody-has-this-name\""), "{error}");
        assert!(!path.exists(), "nothing is made before everything is known");
    }

    #[test]
    fn socket_is_private_until_chown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let _socket = bind_privately(&path).unwrap();
        assert_eq!(mode_of(&path), 0o600);
    }

    #[tokio::test]
    async fn only_stale_socket_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        // A dropped listener leaves its file behind, as a killed server does.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let (listener, bound) = bind_socket_file(&config_at(&path)).unwrap();

        let second = bind_socket_file(&config_at(&path)).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
        assert!(UnixStream::connect(&path).is_ok(), "the first one lost its socket");
        drop((listener, bound));

        fs::write(&path, "precious").unwrap();
        assert!(bind_socket_file(&config_at(&path)).unwrap_err().to_string().contains("no socket"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, target) = (folder.path().join("s"), folder.path().join("target"));
        drop(std::os::unix::net::UnixListener::bind(&target).unwrap());
        for target in [target.clone(), folder.path().join("nothing")] {
            symlink(&target, &path).unwrap();
            assert!(
                bind_socket_file(&config_at(&path)).unwrap_err().to_string().contains("no socket")
            );
            assert!(path.is_symlink());
            fs::remove_file(&path).unwrap();
        }
        assert!(target.exists());
    }

    #[tokio::test]
    async fn another_file_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let (listener, bound) = bind_socket_file(&config_at(&path)).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "another's").unwrap();
        drop((listener, bound));
        assert!(path.exists());
    }

    #[tokio::test]
    async fn a_folder_that_everybody_may_write_to_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(
            bind_socket_file(&config_at(&path))
                .unwrap_err()
                .to_string()
                .contains("everybody may write")
        );
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        assert!(bind_socket_file(&config_at(&path)).is_ok());
    }
}
