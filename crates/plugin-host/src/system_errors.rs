//! Our own texts for errors of the operating system: the system's texts differ between platforms,
//! and these reach operators and clients.

use std::io::{self, ErrorKind};

/// The reason of an I/O error, and its kind in parentheses.
pub(crate) fn system_error_text(error: &io::Error) -> String {
    if error.raw_os_error().is_none() && error.get_ref().is_some() {
        // An error that this crate created.
        return error.to_string();
    }
    let words = match error.kind() {
        ErrorKind::NotFound => "it is not there",
        ErrorKind::PermissionDenied => "the server has no permission",
        ErrorKind::ReadOnlyFilesystem => "the file system is read-only",
        ErrorKind::StorageFull => "the file system is full",
        ErrorKind::QuotaExceeded => "the quota of the server's user is used up",
        ErrorKind::NotADirectory => "a part of its path is no folder",
        ErrorKind::IsADirectory => "it is a folder",
        ErrorKind::InvalidFilename => "its name is too long",
        ErrorKind::OutOfMemory => "there is no memory left",
        ErrorKind::ConnectionRefused => "connection refused",
        _ => match error.raw_os_error() {
            Some(number) => return format!("the system refused it (error {number})"),
            None => "the system refused it",
        },
    };
    format!("{words} ({:?})", error.kind())
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn no_word_of_the_system_is_repeated() {
        for (errno, ours) in [
            (Errno::NOENT, "it is not there (NotFound)"),
            (Errno::ACCESS, "the server has no permission (PermissionDenied)"),
            (Errno::ROFS, "the file system is read-only (ReadOnlyFilesystem)"),
            (Errno::LOOP, "the system refused it (error 40)"),
            (Errno::IO, "the system refused it (error 5)"),
        ] {
            assert_eq!(system_error_text(&errno.into()), ours);
        }
        assert_eq!(system_error_text(&io::Error::other("ours")), "ours");
        assert_eq!(
            system_error_text(&ErrorKind::UnexpectedEof.into()),
            "the system refused it (UnexpectedEof)"
        );
    }
}
