//! The workloads: requests that every server can serve.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Serialize;
use serde_json::json;

use crate::error::Error;
use crate::http_client::PreparedRequest;

/// The mount paths of the engines to measure.
#[derive(Clone, Debug)]
pub(crate) struct BenchMounts {
    /// KV version 1.
    pub(crate) kv: String,
    /// KV version 2; the bare server has none.
    pub(crate) kv2: Option<String>,
    pub(crate) rust: Option<String>,
    pub(crate) go: Option<String>,
    /// The auth method AppRole, with a role of [`LOGIN_ROLE_ID`]; the bare server has none.
    pub(crate) approle: Option<String>,
}

/// The role id and the secret id of the logins. The secret id has no limits.
pub(crate) const LOGIN_ROLE_ID: &str = "bench-role";
pub(crate) const LOGIN_SECRET_ID: &str = "bench-secret-id";

/// A kind of request to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Workload {
    /// Reads a secret of KV version 1.
    KvRead,
    /// Reads a secret of KV version 1 from more than fit into the server's caches.
    KvReadUncached,
    /// Reads one of a fixed set of KV version 1 names without a secret.
    KvReadAbsent,
    /// Reads a KV version 1 name without a secret that was never requested before.
    KvReadUnknown,
    /// Durably overwrites a secret of KV version 1.
    KvWrite,
    /// Reads a secret of KV version 2.
    Kv2Read,
    /// Reads one of a fixed set of KV version 2 names without a secret.
    Kv2ReadAbsent,
    /// Durably writes a new version of a secret of KV version 2.
    Kv2Write,
    /// Durably writes the first version of a secret of KV version 2.
    Kv2Create,
    /// Reads a secret of KV version 2 while a quarter as many additional connections write.
    Kv2ReadMixed,
    /// Logs in with a role id and a secret id without limits, and gets a new token.
    #[serde(rename = "approle-login")]
    AppRoleLogin,
    /// Reads a stored value through the Rust plug-in.
    CallRust,
    /// Reads a stored value through the Go plug-in.
    CallGo,
    /// Gets a credential with a lease from the Rust plug-in, without outside calls.
    LeasedRust,
    /// Gets a credential with a lease from the Go plug-in, without outside calls.
    LeasedGo,
}

/// The amount of data that is written before measuring.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct DataSize {
    /// The number of secrets in each KV engine, and of names without one.
    pub(crate) keys: usize,
    /// The number of KV version 1 secrets for reads that miss the caches.
    pub(crate) uncached_keys: usize,
    /// The size of the text in each value, in bytes.
    pub(crate) value_bytes: usize,
}

/// The requests of a workload, fixed or generated.
#[derive(Debug)]
pub(crate) enum WorkloadRequests {
    /// Prepared requests, which are repeated in any order.
    Fixed(Vec<PreparedRequest>),
    /// Requests with a new name each time.
    Unique(UniqueRequests),
}

/// Generates requests for names that were never used before.
#[derive(Debug)]
pub(crate) struct UniqueRequests {
    method: Method,
    /// The path before the name.
    folder: String,
    body: Bytes,
}

/// The number of the next unused name.
static NEXT_NAME: AtomicU64 = AtomicU64::new(0);

impl UniqueRequests {
    /// The request for the next unused name.
    pub(crate) fn next(&self) -> Result<PreparedRequest, Error> {
        let number = NEXT_NAME.fetch_add(1, Ordering::Relaxed);
        let path = format!("{}/app-{number}", self.folder);
        PreparedRequest::new(self.method.clone(), &path, self.body.clone())
    }
}

impl Workload {
    /// All workloads in the order of the tables.
    pub(crate) const ALL: [Self; 15] = [
        Self::KvRead,
        Self::KvReadUncached,
        Self::KvReadAbsent,
        Self::KvReadUnknown,
        Self::KvWrite,
        Self::Kv2Read,
        Self::Kv2ReadAbsent,
        Self::Kv2Write,
        Self::Kv2Create,
        Self::Kv2ReadMixed,
        Self::AppRoleLogin,
        Self::CallRust,
        Self::CallGo,
        Self::LeasedRust,
        Self::LeasedGo,
    ];

