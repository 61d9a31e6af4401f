//! [`KvEntry`]: the stored record of a secret.
//!
//! The record holds the settings, the state of each version, and the data of the latest version if
//! it is small. So reading the latest version takes one or two storage reads. The record's size is
//! bounded: there are at most [`MAX_VERSIONS`] versions, custom metadata is limited, and data in
//! the record has at most [`MAX_INLINE_BYTES`].
//!
//! Format: version byte (1), length of the header (4, big-endian), header (JSON), data of the
//! latest.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use strongroom_sdk::{Error, Timestamp, Ttl};

use super::config::Config;
use super::input::MAX_VERSIONS;

/// The number of versions an entry keeps unless the mount or the entry sets another.
pub(crate) const DEFAULT_MAX_VERSIONS: u32 = 10;
/// Data of up to this many bytes is stored in the entry itself.
pub(crate) const MAX_INLINE_BYTES: usize = 16 << 10;
const FORMAT: u8 = 1;

/// The record of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KvEntry {
    pub(crate) metadata: EntryMetadata,
    /// The data of the latest version, if it is stored in the entry.
    pub(crate) inline_data: Option<Bytes>,
}

/// The header of the record. The short names are part of the storage format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EntryMetadata {
    #[serde(rename = "c")]
    pub(crate) created: Timestamp,
    #[serde(rename = "u")]
    pub(crate) updated: Timestamp,
    #[serde(flatten)]
    pub(crate) settings: KvEntrySettings,
    /// The number of changes of the settings, for `metadata_cas`.
    #[serde(rename = "w")]
    pub(crate) settings_version: u64,
    /// The number of the oldest version in this record.
    #[serde(rename = "f")]
    pub(crate) first: u64,
    /// Data of all versions below this number has been removed from storage.
    #[serde(rename = "s")]
    pub(crate) first_unswept: u64,
    /// The versions from the oldest on, without gaps.
    #[serde(rename = "v")]
    pub(crate) versions: Vec<KvVersion>,
}

/// The settings of an entry. Zero means the mount's setting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KvEntrySettings {
    #[serde(rename = "m", default)]
    pub(crate) max_versions: u32,
    #[serde(rename = "r", default)]
    pub(crate) cas_required: bool,
    #[serde(rename = "d", default)]
    pub(crate) delete_after_secs: u64,
    #[serde(rename = "k", default)]
    pub(crate) metadata_cas_required: bool,
    #[serde(rename = "x", default)]
    pub(crate) custom_metadata: BTreeMap<String, String>,
}

/// The state of one version, without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "KvVersionRecord", into = "KvVersionRecord")]
pub(crate) struct KvVersion {
    pub(crate) created: Timestamp,
    /// The time from which on the version is deleted, which may be in the future.
    pub(crate) deletion: Option<Timestamp>,
    pub(crate) destroyed: bool,
}

/// The stored form of a version.
#[derive(Serialize, Deserialize)]
struct KvVersionRecord(Timestamp, Option<Timestamp>, bool);

impl From<KvVersionRecord> for KvVersion {
    fn from(KvVersionRecord(created, deletion, destroyed): KvVersionRecord) -> Self {
        Self { created, deletion, destroyed }
    }
}

impl From<KvVersion> for KvVersionRecord {
    fn from(version: KvVersion) -> Self {
        Self(version.created, version.deletion, version.destroyed)
    }
}

impl KvVersion {
    /// Whether the version's data can be read at this time.
    pub(crate) fn is_readable(&self, now: Timestamp) -> bool {
        !self.destroyed && !self.is_deleted(now)
    }

    pub(crate) fn is_deleted(&self, now: Timestamp) -> bool {
        self.deletion.is_some_and(|at| at <= now)
    }
}

/// The storage changes that a new version needs besides the entry.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct AddedVersion {
    /// Data that must now be stored in records of its own, with its version number.
    pub(crate) separate_data: Vec<(u64, Bytes)>,
}

