//! The log: two files of fixed size, written in turn. A group of batches is durable once its
//! record is synced here; the tree gets it later. While one file fills, the other is carried over
//! into the tree, and is then free to be written from its start again.

use bytes::Bytes;

use super::disk::{Disk, DiskFile};
use super::io_errors::classify_io_error;
use super::record::{LogRecord, LogRecordBuilder, SECTOR_BYTES};
use crate::{Error, PhysicalChange, Version};

/// The names of the two files.
pub(super) const LOG_FILES: [&str; 2] = ["log.0", "log.1"];

/// The open log. Owned by the one thread that appends.
#[derive(Debug)]
pub(super) struct WriteAheadLog {
    active: WalFile,
    idle: WalFile,
    /// A write or sync failed: bytes behind the end may be there or not, and must be made
    /// unreadable before anything else is appended.
    has_failed_append: bool,
}

/// One of the two files, and where its next record goes.
#[derive(Debug)]
struct WalFile {
    file: Box<dyn DiskFile>,
    len: u64,
    write_offset: u64,
    last_checksum: u64,
}

/// What the log held when it was opened.
#[derive(Debug)]
pub(super) struct LogRecovery {
    pub(super) log: WriteAheadLog,
    /// All batches that the tree does not have, oldest first.
    pub(super) batches: Vec<(Version, Vec<PhysicalChange>)>,
    /// The last version of all.
    pub(super) last_version: Version,
    /// When both files hold such batches: the last version of the older one.
    pub(super) older_last_version: Option<Version>,
}

/// Lays out both files, filled with zeros once, so that later syncs change no metadata.
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
    // What follows the end is a record that a crash cut short, or an older one. A whole and newer
    // one means that a record before it, synced at its time, has become unreadable.
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
    /// Whether the record fits behind what the active file holds.
    pub(super) fn has_room_for(&self, record: &LogRecordBuilder) -> bool {
        let end = self.active.write_offset.saturating_add(as_offset(record.padded_len()));
        end <= self.active.len
    }

    /// How much the active file holds.
    pub(super) fn filled_bytes(&self) -> u64 {
        self.active.write_offset
    }

    /// How full the active file is, in percent.
    pub(super) fn filled_percent(&self) -> u64 {
        self.active.write_offset.saturating_mul(100) / self.active.len.max(1)
    }

    /// The size of a file.
    pub(super) fn capacity(&self) -> usize {
        usize::try_from(self.active.len.min(self.idle.len)).unwrap_or(usize::MAX)
    }

    /// Goes on at the start of the other file. What it held must be in the tree, durably.
    pub(super) fn switch_file(&mut self) {
        std::mem::swap(&mut self.active, &mut self.idle);
        self.active.write_offset = 0;
        self.active.last_checksum = 0;
    }

    /// Makes the record durable. It must fit, and the log be settled.
    ///
    /// After an error the record is not in the log and won't be, unless the error is
    /// [`Error::Io`]: then it may be, until [`WriteAheadLog::discard_failed_append`] succeeds.
    pub(super) fn append(
        &mut self,
        record: &mut LogRecordBuilder,
        first: Version,
    ) -> Result<(), Error> {
        self.has_failed_append = true;
        let (bytes, sum) = record.finish(first, self.active.last_checksum);
        if let Err(error) = self.active.file.write_at(self.active.write_offset, bytes) {
            let error = classify_io_error(&error, "writing the log");
            // Without its last sector the record can't be read as one, so that a full or
            // read-only device leaves no doubt.
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

    /// After a failed append: makes certain that the record is gone. Writes its first sector
    /// anew, since a page whose sync failed may look clean without having reached the medium.
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

/// What one file holds.
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
        // What the last process wrote without a sync must not be shown and then lost; and what
        // it failed to sync must not be shown because it is still cached.
        file.sync().map_err(doing)?;
        file.drop_page_cache();
        let len = usize::try_from(file.len().map_err(doing)?).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len];
        file.read_at(0, &mut bytes).map_err(doing)?;
        Ok(Self::parse(file, bytes.into()))
    }

    /// Takes the records from the start on, as long as each follows the one before it.
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

    /// Opens a log whose first file holds these records.
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

    /// What an earlier life wrote behind the present end is no part of the log, even when it is
    /// whole: neither by its version nor by its place in the chain.
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
        // The right version behind another record: the rest of a group that was replaced.
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