    /// The name in tables and arguments.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::KvRead => "kv-read",
            Self::KvReadUncached => "kv-read-uncached",
            Self::KvReadAbsent => "kv-read-absent",
            Self::KvReadUnknown => "kv-read-unknown",
            Self::KvWrite => "kv-write",
            Self::Kv2Read => "kv2-read",
            Self::Kv2ReadAbsent => "kv2-read-absent",
            Self::Kv2Write => "kv2-write",
            Self::Kv2Create => "kv2-create",
            Self::Kv2ReadMixed => "kv2-read-mixed",
            Self::AppRoleLogin => "approle-login",
            Self::CallRust => "call-rust",
            Self::CallGo => "call-go",
            Self::LeasedRust => "leased-rust",
            Self::LeasedGo => "leased-go",
        }
    }

    /// Finds a workload by its name.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|workload| workload.name() == name)
    }

    /// Whether a server with these mounts has what the workload needs.
    pub(crate) fn is_supported_by(self, mounts: &BenchMounts) -> bool {
        match self {
            Self::KvRead => true,
            Self::AppRoleLogin => mounts.approle.is_some(),
            Self::CallRust | Self::LeasedRust => mounts.rust.is_some(),
            Self::CallGo | Self::LeasedGo => mounts.go.is_some(),
            _ => mounts.kv2.is_some(),
        }
    }

    /// Whether it is measured at each number of connections, or only at the middle one.
    pub(crate) fn is_scaled(self) -> bool {
        !matches!(self, Self::CallRust | Self::CallGo | Self::LeasedRust | Self::LeasedGo)
    }

    /// The workload of additional connections at the same time, which are not counted.
    pub(crate) fn concurrent_workload(self) -> Option<Self> {
        (self == Self::Kv2ReadMixed).then_some(Self::Kv2Write)
    }

    /// The status code of a correct response.
    pub(crate) fn expected_status(self) -> StatusCode {
        match self {
            Self::KvWrite => StatusCode::NO_CONTENT,
            Self::KvReadAbsent | Self::KvReadUnknown | Self::Kv2ReadAbsent => StatusCode::NOT_FOUND,
            _ => StatusCode::OK,
        }
    }

    /// A text that every correct response contains.
    pub(crate) fn expected_text(self, size: DataSize) -> String {
        match self {
            Self::KvWrite => String::new(),
            Self::KvReadAbsent | Self::KvReadUnknown | Self::Kv2ReadAbsent => {
                "{\"errors\":[]}".to_owned()
            }
            Self::Kv2Write | Self::Kv2Create => "\"version\":".to_owned(),
            Self::AppRoleLogin => "\"client_token\":\"".to_owned(),
            Self::LeasedRust | Self::LeasedGo => "\"lease_id\":\"".to_owned(),
            _ => random_text(0, size.value_bytes),
        }
    }

    /// Builds the requests of this workload.
    pub(crate) fn requests(
        self,
        mounts: &BenchMounts,
        size: DataSize,
    ) -> Result<WorkloadRequests, Error> {
        let missing = || Error::other(format!("there is no mount for {}", self.name()));
        let get = |path: String| PreparedRequest::new(Method::GET, &path, Bytes::new());
        let gets = |count: usize, folder: String| {
            let all = (0..count).map(|key| get(format!("{folder}/app-{key}")));
            all.collect::<Result<_, _>>().map(WorkloadRequests::Fixed)
        };
        let one = |mount: &Option<String>, path: &str| {
            let mount = mount.as_deref().ok_or_else(missing)?;
            Ok(WorkloadRequests::Fixed(vec![get(format!("{mount}/{path}"))?]))
        };
        let kv = &mounts.kv;
        let kv2 = || mounts.kv2.as_deref().ok_or_else(missing);
        let kv2_body = |seed| json!({ "data": { "value": random_text(seed, size.value_bytes) } });
        match self {
            Self::KvRead => gets(size.keys, format!("{kv}/read")),
            Self::KvReadUncached => gets(size.uncached_keys, format!("{kv}/many")),
            Self::KvReadAbsent => gets(size.keys, format!("{kv}/absent")),
            Self::KvReadUnknown => Ok(WorkloadRequests::Unique(UniqueRequests {
                method: Method::GET,
                folder: format!("{kv}/unknown"),
                body: Bytes::new(),
            })),
            Self::KvWrite => {
                // Writes use secrets of their own, so that the values for reads stay unchanged.
                let path = |key| format!("{kv}/written/app-{key}");
                let put =
                    |key| PreparedRequest::new(Method::PUT, &path(key), value_body(key, size));
                (0..size.keys).map(put).collect::<Result<_, _>>().map(WorkloadRequests::Fixed)
            }
            Self::Kv2Read | Self::Kv2ReadMixed => gets(size.keys, format!("{}/data/read", kv2()?)),
            Self::Kv2ReadAbsent => gets(size.keys, format!("{}/data/absent", kv2()?)),
            Self::Kv2Write => {
                let folder = format!("{}/data/written", kv2()?);
                let put = |key| {
                    let body = Bytes::from(kv2_body(key).to_string());
                    PreparedRequest::new(Method::PUT, &format!("{folder}/app-{key}"), body)
                };
                (0..size.keys).map(put).collect::<Result<_, _>>().map(WorkloadRequests::Fixed)
            }
            Self::Kv2Create => Ok(WorkloadRequests::Unique(UniqueRequests {
                method: Method::PUT,
                folder: format!("{}/data/created", kv2()?),
                body: Bytes::from(kv2_body(0).to_string()),
            })),
            Self::AppRoleLogin => {
                let mount = mounts.approle.as_deref().ok_or_else(missing)?;
                let ids = json!({ "role_id": LOGIN_ROLE_ID, "secret_id": LOGIN_SECRET_ID });
                let (path, body) = (format!("auth/{mount}/login"), Bytes::from(ids.to_string()));
                PreparedRequest::new(Method::PUT, &path, body)
                    .map(|login| WorkloadRequests::Fixed(vec![login]))
            }
            Self::CallRust => one(&mounts.rust, "static/one"),
            Self::CallGo => one(&mounts.go, "static"),
            Self::LeasedRust => one(&mounts.rust, "leased"),
            Self::LeasedGo => one(&mounts.go, "leased"),
        }
    }

    /// The writes that prepare the data for all workloads.
    pub(crate) fn preparation_requests(
        mounts: &BenchMounts,
        size: DataSize,
    ) -> Result<Vec<PreparedRequest>, Error> {
        // All secrets for reads have the same value.
        let plain = value_body(0, size);
        let wrapped = json!({ "data": { "value": random_text(0, size.value_bytes) } }).to_string();
        let wrapped = Bytes::from(wrapped);
        let kv = &mounts.kv;
        let mut wanted: Vec<(String, &Bytes)> = Vec::new();
        wanted.extend((0..size.keys).map(|key| (format!("{kv}/read/app-{key}"), &plain)));
        if let Some(kv2) = &mounts.kv2 {
            let secret = |key| (format!("{kv}/many/app-{key}"), &plain);
            wanted.extend((0..size.uncached_keys).map(secret));
            let secret = |key| (format!("{kv2}/data/read/app-{key}"), &wrapped);
            wanted.extend((0..size.keys).map(secret));
        }
        wanted.extend(mounts.rust.iter().map(|mount| (format!("{mount}/static/one"), &plain)));
        wanted.extend(mounts.go.iter().map(|mount| (format!("{mount}/static"), &plain)));
        let put =
            |(path, body): (String, &Bytes)| PreparedRequest::new(Method::PUT, &path, body.clone());
        wanted.into_iter().map(put).collect()
    }
}

