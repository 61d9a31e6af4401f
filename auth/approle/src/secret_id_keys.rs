//! [`SecretIdKeys`]: where the secret ids of a role are stored.
//!
//! | record | contains | is for |
//! |---|---|---|
//! | `secretid/<generation>/<digest>` | [`SecretIdEntry`](crate::secret_id_entry::SecretIdEntry) | logins and look-ups |
//! | `accessor/<generation>/<accessor>` | [`AccessorEntry`](crate::secret_id_entry::AccessorEntry) | lists, and look-ups by accessor |
//! | `generation/<generation>` | nothing | knowing whether a deleted role has secret ids to be removed |
//! | `expiry/<hour>/<second>.<generation>.<digest>` | [`ExpiryEntry`](crate::secret_id_entry::ExpiryEntry) | finding what has expired; in the order of time |
//!
//! All records of a secret id are written and removed in one batch. What a client presents never gets
//! into a key as it is: a secret id only as its digest, and an accessor only if it has the form of
//! one.

use strongroom_sdk::Timestamp;
use strongroom_sdk::records::RecordKey;

/// The names of the buckets of one kind of secret ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SecretIdBuckets {
    pub(crate) secret_ids: &'static str,
    pub(crate) accessors: &'static str,
    pub(crate) expiries: &'static str,
}

/// Secret ids that are replicated to other clusters, and those that aren't.
pub(crate) const REPLICATED: SecretIdBuckets =
    SecretIdBuckets { secret_ids: "secretid", accessors: "accessor", expiries: "expiry" };
pub(crate) const LOCAL: SecretIdBuckets = SecretIdBuckets {
    secret_ids: "localsecretid",
    accessors: "localaccessor",
    expiries: "localexpiry",
};

/// The buckets that are excluded from replication.
pub(crate) const LOCAL_BUCKETS: [&str; 3] = [LOCAL.secret_ids, LOCAL.accessors, LOCAL.expiries];

/// The storage keys of the secret ids of one role.
#[derive(Clone, Debug)]
pub(crate) struct SecretIdKeys {
    generation: String,
    pub(crate) buckets: SecretIdBuckets,
}

/// The number of seconds in a folder of expiry times.
const SECS_PER_FOLDER: i64 = 3600;

impl SecretIdKeys {
    pub(crate) fn new(generation: &str, is_local: bool) -> Self {
        let buckets = if is_local { LOCAL } else { REPLICATED };
        Self { generation: generation.to_owned(), buckets }
    }

    pub(crate) fn generation(&self) -> &str {
        &self.generation
    }

    pub(crate) fn is_local(&self) -> bool {
        self.buckets == LOCAL
    }

    pub(crate) fn secret_id(&self, digest: &str) -> RecordKey {
        RecordKey::new(self.buckets.secret_ids, &format!("{}/{digest}", self.generation))
    }

    pub(crate) fn accessor(&self, accessor: &str) -> RecordKey {
        RecordKey::new(self.buckets.accessors, &format!("{}/{accessor}", self.generation))
    }

    /// The record that is there once a secret id of the role was issued.
    pub(crate) fn generation_record(&self) -> RecordKey {
        RecordKey::new("generation", &self.generation)
    }

    /// The record of a secret id that expires at this time.
    pub(crate) fn expiry(&self, at: Timestamp, digest: &str) -> RecordKey {
        let name =
            ExpiryName { at_secs: at.as_secs(), keys: self.clone(), digest: digest.to_owned() };
        RecordKey::new(self.buckets.expiries, &name.to_key())
    }

    /// The folder of the role's entries, in the buckets of secret ids and of accessors.
    pub(crate) fn folder(&self) -> String {
        format!("{}/", self.generation)
    }
}

/// The name of an expiry record, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct ExpiryName {
    pub(crate) at_secs: i64,
    pub(crate) keys: SecretIdKeys,
    pub(crate) digest: String,
}

impl ExpiryName {
    fn to_key(&self) -> String {
        let (folder, generation) = (expiry_folder(self.at_secs), &self.keys.generation);
        format!("{folder}{:016x}.{generation}.{}", self.at_secs.max(0), self.digest)
    }

    /// Parses the name of a record in a folder; `None` if it isn't one.
    pub(crate) fn parse(name: &str, buckets: SecretIdBuckets) -> Option<Self> {
        let mut parts = name.split('.');
        let (secs, generation, digest) = (parts.next()?, parts.next()?, parts.next()?);
        let at_secs = i64::from_str_radix(secs, 16).ok()?;
        let keys = SecretIdKeys::new(generation, buckets == LOCAL);
        parts.next().is_none().then(|| Self { at_secs, keys, digest: digest.to_owned() })
    }
}

/// The folder of the expiry records of the hour that this second is in.
fn expiry_folder(at_secs: i64) -> String {
    format!("{:012x}/", at_secs.max(0) / SECS_PER_FOLDER)
}

/// Whether all expiry records in a folder are in the future.
pub(crate) fn is_future_folder(folder: &str, now: Timestamp) -> bool {
    *folder > *expiry_folder(now.as_secs())
}

/// The maximum length of an accessor, in bytes.
const MAX_ACCESSOR_BYTES: usize = 64;

/// Whether a text can be an accessor: a UUID, as they are issued.
pub(crate) fn is_accessor(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    !text.is_empty() && text.len() <= MAX_ACCESSOR_BYTES && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_names_sort_by_time_and_are_parsed_again() {
        let keys = SecretIdKeys::new("3f0c-a", true);
        let names: Vec<String> = [0, 59, 3599, 3600, 1_700_000_000, 4_000_000_000]
            .into_iter()
            .map(|at_secs| {
                let digest = "00ff".to_owned();
                ExpiryName { at_secs, keys: keys.clone(), digest }.to_key()
            })
            .collect();
        assert!(names.is_sorted(), "{names:?}");
        let (folder, name) = names.last().unwrap().split_once('/').unwrap();
        let parsed = ExpiryName::parse(name, LOCAL).unwrap();
        assert_eq!((parsed.at_secs, parsed.digest.as_str()), (4_000_000_000, "00ff"));
        assert!(parsed.keys.generation() == "3f0c-a" && parsed.keys.is_local());
        assert!(is_future_folder(&format!("{folder}/"), Timestamp::from_secs(1_700_000_000)));
        assert!(!is_future_folder(&format!("{folder}/"), Timestamp::from_secs(4_000_000_000)));
        for bad in ["", "a", "a.b", "x.b.c", "1.b.c.d"] {
            assert!(ExpiryName::parse(bad, LOCAL).is_none(), "{bad}");
        }
    }

    #[test]
    fn an_accessor_names_no_other_record() {
        assert!(is_accessor("0b1c2d3e-0000-4000-8000-00000000000a"));
        for bad in ["", "../x", "a/b", "a.b", "zz", "a\u{0}", &"a".repeat(65)] {
            assert!(!is_accessor(bad), "{bad:?}");
        }
    }
}
