//! The log: two files of fixed size, written in turn. A group of batches is durable once its
//! record is synced here; the tree gets it later. While one file fills, the other is carried over
//! into the tree, and is then free to be written from its start again.

use bytes::Bytes;

use super::disk::{Disk, DiskFile};
use super::fault::classify;
use super::record::{Builder, Found, SECTOR};
use crate::{Change, Error, Version};

/// The names of the two files.
pub(super) const LOGS: [&str; 2] = ["log.0", "log.1"];

/// The open log. Owned by the one thread that appends.
#[derive(Debug)]
pub(super) struct Log {
    active: Appender,
    idle: Appender,
    /// A write or sync failed: bytes behind the end may be there or not, and must be made
    /// unreadable before anything else is appended.
    unsettled: bool,
}

/// One of the two files, and where its next record goes.
#[derive(Debug)]
struct Appender {
    file: Box<dyn DiskFile>,
    len: u64,
    end: u64,
    last_sum: u64,
}

/// What the log held when it was opened.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) log: Log,
    /// All batches that the tree does not have, oldest first.
    pub(super) batches: Vec<(Version, Vec<Change>)>,
    /// The last version of all.
    pub(super) last: Version,
    /// When both files hold such batches: the last version of the older one.
    pub(super) older: Option<Version>,
}