impl KvEntry {
    /// An entry without versions.
    pub(crate) fn new(now: Timestamp) -> Self {
        let about = EntryMetadata {
            created: now,
            updated: now,
            settings: KvEntrySettings::default(),
            settings_version: 0,
            first: 1,
            first_unswept: 1,
            versions: Vec::new(),
        };
        Self { metadata: about, inline_data: None }
    }

    /// The number of the latest version; 0 if there is none.
    pub(crate) fn current_version(&self) -> u64 {
        self.metadata.first - 1 + self.metadata.versions.len() as u64
    }

    /// The number of the oldest version as the API reports it: 0 as long as no version was removed.
    pub(crate) fn oldest_version(&self) -> u64 {
        if self.metadata.first > 1 { self.metadata.first } else { 0 }
    }

    /// The version with this number, if it exists.
    pub(crate) fn version(&self, number: u64) -> Option<&KvVersion> {
        self.metadata.versions.get(self.version_index(number)?)
    }

    pub(crate) fn version_mut(&mut self, number: u64) -> Option<&mut KvVersion> {
        let index = self.version_index(number)?;
        self.metadata.versions.get_mut(index)
    }

    /// All versions with their numbers, oldest first.
    pub(crate) fn versions(&self) -> impl Iterator<Item = (u64, &KvVersion)> {
        (self.metadata.first..).zip(&self.metadata.versions)
    }

    /// Adds a version, and forgets the oldest ones above the limit.
    pub(crate) fn add_version(
        &mut self,
        data: Bytes,
        config: &Config,
        now: Timestamp,
    ) -> AddedVersion {
        let mut added = AddedVersion::default();
        let before = self.current_version();
        if let Some(data) = self.inline_data.take() {
            added.separate_data.push((before, data));
        }
        let deletion = self.deletion_delay(config).map(|after| now.plus(after.as_duration()));
        self.metadata.versions.push(KvVersion { created: now, deletion, destroyed: false });
        let keep = usize::try_from(self.max_versions_kept(config)).unwrap_or(usize::MAX);
        self.forget_oldest(self.metadata.versions.len().saturating_sub(keep));
        added.separate_data.retain(|(number, _)| *number >= self.metadata.first);
        if data.len() <= MAX_INLINE_BYTES {
            self.inline_data = Some(data);
        } else {
            added.separate_data.push((self.current_version(), data));
        }
        added
    }

    /// Forgets the oldest `count` versions. Their data still has to be removed.
    pub(crate) fn forget_oldest(&mut self, count: usize) {
        let count = count.min(self.metadata.versions.len());
        self.metadata.versions.drain(..count);
        self.metadata.first += count as u64;
    }

    /// Takes up to `at_most` numbers of forgotten versions whose data has to be removed. From then
    /// on their data counts as removed.
    pub(crate) fn next_sweep_range(&mut self, at_most: u64) -> std::ops::Range<u64> {
        let from = self.metadata.first_unswept;
        self.metadata.first_unswept =
            self.metadata.first.min(from.saturating_add(at_most)).max(from);
        from..self.metadata.first_unswept
    }

    /// Whether the data of all forgotten versions has been removed.
    pub(crate) fn is_swept(&self) -> bool {
        self.metadata.first_unswept >= self.metadata.first
    }

    /// How many versions are kept: the larger of the mount's and the entry's setting.
    fn max_versions_kept(&self, config: &Config) -> u32 {
        match self.metadata.settings.max_versions.max(config.max_versions) {
            0 => DEFAULT_MAX_VERSIONS,
            some => some.min(MAX_VERSIONS),
        }
    }

    /// The age at which a new version is deleted: the smaller of the mount's and the entry's
    /// setting.
    fn deletion_delay(&self, config: &Config) -> Option<Ttl> {
        let own = Some(self.metadata.settings.delete_after_secs).filter(|secs| *secs > 0);
        let of_mount = config.delete_version_after.as_secs()?;
        let of_mount = Some(of_mount).filter(|secs| *secs > 0);
        let sooner = match (own, of_mount) {
            (Some(own), Some(of_mount)) => Some(own.min(of_mount)),
            (own, of_mount) => own.or(of_mount),
        };
        sooner.map(Ttl::from_secs)
    }

