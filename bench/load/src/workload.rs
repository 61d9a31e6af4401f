//! What is measured: requests, each of which any server can be asked.

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Serialize;
use serde_json::json;

use crate::error::Error;
use crate::http_client::Prepared;
use crate::target::Mounts;

/// One kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Workload {
    /// A secret of the KV engine, linked into the server.
    KvRead,
    /// A durable write of such a secret over an older one.
    KvWrite,
    /// A read of one stored value through the Rust plug-in.
    CallRust,
    /// A read of one stored value through the Go plug-in.
    CallGo,
    /// A credential with a lease from the Rust plug-in; nothing outside is called.
    LeasedRust,
    /// A credential with a lease from the Go plug-in; nothing outside is called.
    LeasedGo,
}

/// How large the data is.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Size {
    /// Secrets of the KV engine.
    pub(crate) keys: usize,
    /// Bytes of text in each value.
    pub(crate) value_bytes: usize,
}

impl Workload {
    /// All of them, in the order of the tables.
    pub(crate) const ALL: [Self; 6] = [
        Self::KvRead,
        Self::KvWrite,
        Self::CallRust,
        Self::CallGo,
        Self::LeasedRust,
        Self::LeasedGo,
    ];

    /// As it is called in tables and arguments.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::KvRead => "kv-read",
            Self::KvWrite => "kv-write",
            Self::CallRust => "call-rust",
            Self::CallGo => "call-go",
            Self::LeasedRust => "leased-rust",
            Self::LeasedGo => "leased-go",
        }
    }

    /// By its name.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|workload| workload.name() == name)
    }

    /// Whether a server with these mounts can be asked.
    pub(crate) fn fits(self, mounts: &Mounts) -> bool {
        match self {
            Self::KvRead | Self::KvWrite => true,
            Self::CallRust | Self::LeasedRust => mounts.rust.is_some(),
            Self::CallGo | Self::LeasedGo => mounts.go.is_some(),
        }
    }

    /// The status of a good answer.
    pub(crate) fn status(self) -> StatusCode {
        if self == Self::KvWrite { StatusCode::NO_CONTENT } else { StatusCode::OK }
    }

    /// What each good answer holds.
    pub(crate) fn mark(self, size: Size) -> String {
        match self {
            Self::KvRead | Self::CallRust | Self::CallGo => value(0, size.value_bytes),
            Self::KvWrite => String::new(),
            Self::LeasedRust | Self::LeasedGo => "\"lease_id\":\"".to_owned(),
        }
    }

    /// The requests, to be made in any order. Everything about them is made beforehand.
    pub(crate) fn requests(self, mounts: &Mounts, size: Size) -> Result<Vec<Prepared>, Error> {
        let get = |path: String| Prepared::new(Method::GET, &path, Bytes::new());
        let (rust, go) = (mounts.rust.as_deref(), mounts.go.as_deref());
        match (self, rust, go) {
            (Self::KvRead, ..) => (0..size.keys).map(|key| get(secret(mounts, key))).collect(),
            (Self::KvWrite, ..) => (0..size.keys).map(|key| write(mounts, key, size)).collect(),
            (Self::CallRust, Some(mount), _) => Ok(vec![get(format!("{mount}/static/one"))?]),
            (Self::CallGo, _, Some(mount)) => Ok(vec![get(format!("{mount}/static"))?]),
            (Self::LeasedRust, Some(mount), _) | (Self::LeasedGo, _, Some(mount)) => {
                Ok(vec![get(format!("{mount}/leased"))?])
            }
            _ => Err(Error::other(format!("there is no plug-in for {}", self.name()))),
        }
    }

    /// What must be stored before.
    pub(crate) fn preparation(mounts: &Mounts, size: Size) -> Result<Vec<Prepared>, Error> {
        // What reads look for: the same text everywhere.
        let one = body(0, size);
        let put = |path: String| Prepared::new(Method::PUT, &path, one.clone());
        let mut all: Vec<Prepared> =
            (0..size.keys).map(|key| put(secret(mounts, key))).collect::<Result<_, _>>()?;
        all.extend(
            mounts
                .rust
                .iter()
                .map(|m| put(format!("{m}/static/one")))
                .collect::<Result<Vec<_>, _>>()?,
        );
        all.extend(
            mounts.go.iter().map(|m| put(format!("{m}/static"))).collect::<Result<Vec<_>, _>>()?,
        );
        Ok(all)
    }
}

fn secret(mounts: &Mounts, key: usize) -> String {
    format!("{}/read/app-{key}", mounts.kv)
}

/// Writes go to secrets of their own: what reads look for stays.
fn write(mounts: &Mounts, key: usize, size: Size) -> Result<Prepared, Error> {
    Prepared::new(Method::PUT, &format!("{}/written/app-{key}", mounts.kv), body(key, size))
}

fn body(seed: usize, size: Size) -> Bytes {
    Bytes::from(json!({ "value": value(seed, size.value_bytes) }).to_string())
}

/// Text that doesn't compress to nothing, the same for the same seed.
fn value(seed: usize, bytes: usize) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut dice = crate::figures::Dice::new(seed as u64 + 1);
    let letter = |_| char::from(LETTERS.get(dice.below(32)).copied().unwrap_or(b'a'));
    (0..bytes).map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { keys: 3, value_bytes: 64 };

    fn mounts() -> Mounts {
        Mounts { kv: "kv".to_owned(), rust: Some("r".to_owned()), go: None }
    }

    #[test]
    fn reads_ask_for_what_was_prepared() {
        let written = Workload::preparation(&mounts(), SIZE).unwrap();
        for workload in [Workload::KvRead, Workload::CallRust] {
            for request in workload.requests(&mounts(), SIZE).unwrap() {
                let found = written.iter().find(|written| written.uri == request.uri).unwrap();
                let text = String::from_utf8(found.body.to_vec()).unwrap();
                assert!(text.contains(&workload.mark(SIZE)));
            }
        }
    }

    #[test]
    fn writes_leave_what_is_read_alone() {
        let reads = Workload::KvRead.requests(&mounts(), SIZE).unwrap();
        let writes = Workload::KvWrite.requests(&mounts(), SIZE).unwrap();
        assert_eq!((reads.len(), writes.len()), (3, 3));
        assert!(reads.iter().all(|read| writes.iter().all(|write| write.uri != read.uri)));
    }

    #[test]
    fn without_its_plug_in_a_workload_is_left_out() {
        assert!(!Workload::CallGo.fits(&mounts()));
        assert!(Workload::CallGo.requests(&mounts(), SIZE).is_err());
        assert!(Workload::LeasedRust.fits(&mounts()));
    }

    #[test]
    fn values_have_their_size_and_differ() {
        assert_eq!(value(1, 1024).len(), 1024);
        assert_eq!(value(1, 64), value(1, 64));
        assert_ne!(value(1, 64), value(2, 64));
    }

    #[test]
    fn names_are_found_again() {
        for workload in Workload::ALL {
            assert_eq!(Workload::by_name(workload.name()), Some(workload));
        }
        assert_eq!(Workload::by_name("kv"), None);
    }
}
