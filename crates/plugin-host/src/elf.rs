//! Checks whether a file is an ELF program for this machine, so that a refusal can name the reason.
//!
//! The kernel decides in the end: whatever it might run passes, such as a 32-bit program on a
//! 64-bit machine.

use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use std::ffi::OsStr;

/// The first bytes of every ELF file.
pub const MAGIC: &[u8] = b"\x7fELF";

/// Why an ELF file can't be run on this machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ElfError {
    /// The file is truncated, or its header is inconsistent.
    #[error("its ELF header is damaged: {0}")]
    Damaged(&'static str),
    /// It was built for another processor architecture.
    #[error("it was built for {file} and this server runs on {server}; build it for {server}")]
    Architecture {
        /// The architecture that the file was built for.
        file: ElfArchitecture,
        /// The architecture of the server.
        server: &'static str,
    },
    /// It is a library, an object file or a core dump.
    #[error("it is {0} and not a program")]
    Kind(&'static str),
    /// The dynamic loader that it names does not exist.
    #[error(
        "its loader {} is not on this machine; build the plug-in statically (Go: CGO_ENABLED=0) \
         or install the C library that it was built with", .0.escape_debug()
    )]
    Loader(String),
    /// Reading the file failed.
    #[error("it can't be read: {0}")]
    Unreadable(String),
}

/// A processor architecture as given in an ELF header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ElfArchitecture {
    machine: u16,
    bits: u8,
    is_little_endian: bool,
}

const MACHINES: [(u16, &str); 10] = [
    (EM_386, "x86"),
    (8, "mips"),
    (20, "powerpc"),
    (21, "powerpc64"),
    (22, "s390x"),
    (EM_ARM, "arm"),
    (EM_X86_64, "x86_64"),
    (EM_AARCH64, "aarch64"),
    (EM_RISCV, "riscv64"),
    (258, "loongarch64"),
];
const EM_386: u16 = 3;
const EM_ARM: u16 = 40;
const EM_X86_64: u16 = 62;
const EM_AARCH64: u16 = 183;
const EM_RISCV: u16 = 243;

impl ElfArchitecture {
    fn known_name(self) -> Option<&'static str> {
        MACHINES.iter().find(|(machine, _)| *machine == self.machine).map(|(_, name)| *name)
    }

    /// Whether a kernel of the given architecture may be able to run it. For servers that aren't in
    /// the list this is always true.
    fn may_run_on(self, server: &str) -> bool {
        let Some(own) = MACHINES.iter().find(|(_, name)| *name == server) else { return true };
        let is_older_form =
            matches!((own.0, self.machine), (EM_X86_64, EM_386) | (EM_AARCH64, EM_ARM));
        (own.0 == self.machine || is_older_form)
            && self.is_little_endian == cfg!(target_endian = "little")
    }
}

impl fmt::Display for ElfArchitecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.known_name() {
            Some(name) => f.write_str(name)?,
            None => write!(f, "ELF machine {}", self.machine)?,
        }
        let order = if self.is_little_endian { "little" } else { "big" };
        write!(f, " ({} bits, {order}-endian)", self.bits)
    }
}

/// Checks a file that begins with [`MAGIC`]: its architecture, its type, and that its dynamic
/// loader exists.
pub fn check_executable(file: &impl FileExt) -> Result<(), ElfError> {
    let header = ElfHeader::read(file)?;
    let server = std::env::consts::ARCH;
    if !header.architecture.may_run_on(server) {
        return Err(ElfError::Architecture { file: header.architecture, server });
    }
    match header.kind {
        ET_EXEC => {}
        ET_DYN if header.entry != 0 => {}
        ET_DYN => return Err(ElfError::Kind("a shared library")),
        ET_REL => return Err(ElfError::Kind("an object file")),
        ET_CORE => return Err(ElfError::Kind("a core dump")),
        _ => return Err(ElfError::Kind("an ELF file of an unknown type")),
    }
    match header.read_loader(file)? {
        Some(loader) if !loader.is_file() => {
            Err(ElfError::Loader(truncate_for_display(&loader.to_string_lossy())))
        }
        _ => Ok(()),
    }
}

const ET_REL: u16 = 1;
const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const ET_CORE: u16 = 4;
const PT_INTERP: u32 = 3;
/// How many characters of a loader's path are shown.
const MAX_DISPLAYED_CHARS: usize = 200;
/// The kernel's limits for the segment table and the loader's path.
const MAX_SEGMENT_BYTES: usize = 64 * 1024;
const MAX_LOADER_PATH_BYTES: u64 = 4096;

