//! What survives a power cut: the medium of a simulated disk, derived from its history.

use std::collections::BTreeMap;

use strongroom_types::Entropy;

/// The unit that is written atomically.
const SECTOR: usize = 512;

/// Identifies a file across renames.
pub(super) type FileId = u64;

/// One event in the history of a disk.
#[derive(Clone, Debug)]
pub(super) enum DiskEvent {
    Create {
        name: String,
        file: FileId,
    },
    Rename {
        from: String,
        to: String,
    },
    Remove {
        name: String,
    },
    SyncNames,
    Write {
        file: FileId,
        offset: usize,
        bytes: Vec<u8>,
    },
    SetLen {
        file: FileId,
        len: usize,
    },
    Sync {
        file: FileId,
    },
    /// A sync failed. Some of the unsynced data is on the medium, and the rest will never be
    /// written.
    SyncFailed {
        file: FileId,
        seed: u64,
    },
    /// A note added by a test at this point.
    Mark {
        note: u64,
    },
}

/// The names and files on the medium, and the changes that are not durable yet.
#[derive(Clone, Debug, Default)]
pub(super) struct SimMedium {
    names: BTreeMap<String, FileId>,
    unsynced_names: Vec<DiskEvent>,
    files: BTreeMap<FileId, MediumFile>,
}

#[derive(Clone, Debug, Default)]
struct MediumFile {
    bytes: Vec<u8>,
    unsynced: Vec<DiskEvent>,
}

impl SimMedium {
    /// A medium with this content, all of it durable.
    pub(super) fn with_contents(
        names: BTreeMap<String, FileId>,
        files: BTreeMap<FileId, Vec<u8>>,
    ) -> Self {
        let file = |(id, bytes)| (id, MediumFile { bytes, unsynced: Vec::new() });
        Self { names, unsynced_names: Vec::new(), files: files.into_iter().map(file).collect() }
    }

    /// Applies an event of the history.
    pub(super) fn apply_event(&mut self, event: &DiskEvent) {
        match event {
            DiskEvent::Create { .. } | DiskEvent::Rename { .. } | DiskEvent::Remove { .. } => {
                self.unsynced_names.push(event.clone());
            }
            DiskEvent::SyncNames => {
                for event in std::mem::take(&mut self.unsynced_names) {
                    apply_to_names(&mut self.names, &event);
                }
            }
            DiskEvent::Write { file, .. } | DiskEvent::SetLen { file, .. } => {
                self.files.entry(*file).or_default().unsynced.push(event.clone());
            }
            DiskEvent::Sync { file } => {
                let file = self.files.entry(*file).or_default();
                for event in std::mem::take(&mut file.unsynced) {
                    apply_to_bytes(&mut file.bytes, &event);
                }
            }
            DiskEvent::SyncFailed { file, seed } => {
                let file = self.files.entry(*file).or_default();
                file.bytes = file.after_power_cut(&mut SectorOdds::new(*seed));
                file.unsynced.clear();
            }
            DiskEvent::Mark { .. } => {}
        }
    }

    /// What a reader finds once pages are dropped that are cached but will never be written.
    pub(super) fn contents_on_medium(&self, file: FileId) -> Vec<u8> {
        let Some(file) = self.files.get(&file) else { return Vec::new() };
        let mut bytes = file.bytes.clone();
        for event in &file.unsynced {
            apply_to_bytes(&mut bytes, event);
        }
        bytes
    }

    /// The content after a power cut: everything synced, and a random part of the rest, determined
    /// by `seed`.
    pub(super) fn after_power_cut(
        &self,
        seed: u64,
    ) -> (BTreeMap<String, FileId>, BTreeMap<FileId, Vec<u8>>) {
        let mut chance = SectorOdds::new(seed);
        let mut names = self.names.clone();
        for event in &self.unsynced_names {
            if chance.survives() {
                apply_to_names(&mut names, event);
            }
        }
        let survived =
            |(id, file): (&FileId, &MediumFile)| (*id, file.after_power_cut(&mut chance));
        let files = self.files.iter().map(survived).collect();
        (names, files)
    }
}

impl MediumFile {
    /// Each unsynced sector survives or not, independently of the order of the writes.
    fn after_power_cut(&self, chance: &mut SectorOdds) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for event in &self.unsynced {
            match event {
                DiskEvent::SetLen { .. } if chance.survives() => apply_to_bytes(&mut bytes, event),
                DiskEvent::Write { offset, bytes: written, .. } => {
                    keep_some_sectors(&mut bytes, *offset, written, chance);
                }
                _ => {}
            }
        }
        bytes
    }
}

fn keep_some_sectors(bytes: &mut Vec<u8>, offset: usize, written: &[u8], chance: &mut SectorOdds) {
    let mut at = 0;
    while at < written.len() {
        let len = (SECTOR - (offset + at) % SECTOR).min(written.len() - at);
        if chance.survives() {
            write_at(bytes, offset + at, written.get(at..at + len).unwrap_or_default());
        }
        at += len;
    }
}

pub(super) fn apply_to_names(names: &mut BTreeMap<String, FileId>, event: &DiskEvent) {
    match event {
        DiskEvent::Create { name, file } => {
            names.insert(name.clone(), *file);
        }
        DiskEvent::Rename { from, to } => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
        DiskEvent::Remove { name } => {
            names.remove(name);
        }
        _ => {}
    }
}

pub(super) fn apply_to_bytes(bytes: &mut Vec<u8>, event: &DiskEvent) {
    match event {
        DiskEvent::Write { offset, bytes: written, .. } => write_at(bytes, *offset, written),
        DiskEvent::SetLen { len, .. } => bytes.resize(*len, 0),
        _ => {}
    }
}

fn write_at(bytes: &mut Vec<u8>, offset: usize, written: &[u8]) {
    let end = offset + written.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    if let Some(into) = bytes.get_mut(offset..end) {
        into.copy_from_slice(written);
    }
}

/// Decides what survives. Seeds 0 and 1 are the extremes (nothing, everything); every other seed
/// gives a mixture with its own odds.
struct SectorOdds {
    entropy: strongroom_types::entropy::SeededEntropy,
    /// How many of 8 sectors survive on average.
    odds: u64,
}

impl SectorOdds {
    fn new(seed: u64) -> Self {
        let odds = match seed {
            0 => 0,
            1 => 8,
            mixed => 1 + mixed % 7,
        };
        Self { entropy: strongroom_types::entropy::SeededEntropy::new(seed), odds }
    }

    fn survives(&mut self) -> bool {
        self.entropy.next_u64() % 8 < self.odds
    }
}