    fn version_index(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.metadata.first)?).ok()
    }

    /// The stored form of the entry.
    pub(crate) fn to_bytes(&self) -> Result<Bytes, Error> {
        let whole =
            KvEntryHeader { metadata: self.metadata.clone(), inline: self.inline_data.is_some() };
        let header =
            serde_json::to_vec(&whole).map_err(|_| Error::internal("an entry can't be written"))?;
        let length = u32::try_from(header.len())
            .map_err(|_| Error::internal("an entry is too large to be written"))?;
        let data = self.inline_data.clone().unwrap_or_default();
        let mut bytes = BytesMut::with_capacity(5 + header.len() + data.len());
        bytes.put_u8(FORMAT);
        bytes.put_u32(length);
        bytes.put_slice(&header);
        bytes.put_slice(&data);
        Ok(bytes.freeze())
    }

    /// Parses the stored form.
    pub(crate) fn from_bytes(bytes: &Bytes) -> Result<Self, Error> {
        let unreadable = || Error::internal("an entry can't be read by this version");
        let (prefix, _) = bytes.split_at_checked(5).ok_or_else(unreadable)?;
        let [FORMAT, length @ ..] = prefix else { return Err(unreadable()) };
        let length: [u8; 4] = length.try_into().map_err(|_| unreadable())?;
        let end = usize::try_from(u32::from_be_bytes(length)).map_err(|_| unreadable())?;
        let header = bytes.get(5..5 + end).ok_or_else(unreadable)?;
        let header: KvEntryHeader = serde_json::from_slice(header).map_err(|_| unreadable())?;
        if header.metadata.first == 0 {
            return Err(unreadable());
        }
        let inline = header.inline.then(|| bytes.slice(5 + end..));
        Ok(Self { metadata: header.metadata, inline_data: inline })
    }
}

#[derive(Serialize, Deserialize)]
struct KvEntryHeader {
    #[serde(flatten)]
    metadata: EntryMetadata,
    /// Whether the data of the latest version follows the header.
    #[serde(rename = "l")]
    inline: bool,
}

#[cfg(test)]
mod tests {
    use super::super::config::DeleteVersionAfter;
    use super::*;

