//! The restriction that Vault and OpenBao place on storage keys (`StorageEncoding`): a write or
//! removal fails if its key contains an unprintable character.

use strongroom_engine::{LEGACY_RECORD_PREFIX, StorageChange, StorageError};

/// Checks a change as those servers do. Applied also when the host simulates Strongroom, so that an
/// engine that passes its tests works under all servers. The simulated Strongroom differs only in
/// that it accepts removals of entries at their [old keys](LEGACY_RECORD_PREFIX).
pub(super) fn check_change(change: &StorageChange, foreign: bool) -> Result<(), StorageError> {
    let key = change.key();
    let leaves =
        matches!(change, StorageChange::Delete { .. }) && key.starts_with(LEGACY_RECORD_PREFIX);
    if is_printable(key) || (leaves && !foreign) {
        return Ok(());
    }
    Err(StorageError::Failed("key contains non-printable characters".to_owned()))
}

/// Whether Go's `unicode.IsPrint` is true for all characters: letters, marks, numbers, punctuation,
/// symbols and the ASCII space. Approximated by what the standard library's `escape_debug` leaves
/// unescaped, except for quotes, backslashes and marks (which it escapes only at the start of a
/// text). Characters newer than the server's Unicode version are rejected there but not here.
fn is_printable(key: &str) -> bool {
    let plain = |c: &char| !matches!(c, '"' | '\'' | '\\');
    let text: String = std::iter::once('a').chain(key.chars().filter(plain)).collect();
    text.escape_debug().eq(text.chars())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_judged_as_vault_and_openbao_judge_them() {
        let good = [
            "config",
            "a b",
            "ü/é",
            "e\u{301}",
            "\u{301}",
            "日本",
            "\u{1f600}",
            "\u{fffc}v1/a",
            "\u{fffd}",
            "\"'\\",
            "~",
            "€",
            "\u{e0100}",
        ];
        for key in good {
            assert!(is_printable(key), "{key:?}");
        }
        let bad = [
            "\u{1}v1/a",
            "a\tb",
            "a\nb",
            "\u{7f}",
            "\u{85}",
            "a\u{a0}b",
            "\u{ad}",
            "\u{200b}",
            "\u{2028}",
            "\u{202e}",
            "\u{3000}",
            "\u{e000}",
            "\u{feff}",
            "\u{fff9}",
            "\u{e0001}",
            "\u{10ffff}",
            "\u{378}",
        ];
        for key in bad {
            assert!(!is_printable(key), "{key:?}");
        }
    }

    #[test]
    fn legacy_keys_may_only_be_deleted_on_our_host() {
        let delete = StorageChange::Delete { key: "\u{1}v1/a".to_owned() };
        assert_eq!(check_change(&delete, false), Ok(()));
        assert!(check_change(&delete, true).is_err());
        let key = "\u{1}v1/a".to_owned();
        let put = StorageChange::Put { key, value: "x".into(), seal_wrap: false };
        assert!(check_change(&put, false).is_err());
    }
}