struct ElfHeader {
    architecture: ElfArchitecture,
    kind: u16,
    entry: u64,
    segments: u64,
    segment_bytes: u16,
    segment_count: u16,
}

impl ElfHeader {
    fn read(file: &impl FileExt) -> Result<Self, ElfError> {
        let ident = read_at(file, 0, 16, "it is cut off")?;
        let bits = match ident.get(4) {
            Some(1) => 32,
            Some(2) => 64,
            _ => return Err(ElfError::Damaged("it is neither of 32 nor of 64 bits")),
        };
        let is_little_endian = match ident.get(5) {
            Some(1) => true,
            Some(2) => false,
            _ => return Err(ElfError::Damaged("it names no order of bytes")),
        };
        let length = if bits == 64 { 64 } else { 52 };
        let bytes =
            HeaderBytes { bytes: read_at(file, 0, length, "it is cut off")?, is_little_endian };
        let (entry, segments, sizes) = if bits == 64 {
            (bytes.u64_at(24), bytes.u64_at(32), 54)
        } else {
            (u64::from(bytes.u32_at(24)), u64::from(bytes.u32_at(28)), 42)
        };
        Ok(Self {
            architecture: ElfArchitecture { machine: bytes.u16_at(18), bits, is_little_endian },
            kind: bytes.u16_at(16),
            entry,
            segments,
            segment_bytes: bytes.u16_at(sizes),
            segment_count: bytes.u16_at(sizes + 2),
        })
    }

    /// The path of the dynamic loader, if the program names one.
    fn read_loader(&self, file: &impl FileExt) -> Result<Option<PathBuf>, ElfError> {
        let is_64 = self.architecture.bits == 64;
        let each = usize::from(self.segment_bytes);
        if each != if is_64 { 56 } else { 32 } {
            return Err(ElfError::Damaged("its segments have an unknown size"));
        }
        let total = each * usize::from(self.segment_count);
        if total == 0 || total > MAX_SEGMENT_BYTES {
            return Err(ElfError::Damaged("it has no segments or too many"));
        }
        let table = read_at(file, self.segments, total, "its table of segments is cut off")?;
        for segment in table.chunks_exact(each) {
            let is_little_endian = self.architecture.is_little_endian;
            let segment = HeaderBytes { bytes: segment.to_vec(), is_little_endian };
            if segment.u32_at(0) != PT_INTERP {
                continue;
            }
            let (offset, length) = if is_64 {
                (segment.u64_at(8), segment.u64_at(32))
            } else {
                (u64::from(segment.u32_at(4)), u64::from(segment.u32_at(16)))
            };
            if !(2..=MAX_LOADER_PATH_BYTES).contains(&length) {
                return Err(ElfError::Damaged("the name of its loader is empty or too long"));
            }
            let length = usize::try_from(length).unwrap_or_default();
            let name = read_at(file, offset, length, "the name of its loader is cut off")?;
            let Some((0, name)) = name.split_last() else {
                return Err(ElfError::Damaged("the name of its loader has no end"));
            };
            return Ok(Some(Path::new(OsStr::from_bytes(name)).to_owned()));
        }
        Ok(None)
    }
}

fn read_at(
    file: &impl FileExt,
    offset: u64,
    length: usize,
    cut_off: &'static str,
) -> Result<Vec<u8>, ElfError> {
    let mut bytes = vec![0; length];
    match file.read_exact_at(&mut bytes, offset) {
        Ok(()) => Ok(bytes),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput
            ) =>
        {
            Err(ElfError::Damaged(cut_off))
        }
        Err(error) => Err(ElfError::Unreadable(error.to_string())),
    }
}

fn truncate_for_display(text: &str) -> String {
    text.chars().take(MAX_DISPLAYED_CHARS).collect()
}

/// Header bytes, from which numbers are read in the file's byte order.
struct HeaderBytes {
    bytes: Vec<u8>,
    is_little_endian: bool,
}

impl HeaderBytes {
    fn bytes_at<const N: usize>(&self, at: usize) -> [u8; N] {
        let found = self.bytes.get(at..at + N).and_then(|part| part.try_into().ok());
        let mut number: [u8; N] = found.unwrap_or([0; N]);
        if !self.is_little_endian {
            number.reverse();
        }
        number
    }

    fn u16_at(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.bytes_at(at))
    }

    fn u32_at(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes_at(at))
    }

    fn u64_at(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes_at(at))
    }
}