    fn timestamp(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn inline_bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn versions_are_kept_up_to_the_larger_limit() {
        let config = Config { max_versions: 2, ..Config::default() };
        let mut entry = KvEntry::new(timestamp(0));
        assert_eq!((entry.current_version(), entry.oldest_version()), (0, 0));
        for n in 1..=3 {
            entry.add_version(inline_bytes("{}"), &config, timestamp(n));
        }
        assert_eq!((entry.current_version(), entry.oldest_version()), (3, 2));
        assert!(entry.version(1).is_none() && entry.version(2).is_some());
        assert!(entry.version(0).is_none() && entry.version(4).is_none());
        entry.metadata.settings.max_versions = 5;
        for n in 4..=9 {
            entry.add_version(inline_bytes("{}"), &config, timestamp(n));
        }
        assert_eq!((entry.current_version(), entry.oldest_version()), (9, 5));
        let numbers: Vec<u64> = entry.versions().map(|(number, _)| number).collect();
        assert_eq!(numbers, [5, 6, 7, 8, 9]);
        assert_eq!(entry.next_sweep_range(3), 1..4);
        assert!(!entry.is_swept());
        assert_eq!(
            (entry.next_sweep_range(3), entry.is_swept(), entry.next_sweep_range(3)),
            (4..5, true, 5..5)
        );
    }

    #[test]
    fn small_data_of_the_latest_version_lies_in_the_entry() {
        let config = Config { max_versions: 2, ..Config::default() };
        let (mut entry, large) =
            (KvEntry::new(timestamp(0)), Bytes::from(vec![b'x'; MAX_INLINE_BYTES + 1]));
        assert_eq!(
            entry.add_version(inline_bytes("1"), &config, timestamp(1)),
            AddedVersion::default()
        );
        assert_eq!(
            entry.add_version(inline_bytes("2"), &config, timestamp(1)).separate_data,
            [(1, inline_bytes("1"))]
        );
        let added = entry.add_version(large.clone(), &config, timestamp(1));
        assert_eq!(added.separate_data, [(2, inline_bytes("2")), (3, large.clone())]);
        assert_eq!(
            (
                entry.inline_data.clone(),
                entry.add_version(large.clone(), &config, timestamp(1)).separate_data
            ),
            (None, vec![(4, large)])
        );
        // A version that is forgotten at once is not written first.
        let one = Config { max_versions: 1, ..Config::default() };
        assert_eq!(
            entry.add_version(inline_bytes("5"), &one, timestamp(1)),
            AddedVersion::default()
        );
        assert_eq!(
            entry.add_version(inline_bytes("6"), &one, timestamp(1)),
            AddedVersion::default()
        );
    }

    #[test]
    fn the_sooner_deletion_counts_and_a_mount_can_disable_it() {
        let ends = |mount: DeleteVersionAfter, own| {
            let config = Config { delete_version_after: mount, ..Config::default() };
            let mut entry = KvEntry::new(timestamp(0));
            entry.metadata.settings.delete_after_secs = own;
            entry.add_version(inline_bytes("{}"), &config, timestamp(100));
            entry.version(1).and_then(|version| version.deletion).map(Timestamp::as_secs)
        };
        assert_eq!(ends(DeleteVersionAfter::default(), 0), None);
        assert_eq!(ends(DeleteVersionAfter::default(), 10), Some(110));
        assert_eq!(ends(DeleteVersionAfter::from_secs(5), 0), Some(105));
        assert_eq!(ends(DeleteVersionAfter::from_secs(5), 10), Some(105));
        assert_eq!(ends(DeleteVersionAfter::from_secs(50), 10), Some(110));
        assert_eq!(ends(DeleteVersionAfter::NEVER, 10), None);
    }

    #[test]
    fn entries_round_trip_and_invalid_bytes_are_an_error() {
        let mut entry = KvEntry::new(timestamp(1));
        entry.metadata.settings.custom_metadata.insert("owner".to_owned(), "ü".to_owned());
        entry.add_version(inline_bytes(r#"{"n":1.10}"#), &Config::default(), timestamp(2));
        entry.add_version(inline_bytes("null"), &Config::default(), timestamp(3));
        if let Some(version) = entry.version_mut(1) {
            (version.deletion, version.destroyed) = (Some(timestamp(9)), true);
        }
        let bytes = entry.to_bytes().unwrap();
        assert_eq!(KvEntry::from_bytes(&bytes).unwrap(), entry);
        entry.inline_data = None;
        assert_eq!(KvEntry::from_bytes(&entry.to_bytes().unwrap()).unwrap(), entry);
        for end in 0..bytes.len() - 4 {
            assert!(KvEntry::from_bytes(&bytes.slice(..end)).is_err(), "{end}");
        }
        assert!(KvEntry::from_bytes(&inline_bytes("{\"a\":1}")).is_err());
    }

    #[test]
    fn an_entry_is_bounded() {
        let config = Config { max_versions: MAX_VERSIONS, ..Config::default() };
        let mut entry = KvEntry::new(Timestamp::FAR_FUTURE);
        for _ in 0..MAX_VERSIONS + 9 {
            entry.add_version(
                Bytes::from(vec![b'x'; MAX_INLINE_BYTES]),
                &config,
                Timestamp::FAR_FUTURE,
            );
        }
        for number in entry.metadata.first..=entry.current_version() {
            entry.version_mut(number).unwrap().deletion = Some(Timestamp::FAR_FUTURE);
        }
        let long = |n: usize| (format!("{n:0>128}"), "v".repeat(512));
        entry.metadata.settings.custom_metadata = (0..64).map(long).collect();
        assert!(entry.to_bytes().unwrap().len() < 320 << 10);
    }
}
