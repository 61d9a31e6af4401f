//! Maps I/O errors to errors of the store.

use std::io;

use crate::Error;

/// Converts an I/O error. `doing` describes the failed operation, for the operator.
pub(super) fn classify_io_error(error: &io::Error, doing: &str) -> Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full,
        io::ErrorKind::ReadOnlyFilesystem => Error::ReadOnly,
        _ => Error::Io(format!("{doing}: {error}")),
    }
}
