use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};

use data_encoding::HEXLOWER;
use strongroom_crypto::digest::sha256;
use strongroom_types::entropy::SeededEntropy;

use super::*;

struct BinaryFixture {
    binaries: PluginBinaries,
    root: tempfile::TempDir,
}

fn elf_program() -> Vec<u8> {
    elf::sample_elf(b"and the rest")
}

fn binary_fixture() -> BinaryFixture {
    let root = tempfile::tempdir().unwrap();
    let (directory, copies) = (root.path().join("plugins"), root.path().join("copies"));
    fs::create_dir(&directory).unwrap();
    set_mode(&directory, 0o755);
    let binaries = PluginBinaries {
        directory,
        copies,
        allow_scripts: false,
        group_may_write: false,
        entropy: Arc::new(SeededEntropy::new(1)),
        kept_copies: KeptCopies::default(),
    };
    let place = BinaryFixture { binaries, root };
    place.write_plugin("custom", &elf_program());
    place
}

impl BinaryFixture {
    fn write_plugin(&self, name: &str, content: &[u8]) {
        let path = self.binaries.directory.join(name);
        fs::write(&path, content).unwrap();
        set_mode(&path, 0o755);
    }

    fn verify_original(&self, command: &str, content: &[u8]) -> Result<VerifiedBinary, Error> {
        self.binaries.verify(&launch_spec(command, content), BinarySource::Original)
    }

    fn refusal_text(&self, command: &str) -> String {
        self.verify_original(command, &elf_program()).unwrap_err().to_string()
    }
}