/// Lays out both files, filled with zeros once, so that later syncs change no metadata.
pub(super) fn create(disk: &dyn Disk, len: usize) -> Result<(), Error> {
    const PIECE: usize = 1 << 20;
    let doing = |error| classify(&error, "creating the log");
    let zeros = vec![0; len.min(PIECE)];
    for name in LOGS {
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
pub(super) fn open(disk: &dyn Disk, applied: Version) -> Result<Recovered, Error> {
    let [first, second] = LOGS;
    let mut older = Contents::read(disk, first)?;
    let mut newer = Contents::read(disk, second)?;
    if older.last() > newer.last() {
        std::mem::swap(&mut older, &mut newer);
    }
    let mut batches = Vec::new();
    let mut last = applied;
    for contents in [&older, &newer] {
        for record in contents.records.iter().filter(|record| record.last() > applied) {
            if record.first != last.next() {
                return Err(damaged("a part of it is missing"));
            }
            batches.extend(record.batches()?);
            last = record.last();
        }
    }
    // What follows the end is a record that a crash cut short, or an older one. A whole and newer
    // one means that a record before it, synced at its time, has become unreadable.
    if [&older, &newer].into_iter().any(|contents| contents.has_newer_behind_its_end(last)) {
        return Err(damaged("a record in its middle is not readable"));
    }
    let both = older.last() > applied && newer.last() > applied;
    let older_last = both.then(|| older.last());
    let log = Log { active: newer.into_appender(), idle: older.into_appender(), unsettled: false };
    Ok(Recovered { log, batches, last, older: older_last })
}

impl Log {
    /// Whether the record fits behind what the active file holds.
    pub(super) fn fits(&self, record: &Builder) -> bool {
        let end = self.active.end.saturating_add(as_offset(record.padded_len()));
        end <= self.active.len
    }

    /// How much the active file holds.
    pub(super) fn filled_bytes(&self) -> u64 {
        self.active.end
    }

    /// How full the active file is, in percent.
    pub(super) fn filled_percent(&self) -> u64 {
        self.active.end.saturating_mul(100) / self.active.len.max(1)
    }

    /// The size of a file.
    pub(super) fn capacity(&self) -> usize {
        usize::try_from(self.active.len.min(self.idle.len)).unwrap_or(usize::MAX)
    }

    /// Goes on at the start of the other file. What it held must be in the tree, durably.
    pub(super) fn rotate(&mut self) {
        std::mem::swap(&mut self.active, &mut self.idle);
        self.active.end = 0;
        self.active.last_sum = 0;
    }

    /// Makes the record durable. It must fit, and the log be settled.
    ///
    /// After an error the record is not in the log and won't be, unless the error is
    /// [`Error::Io`]: then it may be, until [`Log::settle`] succeeds.
    pub(super) fn append(&mut self, record: &mut Builder, first: Version) -> Result<(), Error> {
        self.unsettled = true;
        let (bytes, sum) = record.seal(first, self.active.last_sum);
        if let Err(error) = self.active.file.write_at(self.active.end, bytes) {
            let error = classify(&error, "writing the log");
            // Without its last sector the record can't be read as one, so that a full or
            // read-only device leaves no doubt.
            let certain = matches!(error, Error::Full | Error::ReadOnly);
            return if self.settle().is_ok() || certain { Err(error) } else { Err(doubt(&error)) };
        }
        if let Err(error) = self.active.file.sync() {
            let error = classify(&error, "syncing the log");
            return if self.settle().is_ok() { Err(error) } else { Err(doubt(&error)) };
        }
        self.active.end = self.active.end.saturating_add(as_offset(bytes.len()));
        self.active.last_sum = sum;
        self.unsettled = false;
        Ok(())
    }

    /// After a failed append: makes certain that the record is gone. Writes its first sector
    /// anew, since a page whose sync failed may look clean without having reached the medium.
    pub(super) fn settle(&mut self) -> Result<(), Error> {
        if self.unsettled {
            let doing = |error| classify(&error, "repairing the log");
            self.active.file.write_at(self.active.end, &[0; SECTOR]).map_err(doing)?;
            self.active.file.sync().map_err(doing)?;
            self.unsettled = false;
        }
        Ok(())
    }
}

/// What one file holds.
#[derive(Debug)]
struct Contents {
    file: Box<dyn DiskFile>,
    bytes: Bytes,
    records: Vec<Found>,
    end: usize,
    last_sum: u64,
}

impl Contents {
    fn read(disk: &dyn Disk, name: &str) -> Result<Self, Error> {
        let doing = |error| classify(&error, "reading the log");
        let file = disk.open(name).map_err(doing)?;
        // What the last process wrote without a sync must not be shown and then lost; and what
        // it failed to sync must not be shown because it is still cached.
        file.sync().map_err(doing)?;
        file.forget_cached();
        let len = usize::try_from(file.len().map_err(doing)?).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len];
        file.read_at(0, &mut bytes).map_err(doing)?;
        Ok(Self::parse(file, bytes.into()))
    }

    /// Takes the records from the start on, as long as each follows the one before it.
    fn parse(file: Box<dyn DiskFile>, bytes: Bytes) -> Self {
        let mut records: Vec<Found> = Vec::new();
        let (mut end, mut last_sum) = (0, 0);
        while let Some(record) = Found::at(&bytes, end) {
            if record.previous != last_sum {
                break;
            }
            end += record.padded_len;
            last_sum = record.sum;
            records.push(record);
        }
        Self { file, bytes, records, end, last_sum }
    }

    fn last(&self) -> Version {
        self.records.last().map_or(Version(0), Found::last)
    }

    fn has_newer_behind_its_end(&self, last: Version) -> bool {
        let sectors = (self.end..self.bytes.len()).step_by(SECTOR);
        sectors.filter_map(|at| Found::at(&self.bytes, at)).any(|record| record.first > last)
    }

    fn into_appender(self) -> Appender {
        let len = as_offset(self.bytes.len());
        Appender { file: self.file, len, end: as_offset(self.end), last_sum: self.last_sum }
    }
}

fn as_offset(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

fn doubt(error: &Error) -> Error {
    Error::Io(format!("whether the change was applied is not known: {error}"))
}

fn damaged(what: &str) -> Error {
    Error::Corrupt(format!("the log is damaged: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SimDisk;

    fn record(first: u64, key: &str, previous: u64) -> (Vec<u8>, u64) {
        let mut builder = Builder::default();
        builder.clear();
        builder.push(&[Change::put(key, "")]);
        let (bytes, sum) = builder.seal(Version(first), previous);
        (bytes.to_vec(), sum)
    }

    /// Opens a log whose first file holds these records.
    fn open_with(records: &[&[u8]]) -> Result<Recovered, Error> {
        let disk = SimDisk::new();
        create(&disk, 64 * SECTOR).unwrap();
        let bytes = records.concat();
        disk.open(LOGS[0]).unwrap().write_at(0, &bytes).unwrap();
        open(&disk, Version(6))
    }

    fn keys(recovered: &Recovered) -> Vec<&str> {
        recovered.batches.iter().flat_map(|(_, changes)| changes).map(Change::key).collect()
    }

    /// What an earlier life wrote behind the present end is no part of the log, even when it is
    /// whole: neither by its version nor by its place in the chain.
    #[test]
    fn a_record_that_does_not_follow_ends_the_log() {
        let (seven, sum) = record(7, "seven", 0);
        let (eight, _) = record(8, "eight", sum);
        let recovered = open_with(&[&seven, &eight]).unwrap();
        assert_eq!((keys(&recovered), recovered.last), (vec!["seven", "eight"], Version(8)));

        let (stale, _) = record(5, "stale", sum);
        assert_eq!(keys(&open_with(&[&seven, &stale]).unwrap()), ["seven"]);
        // The right version behind another record: the rest of a group that was replaced.
        let (replaced, other_sum) = record(7, "replaced", 0);
        let (orphan, _) = record(8, "orphan", other_sum);
        assert_eq!(keys(&open_with(&[&replaced, &orphan]).unwrap()), ["replaced", "orphan"]);
        let opened = open_with(&[&seven, &orphan]);
        assert!(matches!(opened, Err(Error::Corrupt(_))), "{opened:?}");
    }

    #[test]
    fn what_the_tree_has_is_left_out_and_a_gap_is_refused() {
        let (five, sum) = record(5, "five", 0);
        let (six, sum) = record(6, "six", sum);
        let (seven, sum_of_seven) = record(7, "seven", sum);
        assert_eq!(keys(&open_with(&[&five, &six, &seven]).unwrap()), ["seven"]);
        assert!(keys(&open_with(&[&five]).unwrap()).is_empty());
        let (eight, _) = record(8, "eight", sum_of_seven);
        assert!(matches!(open_with(&[&eight]), Err(Error::Corrupt(_))));
    }
}
