//! Properties that hold for every input. Shared by the fuzz targets and the crate's tests.
#![allow(dead_code, reason = "each target takes one of them")]

use std::io;
use std::os::unix::fs::FileExt;

use strongroom_plugin_host::LaunchSpec;
use strongroom_plugin_host::elf;
use strongroom_plugin_host::trust::TrustList;

/// The content of a file, in memory.
struct InMemory<'a>(&'a [u8]);

impl FileExt for InMemory<'_> {
    fn read_at(&self, to: &mut [u8], offset: u64) -> io::Result<usize> {
        let from = usize::try_from(offset).ok().and_then(|offset| self.0.get(offset..));
        let from = from.unwrap_or_default();
        let length = from.len().min(to.len());
        to[..length].copy_from_slice(&from[..length]);
        Ok(length)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Checks the input as a program: nothing beyond its end is read, and a refusal is one short line.
pub(crate) fn any_program(bytes: &[u8]) {
    if let Err(error) = elf::check_executable(&InMemory(bytes)) {
        let text = error.to_string();
        assert!(!text.chars().any(char::is_control) && text.len() < 4000, "{text}");
    }
}

/// Parses the input as a trust file: an error is one line, and a file that doesn't name a digest
/// doesn't allow it.
pub(crate) fn any_trust_file(bytes: &[u8]) {
    match TrustList::parse(bytes) {
        Ok(list) => {
            let unnamed = LaunchSpec {
                name: "custom".to_owned(),
                kind: "secret",
                version: String::new(),
                command: "custom".to_owned(),
                args: Vec::new(),
                env: Vec::new(),
                sha256: "00".repeat(32),
            };
            if !bytes.windows(64).any(|part| part == unnamed.sha256.as_bytes()) {
                assert!(list.allowing_block(&unnamed).is_err());
            }
        }
        Err(error) => assert!(!error.contains('\n'), "{error}"),
    }
}
