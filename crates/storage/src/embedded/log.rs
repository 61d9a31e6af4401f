//! The write-ahead log: two files of fixed size, used in turn. A group of batches is durable once
//! its record is synced here; the tree gets it later. While one file fills, the other is
//! checkpointed to the tree and can then be overwritten from its start.

use bytes::Bytes;

use super::disk::{Disk, DiskFile};
use super::io_errors::classify_io_error;
use super::record::{LogRecord, LogRecordBuilder, SECTOR_BYTES};
use crate::{Error, PhysicalChange, Version};

/// The names of the two log files.
pub(super) const LOG_FILES: [&str; 2] = ["log.0", "log.1"];

/// The open log, owned by the committer thread.
#[derive(Debug)]
pub(super) struct WriteAheadLog {
    active: WalFile,
    idle: WalFile,
    /// A write or sync failed: the bytes after the end may or may not be on the medium, and must be
    /// invalidated before anything else is appended.
    has_failed_append: bool,
}

/// One of the two files, and the position of its next record.
#[derive(Debug)]
struct WalFile {
    file: Box<dyn DiskFile>,
    len: u64,
    write_offset: u64,
    last_checksum: u64,
}

/// The content of the log when it was opened.
#[derive(Debug)]
pub(super) struct LogRecovery {
    pub(super) log: WriteAheadLog,
    /// All batches that the tree doesn't have, oldest first.
    pub(super) batches: Vec<(Version, Vec<PhysicalChange>)>,
    /// The last version in log and tree.
    pub(super) last_version: Version,
    /// If both files hold such batches: the last version of the older file.
    pub(super) older_last_version: Option<Version>,
}

/// Creates both files, filled with zeros, so that later syncs don't change metadata.
pub(super) fn create(disk: &dyn Disk, len: usize) -> Result<(), Error> {
    const PIECE: usize = 1 << 20;
    let doing = |error| classify_io_error(&error, "creating the log");
    let zeros = vec![0; len.min(PIECE)];
    for name in LOG_FILES {
        disk.remove(name).map_err(doing)?;
        let file = disk.open(name).map_err(doing)?;
        let mut at = 0;
        while at < len {
            let piece = zeros.get(..PIECE.min(len - at)).unwrap_or(&zeros);
            file.write_at(as_offset(at), piece).map_err(doing)?;
            at += piece.len();
        }
        file.sync().map_err(doing)?;
    }
    Ok(())
}

/// Opens the log of a tree that has everything up to `applied`.
pub(super) fn open(disk: &dyn Disk, applied: Version) -> Result<LogRecovery, Error> {
    let [first, second] = LOG_FILES;
    let mut older = LogContents::read(disk, first)?;
    let mut newer = LogContents::read(disk, second)?;
    if older.last_version() > newer.last_version() {
        std::mem::swap(&mut older, &mut newer);
    }
    let mut batches = Vec::new();
    let mut last = applied;
    for contents in [&older, &newer] {
        for record in contents.records.iter().filter(|record| record.last_version() > applied) {
            if record.first_version != last.next() {
                return Err(corrupt_log("a part of it is missing"));
            }
            batches.extend(record.decode_batches()?);
            last = record.last_version();
        }
    }
    // After the end there may be a record that a crash cut short, or an older one. A complete and
    // newer one means that a record before it, which was synced, has become unreadable.
    if [&older, &newer].into_iter().any(|contents| contents.has_newer_record_after_end(last)) {
        return Err(corrupt_log("a record in its middle is not readable"));
    }
    let both = older.last_version() > applied && newer.last_version() > applied;
    let older_last = both.then(|| older.last_version());
    let log = WriteAheadLog {
        active: newer.into_wal_file(),
        idle: older.into_wal_file(),
        has_failed_append: false,
    };
    Ok(LogRecovery { log, batches, last_version: last, older_last_version: older_last })
}

impl WriteAheadLog {
    /// Whether the record fits into the rest of the active file.
    pub(super) fn has_room_for(&self, record: &LogRecordBuilder) -> bool {
        let end = self.active.write_offset.saturating_add(as_offset(record.padded_len()));
        end <= self.active.len
    }

