//! [`MountLoad`]: how many requests are being processed under a mount.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The number of requests being processed under a mount. Admission compares it with the limit of
/// requests per mount.
#[derive(Debug, Default)]
pub struct MountLoad(AtomicUsize);

impl MountLoad {
    /// Counts one more request unless `limit` requests are being processed already; returns whether
    /// it did. The caller calls [`MountLoad::end_request`] for each request that was counted.
    pub fn begin_request(&self, limit: usize) -> bool {
        increment_if_below(&self.0, limit)
    }

    /// Counts one request less, when its processing ended or no longer counts for the mount.
    pub fn end_request(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Increments the count unless it has reached the limit; returns whether it did.
pub fn increment_if_below(count: &AtomicUsize, limit: usize) -> bool {
    let before = count.fetch_add(1, Ordering::Relaxed);
    if before >= limit {
        count.fetch_sub(1, Ordering::Relaxed);
    }
    before < limit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_above_the_limit_are_not_counted() {
        let load = MountLoad::default();
        assert!(load.begin_request(2) && load.begin_request(2));
        assert!(!load.begin_request(2) && !load.begin_request(2));
        load.end_request();
        assert!(load.begin_request(2) && !load.begin_request(2));
    }
}