fn value_body(seed: usize, size: DataSize) -> Bytes {
    Bytes::from(json!({ "value": random_text(seed, size.value_bytes) }).to_string())
}

/// Text that does not compress well; the same seed gives the same text.
fn random_text(seed: usize, bytes: usize) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut dice = crate::figures::KeyPicker::new(seed as u64 + 1);
    let letter = |_| char::from(LETTERS.get(dice.below(32)).copied().unwrap_or(b'a'));
    (0..bytes).map(letter).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const SIZE: DataSize = DataSize { keys: 3, uncached_keys: 5, value_bytes: 64 };

    fn test_mounts() -> BenchMounts {
        let (kv2, rust) = (Some("kv2".to_owned()), Some("r".to_owned()));
        let approle = Some("approle".to_owned());
        BenchMounts { kv: "kv".to_owned(), kv2, rust, go: None, approle }
    }

    fn fixed_requests(workload: Workload) -> Vec<PreparedRequest> {
        match workload.requests(&test_mounts(), SIZE).unwrap() {
            WorkloadRequests::Fixed(fixed) => fixed,
            WorkloadRequests::Unique(_) => panic!("{workload:?} has no fixed requests"),
        }
    }

    #[test]
    fn reads_ask_for_what_was_prepared() {
        let written = Workload::preparation_requests(&test_mounts(), SIZE).unwrap();
        use Workload::{CallRust, Kv2Read, Kv2ReadMixed, KvRead, KvReadUncached};
        for workload in [KvRead, KvReadUncached, Kv2Read, Kv2ReadMixed, CallRust] {
            let requests = fixed_requests(workload);
            assert!(!requests.is_empty());
            for request in requests {
                let found = written.iter().find(|written| written.uri == request.uri).unwrap();
                let text = String::from_utf8(found.body.to_vec()).unwrap();
                assert!(text.contains(&workload.expected_text(SIZE)));
            }
        }
    }

    #[test]
    fn reads_of_absent_names_ask_for_nothing_that_was_written() {
        let prepared = Workload::preparation_requests(&test_mounts(), SIZE).unwrap().into_iter();
        let mut written: HashSet<_> = prepared.map(|request| request.uri).collect();
        written.extend(fixed_requests(Workload::KvWrite).into_iter().map(|request| request.uri));
        written.extend(fixed_requests(Workload::Kv2Write).into_iter().map(|request| request.uri));
        for workload in [Workload::KvReadAbsent, Workload::Kv2ReadAbsent] {
            assert_eq!(workload.expected_status(), StatusCode::NOT_FOUND);
            assert!(fixed_requests(workload).iter().all(|request| !written.contains(&request.uri)));
        }
    }

    #[test]
    fn writes_leave_what_is_read_alone() {
        for (read, write) in
            [(Workload::KvRead, Workload::KvWrite), (Workload::Kv2Read, Workload::Kv2Write)]
        {
            let (reads, writes) = (fixed_requests(read), fixed_requests(write));
            assert_eq!((reads.len(), writes.len()), (3, 3));
            assert!(reads.iter().all(|read| writes.iter().all(|write| write.uri != read.uri)));
        }
    }

    #[test]
    fn fresh_requests_never_name_the_same_twice() {
        for workload in [Workload::KvReadUnknown, Workload::Kv2Create] {
            let requests = workload.requests(&test_mounts(), SIZE).unwrap();
            let WorkloadRequests::Unique(fresh) = requests else { panic!("{workload:?}") };
            let names: HashSet<_> = (0..100).map(|_| fresh.next().unwrap().uri).collect();
            assert_eq!(names.len(), 100);
        }
    }

    #[test]
    fn without_its_mount_a_workload_is_left_out() {
        assert!(!Workload::CallGo.is_supported_by(&test_mounts()));
        assert!(Workload::CallGo.requests(&test_mounts(), SIZE).is_err());
        assert!(Workload::LeasedRust.is_supported_by(&test_mounts()));
        assert!(Workload::AppRoleLogin.is_supported_by(&test_mounts()));
        let bare = BenchMounts { kv2: None, rust: None, approle: None, ..test_mounts() };
        let fitting: Vec<_> =
            Workload::ALL.into_iter().filter(|w| w.is_supported_by(&bare)).collect();
        assert_eq!(fitting, [Workload::KvRead]);
        assert!(Workload::Kv2Write.requests(&bare, SIZE).is_err());
    }

    #[test]
    fn values_have_their_size_and_differ() {
        assert_eq!(random_text(1, 1024).len(), 1024);
        assert_eq!(random_text(1, 64), random_text(1, 64));
        assert_ne!(random_text(1, 64), random_text(2, 64));
    }

    #[test]
    fn names_are_found_again() {
        for workload in Workload::ALL {
            assert_eq!(Workload::by_name(workload.name()), Some(workload));
        }
        assert_eq!(Workload::by_name("kv"), None);
    }
}