    /// Number of bytes used in the active file.
    pub(super) fn filled_bytes(&self) -> u64 {
        self.active.write_offset
    }

    /// Fill level of the active file in percent.
    pub(super) fn filled_percent(&self) -> u64 {
        self.active.write_offset.saturating_mul(100) / self.active.len.max(1)
    }

    /// The size of one file in bytes.
    pub(super) fn capacity(&self) -> usize {
        usize::try_from(self.active.len.min(self.idle.len)).unwrap_or(usize::MAX)
    }

    /// Continues at the start of the other file, whose content must be durable in the tree.
    pub(super) fn switch_file(&mut self) {
        std::mem::swap(&mut self.active, &mut self.idle);
        self.active.write_offset = 0;
        self.active.last_checksum = 0;
    }

    /// Appends the record and syncs it. The record must fit, and no failed append may be pending.
    ///
    /// After an error the record is not in the log, unless the error is [`Error::Io`]: then it may
    /// be, until [`WriteAheadLog::discard_failed_append`] succeeds.
    pub(super) fn append(
        &mut self,
        record: &mut LogRecordBuilder,
        first: Version,
    ) -> Result<(), Error> {
        self.has_failed_append = true;
        let (bytes, sum) = record.finish(first, self.active.last_checksum);
        if let Err(error) = self.active.file.write_at(self.active.write_offset, bytes) {
            let error = classify_io_error(&error, "writing the log");
            // A record without its last sector isn't valid, so after a write to a full or read-only
            // device it is certain not to be applied.
            let certain = matches!(error, Error::Full | Error::ReadOnly);
            return if self.discard_failed_append().is_ok() || certain {
                Err(error)
            } else {
                Err(unknown_outcome(&error))
            };
        }
        if let Err(error) = self.active.file.sync() {
            let error = classify_io_error(&error, "syncing the log");
            return if self.discard_failed_append().is_ok() {
                Err(error)
            } else {
                Err(unknown_outcome(&error))
            };
        }
        self.active.write_offset = self.active.write_offset.saturating_add(as_offset(bytes.len()));
        self.active.last_checksum = sum;
        self.has_failed_append = false;
        Ok(())
    }

    /// After a failed append, removes the record. It overwrites the first sector, because a page
    /// whose sync failed may be marked clean without having reached the medium.
    pub(super) fn discard_failed_append(&mut self) -> Result<(), Error> {
        if self.has_failed_append {
            let doing = |error| classify_io_error(&error, "repairing the log");
            self.active
                .file
                .write_at(self.active.write_offset, &[0; SECTOR_BYTES])
                .map_err(doing)?;
            self.active.file.sync().map_err(doing)?;
            self.has_failed_append = false;
        }
        Ok(())
    }
}

/// The content of one log file.
#[derive(Debug)]
struct LogContents {
    file: Box<dyn DiskFile>,
    bytes: Bytes,
    records: Vec<LogRecord>,
    end: usize,
    last_sum: u64,
}

impl LogContents {
    fn read(disk: &dyn Disk, name: &str) -> Result<Self, Error> {
        let doing = |error| classify_io_error(&error, "reading the log");
        let file = disk.open(name).map_err(doing)?;
        // Data that the previous process wrote without a sync must not be returned and then lost,
        // and data it failed to sync must not be returned because it is still cached.
        file.sync().map_err(doing)?;
        file.drop_page_cache();
        let len = usize::try_from(file.len().map_err(doing)?).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len];
        file.read_at(0, &mut bytes).map_err(doing)?;
        Ok(Self::parse(file, bytes.into()))
    }

    /// Reads records from the start, as long as each follows the one before it.
    fn parse(file: Box<dyn DiskFile>, bytes: Bytes) -> Self {
        let mut records: Vec<LogRecord> = Vec::new();
        let (mut end, mut last_sum) = (0, 0);
        while let Some(record) = LogRecord::parse_at(&bytes, end) {
            if record.previous_checksum != last_sum {
                break;
            }
            end += record.padded_len;
            last_sum = record.checksum;
            records.push(record);
        }
        Self { file, bytes, records, end, last_sum }
    }

    fn last_version(&self) -> Version {
        self.records.last().map_or(Version(0), LogRecord::last_version)
    }

    fn has_newer_record_after_end(&self, last: Version) -> bool {
        let sectors = (self.end..self.bytes.len()).step_by(SECTOR_BYTES);
        sectors
            .filter_map(|at| LogRecord::parse_at(&self.bytes, at))
            .any(|record| record.first_version > last)
    }

    fn into_wal_file(self) -> WalFile {
        let len = as_offset(self.bytes.len());
        WalFile {
            file: self.file,
            len,
            write_offset: as_offset(self.end),
            last_checksum: self.last_sum,
        }
    }
}

