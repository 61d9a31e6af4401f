//! One record of the log: a group of batches that became durable with one sync.
//!
//! ```text
//! offset  bytes
//!      0      8  magic
//!      8      8  XXH3-64 of all that follows, up to the end of the body
//!     16      8  the checksum of the record before it in this file, 0 for the first
//!     24      8  version of the first batch; the others follow it one by one
//!     32      4  number of batches
//!     36      4  length of the body
//!     40         body: for each batch the number of changes (4); for each change
//!                length of the key (4), length of the value or u32::MAX for a delete (4),
//!                key, value
//!              zeros up to the next multiple of 512
//! ```
//!
//! Numbers are little-endian. A record begins at a sector boundary, so that no later write touches
//! a sector with acknowledged bytes.

use bytes::{Buf, Bytes};
use twox_hash::XxHash3_64;

use crate::{Error, PhysicalChange, Version};

/// The unit that a disk writes atomically.
pub(super) const SECTOR_BYTES: usize = 512;
const MAGIC: [u8; 8] = *b"srlog\0\0\x01";
const HEADER_BYTES: usize = 40;
/// Bytes of a batch in a record beside its changes.
pub(super) const BATCH_OVERHEAD: usize = 4;
/// Offset of the checksummed part.
const CHECKSUM_START: usize = 16;
const DELETED_LEN: u32 = u32::MAX;

/// Builds a record. The buffer is reused for the next one.
#[derive(Debug, Default)]
pub(super) struct LogRecordBuilder {
    bytes: Vec<u8>,
    batches: u32,
}

impl LogRecordBuilder {
    /// A buffer that grew beyond this is shrunk to it again.
    const MAX_KEPT_BYTES: usize = 1 << 20;

    /// Starts a new record.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(Self::MAX_KEPT_BYTES);
        self.bytes.resize(HEADER_BYTES, 0);
        self.batches = 0;
    }

    /// Adds a batch. Lengths fit, because the store's limits are far below `u32::MAX`.
    pub(super) fn push_batch(&mut self, changes: &[PhysicalChange]) {
        self.batches = self.batches.saturating_add(1);
        self.put_len(changes.len());
        for change in changes {
            self.put_len(change.key().len());
            match change {
                PhysicalChange::Put { key, value } => {
                    self.put_len(value.len());
                    self.bytes.extend_from_slice(key.as_bytes());
                    self.bytes.extend_from_slice(value);
                }
                PhysicalChange::Delete { key } => {
                    self.bytes.extend_from_slice(&DELETED_LEN.to_le_bytes());
                    self.bytes.extend_from_slice(key.as_bytes());
                }
            }
        }
    }

    /// Number of batches in the record.
    pub(super) fn batch_count(&self) -> u32 {
        self.batches
    }

    /// Length of the record on disk, with padding.
    pub(super) fn padded_len(&self) -> usize {
        self.bytes.len().next_multiple_of(SECTOR_BYTES)
    }

    /// Fills in the header. Returns the bytes to write, and their checksum.
    pub(super) fn finish(&mut self, first: Version, previous: u64) -> (&[u8], u64) {
        let body = u32::try_from(self.bytes.len() - HEADER_BYTES).unwrap_or(u32::MAX);
        let mut header = Vec::with_capacity(HEADER_BYTES - CHECKSUM_START);
        header.extend_from_slice(&previous.to_le_bytes());
        header.extend_from_slice(&first.0.to_le_bytes());
        header.extend_from_slice(&self.batches.to_le_bytes());
        header.extend_from_slice(&body.to_le_bytes());
        write_into(&mut self.bytes, CHECKSUM_START, &header);
        let sum = XxHash3_64::oneshot(self.bytes.get(CHECKSUM_START..).unwrap_or_default());
        write_into(&mut self.bytes, 0, &MAGIC);
        write_into(&mut self.bytes, MAGIC.len(), &sum.to_le_bytes());
        self.bytes.resize(self.padded_len(), 0);
        (&self.bytes, sum)
    }

    fn put_len(&mut self, len: usize) {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&len.to_le_bytes());
    }
}

fn write_into(bytes: &mut [u8], at: usize, with: &[u8]) {
    for (to, from) in bytes.iter_mut().skip(at).zip(with) {
        *to = *from;
    }
}

/// A record read from disk, whose checksum is valid.
#[derive(Debug)]
pub(super) struct LogRecord {
    pub(super) checksum: u64,
    pub(super) previous_checksum: u64,
    pub(super) first_version: Version,
    pub(super) batch_count: u32,
    /// Length on disk, with padding.
    pub(super) padded_len: usize,
    body: Bytes,
}