fn launch_spec(command: &str, content: &[u8]) -> LaunchSpec {
    LaunchSpec {
        name: "custom".to_owned(),
        kind: "secret",
        version: String::new(),
        command: command.to_owned(),
        args: Vec::new(),
        env: Vec::new(),
        sha256: HEXLOWER.encode(&sha256(content)),
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn content_of(program: &VerifiedBinary) -> Vec<u8> {
    let path = format!("/proc/self/fd/{}", program.file.as_raw_fd());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    fs::read(path).unwrap()
}

impl BinaryFixture {
    fn verify_any_copy(&self) -> Result<Vec<u8>, Error> {
        self.binaries
            .verify(&launch_spec("custom", &elf_program()), BinarySource::AnyCopy)
            .map(|program| content_of(&program))
    }

    fn remove_all_but(&self, needed: &BTreeSet<String>) {
        self.binaries.remove_all_but(needed, &self.binaries.kept_copies.begin_removal());
    }

    fn copy_path(&self) -> PathBuf {
        self.binaries.copies.join(copy_name(&launch_spec("custom", &elf_program())))
    }

    fn copy_paths(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.binaries.copies).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

#[test]
fn what_runs_is_made_of_a_private_copy() {
    let place = binary_fixture();
    let launched = place.verify_original("custom", &elf_program()).unwrap();
    assert!(!launched.is_script);
    assert_eq!(content_of(&launched), elf_program());
    assert_eq!(place.copy_paths(), [place.copy_path()]);
    assert_eq!(fs::read(place.copy_path()).unwrap(), elf_program());
    assert_eq!(fs::metadata(place.copy_path()).unwrap().mode() & 0o777, 0o500);
    assert_eq!(fs::metadata(&place.binaries.copies).unwrap().mode() & 0o777, 0o700);
    assert_eq!(place.verify_any_copy().unwrap(), elf_program());
}

#[test]
fn a_mount_goes_on_with_its_copy_and_a_registration_does_not() {
    let place = binary_fixture();
    place.verify_original("custom", &elf_program()).unwrap();
    place.write_plugin("custom", &elf::sample_elf(b"of another day"));
    assert_eq!(place.verify_any_copy().unwrap(), elf_program());
    assert!(place.refusal_text("custom").contains("checksums did not match"));
    assert_eq!(place.copy_paths().len(), 1, "nothing stays behind");
}

#[test]
fn a_copy_that_was_changed_is_not_run() {
    let place = binary_fixture();
    place.verify_original("custom", &elf_program()).unwrap();
    let change = || {
        set_mode(&place.copy_path(), 0o700);
        fs::write(place.copy_path(), elf::sample_elf(b"of a thief")).unwrap();
    };
    change();
    assert_eq!(place.verify_any_copy().unwrap(), elf_program());
    place.write_plugin("custom", &elf::sample_elf(b"other"));
    change();
    assert!(place.verify_any_copy().unwrap_err().to_string().contains("checksums did not match"));
}

/// A plug-in that runs as the server's user can write to the copies at any time.
#[test]
fn sr_2026_15_writing_to_the_copy_after_it_was_hashed_changes_nothing() {
    let place = binary_fixture();
    let launched = place.verify_original("custom", &elf_program()).unwrap();
    set_mode(&place.copy_path(), 0o700);
    fs::write(place.copy_path(), elf::sample_elf(b"of a thief")).unwrap();
    place.write_plugin("custom", &elf::sample_elf(b"of a thief"));
    assert_eq!(content_of(&launched), elf_program());
}

/// A private copy alone does not make a plug-in: a file of its name must be in the plug-in folder,
/// put there by an operator.
#[test]
fn cve_2026_105816_and_ghsa_j6wc_jpvg_xfxq_a_copy_is_not_started_by_its_digest_alone() {
    let place = binary_fixture();
    place.verify_original("custom", &elf_program()).unwrap();
    let digest = launch_spec("custom", &elf_program());
    for command in ["../../bin/busybox", "other", "/bin/busybox", "copies/custom", ""] {
        let restored = LaunchSpec { command: command.to_owned(), ..digest.clone() };
        let error = place.binaries.verify(&restored, BinarySource::AnyCopy).unwrap_err();
        assert!(matches!(error, Error::Command { .. }), "{command}: {error}");
    }
    place.write_plugin("other", &elf::sample_elf(b"other"));
    let restored = LaunchSpec { command: "other".to_owned(), ..digest.clone() };
    let error = place.binaries.verify(&restored, BinarySource::AnyCopy).unwrap_err();
    assert!(matches!(error, Error::Checksum { .. }), "{error}");
    for sha256 in ["", "00", "../custom", &"zz".repeat(32)] {
        let restored = LaunchSpec { sha256: sha256.to_owned(), ..digest.clone() };
        let error = place.binaries.verify(&restored, BinarySource::AnyCopy).unwrap_err();
        assert!(matches!(error, Error::Command { .. }), "{sha256}: {error}");
    }
    fs::remove_file(place.binaries.directory.join("custom")).unwrap();
    assert!(matches!(place.verify_any_copy(), Err(Error::Command { .. })));
    fs::remove_dir_all(&place.binaries.directory).unwrap();
    assert!(matches!(place.verify_any_copy(), Err(Error::Folder { .. })));
}

/// Each copy becomes visible in the catalog or the mount table only after the removal has read
/// them.
#[test]
fn a_copy_stays_for_whoever_registers_or_mounts_it_during_a_removal() {
    let (nothing, name) = (BTreeSet::new(), copy_name(&launch_spec("custom", &elf_program())));
    // It is guarded all the time.
    let place = binary_fixture();
    let keep = place.binaries.kept_copies.guard(name.clone());
    place.verify_original("custom", &elf_program()).unwrap();
    place.remove_all_but(&nothing);
    assert!(place.copy_path().exists());
    // It was guarded when the removal began, but not when the removal reaches the file.
    let removal = place.binaries.kept_copies.begin_removal();
    drop(keep);
    place.binaries.remove_all_but(&nothing, &removal);
    assert!(place.copy_path().exists());
    drop(removal);
    // It is guarded, created and released during the removal.
    place.remove_all_but(&nothing);
    assert!(!place.copy_path().exists(), "nobody needs it");
    let removal = place.binaries.kept_copies.begin_removal();
    let keep = place.binaries.kept_copies.guard(name);
    place.verify_original("custom", &elf_program()).unwrap();
    drop(keep);
    place.binaries.remove_all_but(&nothing, &removal);
    assert!(place.copy_path().exists());
    drop(removal);
    place.remove_all_but(&nothing);
    assert!(!place.copy_path().exists(), "nothing of the past keeps it");
}

/// The system's error texts are not shown, because the error may reach every client of a mount.
#[test]
fn what_the_system_refuses_is_said_in_our_words() {
    let place = binary_fixture();
    let refusal = place.refusal_text("missing");
    let said = "the plug-in command \"missing\" can't be used: it is not there (NotFound)";
    assert_eq!(refusal, said);
    symlink("round", place.binaries.directory.join("round")).unwrap();
    let refusal = place.refusal_text("round");
    assert!(refusal.ends_with("the system refused it (error 40)"), "{refusal}");
    fs::remove_dir_all(&place.binaries.directory).unwrap();
    let error = place.verify_original("custom", &elf_program()).unwrap_err();
    assert!(
        error.details().ends_with("/plugins: it is not there (NotFound)"),
        "{}",
        error.details()
    );
}

#[test]
fn cve_2026_105816_copies_that_nothing_needs_go() {
    let place = binary_fixture();
    place.verify_original("custom", &elf_program()).unwrap();
    let old = place.binaries.copies.join("ab".repeat(32));
    let other = place.binaries.copies.join("note");
    fs::write(&old, "named by its digest alone").unwrap();
    fs::write(&other, "not a copy").unwrap();
    place.remove_all_but(&BTreeSet::from([copy_name(&launch_spec("custom", &elf_program()))]));
    let mut left = place.copy_paths();
    left.sort();
    assert_eq!(left, [place.copy_path(), other.clone()]);
    place.remove_all_but(&BTreeSet::new());
    assert_eq!(place.copy_paths(), [other]);
    place.write_plugin("custom", &elf::sample_elf(b"of another day"));
    assert!(matches!(place.verify_any_copy(), Err(Error::Checksum { .. })));
}

#[test]
fn only_files_directly_in_the_folder_are_run() {
    let place = binary_fixture();
    let outside = place.root.path().join("outside");
    fs::write(&outside, elf_program()).unwrap();
    set_mode(&outside, 0o755);
    let plugins = &place.binaries.directory;
    symlink(&outside, plugins.join("out")).unwrap();
    symlink("custom", plugins.join("alias")).unwrap();
    fs::create_dir(plugins.join("folder")).unwrap();
    for command in ["out", "folder", "../outside", "/etc/passwd", "a/../custom", "", ".", ".."] {
        let error = place.verify_original(command, &elf_program()).unwrap_err();
        assert!(matches!(error, Error::Command { .. }), "{command}: {error}");
    }
    place.verify_original("alias", &elf_program()).unwrap();
}

#[test]
fn files_writable_by_others_are_not_run() {
    let place = binary_fixture();
    let (folder, file) =
        (place.binaries.directory.clone(), place.binaries.directory.join("custom"));
    for mode in [0o775, 0o757] {
        set_mode(&file, mode);
        assert!(place.refusal_text("custom").contains("may write to it"), "file {mode:o}");
        set_mode(&file, 0o755);
        set_mode(&folder, mode);
        assert!(place.refusal_text("custom").contains("may write to it"), "folder {mode:o}");
        set_mode(&folder, 0o755);
    }
    place.verify_original("custom", &elf_program()).unwrap();
    set_mode(&place.binaries.copies, 0o750);
    assert!(place.refusal_text("custom").contains("others than its owner"));
}

#[test]
fn a_developers_files_may_be_open_to_their_own_group_and_nobody_else() {
    let mut place = binary_fixture();
    place.binaries.group_may_write = true;
    let (folder, file) =
        (place.binaries.directory.clone(), place.binaries.directory.join("custom"));
    set_mode(&folder, 0o775);
    set_mode(&file, 0o775);
    place.verify_original("custom", &elf_program()).unwrap();
    set_mode(&file, 0o777);
    assert!(place.refusal_text("custom").contains("may write to it"));
    set_mode(&file, 0o775);
    set_mode(&folder, 0o777);
    assert!(place.refusal_text("custom").contains("may write to it"));
}

#[test]
fn scripts_are_run_only_when_allowed() {
    let mut place = binary_fixture();
    let script = b"#!/bin/sh\n";
    place.write_plugin("script", script);
    let refused = place.verify_original("script", script).unwrap_err().to_string();
    assert!(refused.contains("plugin_allow_scripts"), "{refused}");
    place.binaries.allow_scripts = true;
    assert!(place.verify_original("script", script).unwrap().is_script);
    place.write_plugin("text", b"true");
    let refused = place.verify_original("text", b"true").unwrap_err().to_string();
    assert!(refused.contains("begins with #!"), "{refused}");
}

#[test]
fn binaries_of_another_architecture_are_not_run() {
    let place = binary_fixture();
    let mut other = elf_program();
    other[18..20].copy_from_slice(&9999_u16.to_le_bytes());
    place.write_plugin("custom", &other);
    let refused = place.verify_original("custom", &other).unwrap_err().to_string();
    assert!(refused.contains("it was built for ELF machine 9999"), "{refused}");
}

#[test]
fn unfinished_copies_go_at_the_start() {
    let place = binary_fixture();
    place.verify_original("custom", &elf_program()).unwrap();
    fs::write(place.binaries.copies.join("x.unfinished"), "x").unwrap();
    place.binaries.remove_unfinished();
    assert_eq!(place.copy_paths(), [place.copy_path()]);
}
