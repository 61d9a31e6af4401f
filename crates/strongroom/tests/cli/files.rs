//! Commands that change files.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::process::strongroom_command;

#[test]
fn policy_fmt_rewrites_the_file() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("policy.hcl");
    fs::write(&file, include_str!("../cmd/files/messy.hcl")).unwrap();
    fs::set_permissions(&file, PermissionsExt::from_mode(0o640)).unwrap();
    let link = home.path().join("link.hcl");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    for name in ["~/link.hcl", "~/policy.hcl"] {
        let done = strongroom_command(home.path(), &["policy", "fmt", name]).output().unwrap();
        let told = String::from_utf8(done.stdout).unwrap();
        assert_eq!(told, format!("Success! Formatted policy: {name}\n"));
        assert_eq!(fs::read_to_string(&file).unwrap(), include_str!("../cmd/files/tidy.hcl"));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(link.is_symlink());
    }
}

#[test]
fn completion_is_written_where_shells_read_it() {
    let home = tempfile::tempdir().unwrap();
    let run = |flag| strongroom_command(home.path(), &[flag]).output().unwrap();
    let nowhere = run("-autocomplete-install");
    assert_eq!(nowhere.status.code(), Some(1));
    fs::write(home.path().join(".bashrc"), "").unwrap();
    let text = || fs::read_to_string(home.path().join(".bashrc")).unwrap();
    assert_eq!(run("-autocomplete-install").status.code(), Some(0));
    assert_eq!(text(), "complete -o default -C strongroom strongroom\n");
    assert_eq!(run("-autocomplete-uninstall").status.code(), Some(0));
    assert_eq!(text(), "");
}

#[test]
fn shell_completion_is_answered() {
    let home = tempfile::tempdir().unwrap();
    let done = strongroom_command(home.path(), &["strongroom", "--mo", "get"])
        .env("COMP_LINE", "strongroom kv get --mo")
        .env("COMP_POINT", "22")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(done.stdout).unwrap(), "--mount\n");
}