impl LogRecord {
    /// Parses the record at `at`; `None` if there is no complete and valid one.
    pub(super) fn parse_at(file: &Bytes, at: usize) -> Option<Self> {
        let mut header = file.get(at..at.checked_add(HEADER_BYTES)?)?;
        if header.get(..MAGIC.len())? != MAGIC {
            return None;
        }
        header.advance(MAGIC.len());
        let (sum, previous) = (header.get_u64_le(), header.get_u64_le());
        let (first, batches) = (Version(header.get_u64_le()), header.get_u32_le());
        let body_len = usize::try_from(header.get_u32_le()).ok()?;
        let body_at = at.checked_add(HEADER_BYTES)?;
        let end = body_at.checked_add(body_len)?;
        let summed = file.get(at.checked_add(CHECKSUM_START)?..end)?;
        if batches == 0 || XxHash3_64::oneshot(summed) != sum {
            return None;
        }
        let padded_len = (end - at).next_multiple_of(SECTOR_BYTES);
        Some(Self {
            checksum: sum,
            previous_checksum: previous,
            first_version: first,
            batch_count: batches,
            padded_len,
            body: file.slice(body_at..end),
        })
    }

    /// The version of the last batch.
    pub(super) fn last_version(&self) -> Version {
        Version(self.first_version.0.saturating_add(u64::from(self.batch_count) - 1))
    }

    /// Decodes the batches, each with its version.
    pub(super) fn decode_batches(&self) -> Result<Vec<(Version, Vec<PhysicalChange>)>, Error> {
        let mut body = self.body.clone();
        let mut version = self.first_version;
        let mut batches = Vec::new();
        for _ in 0..self.batch_count {
            let changes = take_u32(&mut body)?;
            let changes = (0..changes).map(|_| take_change(&mut body));
            batches.push((version, changes.collect::<Result<_, _>>()?));
            version = version.next();
        }
        if body.has_remaining() { Err(malformed_record()) } else { Ok(batches) }
    }
}

fn take_change(body: &mut Bytes) -> Result<PhysicalChange, Error> {
    let (key_len, value_len) = (take_u32(body)?, take_u32(body)?);
    let key = take_bytes(body, key_len)?;
    let key = String::from_utf8(key.to_vec()).map_err(|_| malformed_record())?;
    if value_len == DELETED_LEN {
        return Ok(PhysicalChange::Delete { key });
    }
    // Copied, because a slice would keep the whole file in memory.
    Ok(PhysicalChange::Put { key, value: Bytes::copy_from_slice(&take_bytes(body, value_len)?) })
}

fn take_u32(body: &mut Bytes) -> Result<u32, Error> {
    body.try_get_u32_le().map_err(|_| malformed_record())
}

fn take_bytes(body: &mut Bytes, len: u32) -> Result<Bytes, Error> {
    match usize::try_from(len) {
        Ok(len) if len <= body.len() => Ok(body.split_to(len)),
        _ => Err(malformed_record()),
    }
}

/// The checksum was valid, so the record was written like this: by a bug or by a newer version.
fn malformed_record() -> Error {
    Error::Corrupt("a log record does not read as one".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build_record(batches: &[Vec<PhysicalChange>], first: u64, previous: u64) -> Bytes {
        let mut builder = LogRecordBuilder::default();
        builder.clear();
        for changes in batches {
            builder.push_batch(changes);
        }
        Bytes::copy_from_slice(builder.finish(Version(first), previous).0)
    }

    fn some_batches() -> Vec<Vec<PhysicalChange>> {
        vec![
            vec![PhysicalChange::put("a", "1"), PhysicalChange::delete("b")],
            vec![],
            vec![PhysicalChange::put("ключ", ""), PhysicalChange::put("large", vec![7; 3000])],
        ]
    }

    #[test]
    fn reads_back_what_was_written() {
        let file = build_record(&some_batches(), 41, 7);
        assert_eq!(file.len() % SECTOR_BYTES, 0);
        let found = LogRecord::parse_at(&file, 0).unwrap();
        assert_eq!((found.first_version, found.last_version()), (Version(41), Version(43)));
        assert_eq!((found.previous_checksum, found.padded_len), (7, file.len()));
        let versions = [Version(41), Version(42), Version(43)];
        let expected: Vec<_> = versions.into_iter().zip(some_batches()).collect();
        assert_eq!(found.decode_batches().unwrap(), expected);
    }

    #[test]
    fn no_changed_byte_goes_unnoticed() {
        let whole = build_record(&some_batches(), 1, 0);
        let body_end = HEADER_BYTES + LogRecord::parse_at(&whole, 0).unwrap().body.len();
        for at in 0..body_end {
            let mut torn = whole.to_vec();
            torn[at] ^= 1;
            assert!(LogRecord::parse_at(&Bytes::from(torn), 0).is_none(), "byte {at}");
        }
        assert!(LogRecord::parse_at(&whole.slice(..body_end - 1), 0).is_none());
    }

    #[test]
    fn a_body_that_lies_about_lengths_is_refused() {
        for lengths in [[1, u32::MAX, 0], [1, 0, 5], [1, 9, DELETED_LEN], [u32::MAX, 0, 0]] {
            let mut builder = LogRecordBuilder::default();
            builder.clear();
            builder.batches = 1;
            for len in lengths {
                builder.bytes.extend_from_slice(&len.to_le_bytes());
            }
            let file = Bytes::copy_from_slice(builder.finish(Version(1), 0).0);
            assert!(matches!(
                LogRecord::parse_at(&file, 0).unwrap().decode_batches(),
                Err(Error::Corrupt(_))
            ));
        }
    }
}
