//! The open-file limit: each connection uses one file, and storage and plug-ins need theirs as well
//! when all connections are taken.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use strongroom_types::chain;

/// The maximum number of connections of a listener if the operator sets none.
const DEFAULT_MAX_CONNECTIONS: usize = 16_384;
/// The minimum number of open files that is reserved for everything but connections.
const RESERVED_FILES: usize = 256;

/// Raises the process's soft limit of open files to the hard limit, and returns the limit in force.
/// If raising fails, that is logged and the old limit is returned.
pub fn raise_file_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, ..limit };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(error = %chain(&error), "the limit of open files could not be raised");
        }
    }
    let current = getrlimit(Resource::Nofile).current;
    current.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
}

/// The maximum number of connections for each of `listeners` listeners, given the limit of open
/// files. A quarter of the files, and at least 256, is reserved for other uses. `wanted`, the
/// operator's setting, is reduced to what is left; the result is at least 1.
pub fn max_connections(files: usize, listeners: usize, wanted: Option<usize>) -> usize {
    let available = files.saturating_sub(RESERVED_FILES.max(files / 4));
    let per_listener = (available / listeners.max(1)).max(1);
    wanted.unwrap_or(DEFAULT_MAX_CONNECTIONS).min(per_listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cve_2025_12044_connections_leave_open_files_to_the_rest_of_the_server() {
        assert_eq!(max_connections(1024, 1, None), 768);
        assert_eq!(max_connections(20_000, 1, None), 15_000);
        assert_eq!(max_connections(20_000, 2, None), 7_500);
        assert_eq!(max_connections(1 << 20, 1, None), DEFAULT_MAX_CONNECTIONS);
        assert_eq!(max_connections(usize::MAX, 1, None), DEFAULT_MAX_CONNECTIONS);
        assert_eq!(max_connections(1024, 1, Some(50_000)), 768);
        assert_eq!(max_connections(1 << 20, 1, Some(50_000)), 50_000);
        assert_eq!(max_connections(100, 3, None), 1);
    }

    #[test]
    fn the_limit_of_open_files_is_as_high_as_the_system_allows() {
        let files = raise_file_limit();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        assert!(limit.maximum.is_none_or(|maximum| maximum == files as u64));
    }
}
