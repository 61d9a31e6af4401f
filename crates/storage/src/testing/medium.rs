//! What survives a power cut: the medium under a simulated disk, as its history left it.

use std::collections::BTreeMap;

use strongroom_types::Entropy;

/// The unit that is written whole or not at all.
const SECTOR: usize = 512;

/// Identifies a file through renames.
pub(super) type FileId = u64;

/// One thing that happened to a disk.
#[derive(Clone, Debug)]
pub(super) enum Event {
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
    /// A sync failed. What was unsynced is on the medium in part, and nobody will write the rest.
    SyncFailed {
        file: FileId,
        seed: u64,
    },
    /// Whatever a test wants to remember at this point.
    Mark {
        note: u64,
    },
}

/// Names and files as they are on the medium, and what is not there yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Medium {
    names: BTreeMap<String, FileId>,
    unsynced_names: Vec<Event>,
    files: BTreeMap<FileId, File>,
}

#[derive(Clone, Debug, Default)]
struct File {
    bytes: Vec<u8>,
    unsynced: Vec<Event>,
}

impl Medium {
    /// A medium that holds just this, all of it durable.
    pub(super) fn holding(
        names: BTreeMap<String, FileId>,
        files: BTreeMap<FileId, Vec<u8>>,
    ) -> Self {
        let file = |(id, bytes)| (id, File { bytes, unsynced: Vec::new() });
        Self { names, unsynced_names: Vec::new(), files: files.into_iter().map(file).collect() }
    }

    /// Lets an event happen.
    pub(super) fn happen(&mut self, event: &Event) {
        match event {
            Event::Create { .. } | Event::Rename { .. } | Event::Remove { .. } => {
                self.unsynced_names.push(event.clone());
            }
            Event::SyncNames => {
                for event in std::mem::take(&mut self.unsynced_names) {
                    apply_to_names(&mut self.names, &event);
                }
            }
            Event::Write { file, .. } | Event::SetLen { file, .. } => {
                self.files.entry(*file).or_default().unsynced.push(event.clone());
            }
            Event::Sync { file } => {
                let file = self.files.entry(*file).or_default();
                for event in std::mem::take(&mut file.unsynced) {
                    apply_to_bytes(&mut file.bytes, &event);
                }
            }
            Event::SyncFailed { file, seed } => {
                let file = self.files.entry(*file).or_default();
                file.bytes = file.after_power_cut(&mut Chance::new(*seed));
                file.unsynced.clear();
            }
            Event::Mark { .. } => {}
        }
    }

    /// What a reader finds who can't see what is only cached and no longer to be written.
    pub(super) fn settled(&self, file: FileId) -> Vec<u8> {
        let Some(file) = self.files.get(&file) else { return Vec::new() };
        let mut bytes = file.bytes.clone();
        for event in &file.unsynced {
            apply_to_bytes(&mut bytes, event);
        }
        bytes
    }

    /// What is there when power comes back. Everything synced, and of the rest what chance, drawn
    /// from `seed`, leaves.
    pub(super) fn after_power_cut(
        &self,
        seed: u64,
    ) -> (BTreeMap<String, FileId>, BTreeMap<FileId, Vec<u8>>) {
        let mut chance = Chance::new(seed);
        let mut names = self.names.clone();
        for event in &self.unsynced_names {
            if chance.keeps() {
                apply_to_names(&mut names, event);
            }
        }
        let survived = |(id, file): (&FileId, &File)| (*id, file.after_power_cut(&mut chance));
        let files = self.files.iter().map(survived).collect();
        (names, files)
    }
}

impl File {
    /// Each unsynced sector survives or not, whatever was written before or after it.
    fn after_power_cut(&self, chance: &mut Chance) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for event in &self.unsynced {
            match event {
                Event::SetLen { .. } if chance.keeps() => apply_to_bytes(&mut bytes, event),
                Event::Write { offset, bytes: written, .. } => {
                    keep_some_sectors(&mut bytes, *offset, written, chance);
                }
                _ => {}
            }
        }
        bytes
    }
}

fn keep_some_sectors(bytes: &mut Vec<u8>, offset: usize, written: &[u8], chance: &mut Chance) {
    let mut at = 0;
    while at < written.len() {
        let len = (SECTOR - (offset + at) % SECTOR).min(written.len() - at);
        if chance.keeps() {
            write_at(bytes, offset + at, written.get(at..at + len).unwrap_or_default());
        }
        at += len;
    }
}

pub(super) fn apply_to_names(names: &mut BTreeMap<String, FileId>, event: &Event) {
    match event {
        Event::Create { name, file } => {
            names.insert(name.clone(), *file);
        }
        Event::Rename { from, to } => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
        Event::Remove { name } => {
            names.remove(name);
        }
        _ => {}
    }
}

pub(super) fn apply_to_bytes(bytes: &mut Vec<u8>, event: &Event) {
    match event {
        Event::Write { offset, bytes: written, .. } => write_at(bytes, *offset, written),
        Event::SetLen { len, .. } => bytes.resize(*len, 0),
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

/// Decides what survives. Seeds 0 and 1 are the two extremes; every other mixes, with odds of its
/// own.
struct Chance {
    entropy: strongroom_types::entropy::SeededEntropy,
    /// Of 8, how many are kept.
    odds: u64,
}

impl Chance {
    fn new(seed: u64) -> Self {
        let odds = match seed {
            0 => 0,
            1 => 8,
            mixed => 1 + mixed % 7,
        };
        Self { entropy: strongroom_types::entropy::SeededEntropy::new(seed), odds }
    }

    fn keeps(&mut self) -> bool {
        self.entropy.next_u64() % 8 < self.odds
    }
}
