//! Open files: each connection is one, and storage and plug-ins need theirs when all are taken.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More connections than this are never taken unasked.
const DEFAULT_MAX_CONNECTIONS: usize = 16_384;
/// Open files that connections leave to others, at least.
const RESERVED_FILES: usize = 256;

/// Asks the system for as many open files as it allows, and says how many those are.
pub fn raise_file_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let wanted = Rlimit { current: limit.maximum, ..limit };
        if let Err(error) = setrlimit(Resource::Nofile, wanted) {
            tracing::warn!(%error, "the limit of open files could not be raised");
        }
    }
    let current = getrlimit(Resource::Nofile).current;
    current.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
}

/// How many connections one of several listeners takes, of so many open files. What the operator
/// wants is cut to what there is.
pub fn max_connections(files: usize, listeners: usize, wanted: Option<usize>) -> usize {
    let left = files.saturating_sub(RESERVED_FILES.max(files / 4));
    let share = (left / listeners.max(1)).max(1);
    wanted.unwrap_or(DEFAULT_MAX_CONNECTIONS).min(share)
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