/// A minimal program for this machine, valid as far as the headers are checked.
#[cfg(test)]
pub(crate) fn sample_elf(rest: &[u8]) -> Vec<u8> {
    let own = MACHINES.iter().find(|(_, name)| *name == std::env::consts::ARCH).unwrap().0;
    sample_elf_for(own, ET_EXEC, None, rest)
}

#[cfg(test)]
fn sample_elf_for(machine: u16, kind: u16, loader: Option<&str>, rest: &[u8]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend([2, 1, 1]);
    bytes.resize(16, 0);
    bytes.extend(kind.to_le_bytes());
    bytes.extend(machine.to_le_bytes());
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend(u64::from(kind == ET_EXEC).to_le_bytes());
    bytes.extend(64_u64.to_le_bytes());
    bytes.resize(52, 0);
    bytes.extend(64_u16.to_le_bytes());
    bytes.extend(56_u16.to_le_bytes());
    bytes.extend(1_u16.to_le_bytes());
    bytes.resize(64, 0);
    bytes.extend(if loader.is_some() { PT_INTERP } else { 1 }.to_le_bytes());
    bytes.resize(72, 0);
    bytes.extend(120_u64.to_le_bytes());
    bytes.resize(96, 0);
    let name = loader.map(|name| format!("{name}\0")).unwrap_or_default();
    bytes.extend((name.len() as u64).to_le_bytes());
    bytes.resize(120, 0);
    bytes.extend(name.as_bytes());
    bytes.extend(rest);
    bytes
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use super::*;

    fn check_content(content: &[u8]) -> Result<(), ElfError> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        check_executable(&file)
    }

    fn own_machine() -> u16 {
        MACHINES.iter().find(|(_, name)| *name == std::env::consts::ARCH).unwrap().0
    }

    #[test]
    fn programs_of_this_machine_pass() {
        check_executable(&File::open(std::env::current_exe().unwrap()).unwrap()).unwrap();
        check_executable(&File::open("/bin/sh").unwrap()).unwrap();
        check_content(&sample_elf(b"")).unwrap();
        assert!(
            ElfArchitecture { machine: EM_386, bits: 32, is_little_endian: true }
                .may_run_on("x86_64")
        );
    }

    #[test]
    fn a_program_of_another_machine_names_both() {
        let other = if own_machine() == EM_AARCH64 { EM_X86_64 } else { EM_AARCH64 };
        let said =
            check_content(&sample_elf_for(other, ET_EXEC, None, b"")).unwrap_err().to_string();
        let expected = format!(
            "it was built for {} (64 bits, little-endian) and this server runs on {}",
            if other == EM_AARCH64 { "aarch64" } else { "x86_64" },
            std::env::consts::ARCH,
        );
        assert!(said.starts_with(&expected), "{said}");
        let unknown =
            check_content(&sample_elf_for(9999, ET_EXEC, None, b"")).unwrap_err().to_string();
        assert!(unknown.contains("ELF machine 9999"), "{unknown}");
    }

    #[test]
    fn what_is_no_program_says_what_it_is() {
        for (kind, name) in [(ET_DYN, "shared library"), (ET_REL, "object file"), (9, "unknown")] {
            let said = check_content(&sample_elf_for(own_machine(), kind, None, b""))
                .unwrap_err()
                .to_string();
            assert!(said.contains(name), "{said}");
        }
    }

    #[test]
    fn a_loader_that_is_missing_is_named() {
        let with =
            |loader| check_content(&sample_elf_for(own_machine(), ET_EXEC, Some(loader), b""));
        with("/bin/sh").unwrap();
        let said = with("/lib/ld-musl-nowhere.so.1").unwrap_err().to_string();
        assert!(said.starts_with("its loader /lib/ld-musl-nowhere.so.1 is not on"), "{said}");
        let said = with(&format!("/\n{}", "x".repeat(3000))).unwrap_err().to_string();
        assert!(said.len() < 500 && !said.contains('\n'), "{said}");
    }

    #[test]
    fn a_damaged_header_is_no_program() {
        let whole = sample_elf_for(own_machine(), ET_EXEC, Some("/bin/sh"), b"");
        for length in 4..whole.len() {
            assert!(check_content(&whole[..length]).is_err(), "{length} bytes");
        }
        for at in [4, 5, 52 + 2, 52 + 4, 72 + 7, 96 + 7] {
            let mut damaged = whole.clone();
            damaged[at] = 0xff;
            let error = check_content(&damaged).unwrap_err();
            assert!(matches!(error, ElfError::Damaged(_)), "byte {at}: {error}");
        }
    }
}