fn as_offset(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

fn unknown_outcome(error: &Error) -> Error {
    Error::Io(format!("whether the change was applied is not known: {error}"))
}

fn corrupt_log(what: &str) -> Error {
    Error::Corrupt(format!("the log is damaged: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SimDisk;

    fn sealed_record(first: u64, key: &str, previous: u64) -> (Vec<u8>, u64) {
        let mut builder = LogRecordBuilder::default();
        builder.clear();
        builder.push_batch(&[PhysicalChange::put(key, "")]);
        let (bytes, sum) = builder.finish(Version(first), previous);
        (bytes.to_vec(), sum)
    }

    /// Opens a log whose first file contains these records.
    fn open_with(records: &[&[u8]]) -> Result<LogRecovery, Error> {
        let disk = SimDisk::new();
        create(&disk, 64 * SECTOR_BYTES).unwrap();
        let bytes = records.concat();
        disk.open(LOG_FILES[0]).unwrap().write_at(0, &bytes).unwrap();
        open(&disk, Version(6))
    }

    fn recovered_keys(recovered: &LogRecovery) -> Vec<&str> {
        recovered.batches.iter().flat_map(|(_, changes)| changes).map(PhysicalChange::key).collect()
    }

    /// A complete record that an earlier process left after the current end isn't part of the log,
    /// which its version or its previous checksum shows.
    #[test]
    fn a_record_that_does_not_follow_ends_the_log() {
        let (seven, sum) = sealed_record(7, "seven", 0);
        let (eight, _) = sealed_record(8, "eight", sum);
        let recovered = open_with(&[&seven, &eight]).unwrap();
        assert_eq!(
            (recovered_keys(&recovered), recovered.last_version),
            (vec!["seven", "eight"], Version(8))
        );

        let (stale, _) = sealed_record(5, "stale", sum);
        assert_eq!(recovered_keys(&open_with(&[&seven, &stale]).unwrap()), ["seven"]);
        // The right version after another record: the rest of a group that was replaced.
        let (replaced, other_sum) = sealed_record(7, "replaced", 0);
        let (orphan, _) = sealed_record(8, "orphan", other_sum);
        assert_eq!(
            recovered_keys(&open_with(&[&replaced, &orphan]).unwrap()),
            ["replaced", "orphan"]
        );
        let opened = open_with(&[&seven, &orphan]);
        assert!(matches!(opened, Err(Error::Corrupt(_))), "{opened:?}");
    }

    #[test]
    fn applied_records_are_skipped_and_a_gap_is_refused() {
        let (five, sum) = sealed_record(5, "five", 0);
        let (six, sum) = sealed_record(6, "six", sum);
        let (seven, sum_of_seven) = sealed_record(7, "seven", sum);
        assert_eq!(recovered_keys(&open_with(&[&five, &six, &seven]).unwrap()), ["seven"]);
        assert!(recovered_keys(&open_with(&[&five]).unwrap()).is_empty());
        let (eight, _) = sealed_record(8, "eight", sum_of_seven);
        assert!(matches!(open_with(&[&eight]), Err(Error::Corrupt(_))));
    }
}
