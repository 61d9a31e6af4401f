//! Security identifiers of Active Directory, which `tokenGroups` has in binary form.

use std::fmt::Write;

/// The text form of a security identifier, such as `S-1-5-21-1-2-3-513` (MS-DTYP, 2.4.2); `None` if the
/// bytes are none.
pub(crate) fn text_of_sid(bytes: &[u8]) -> Option<String> {
    let [1, count, authority @ ..] = bytes else { return None };
    let (authority, parts) = authority.split_at_checked(6)?;
    if parts.len() != usize::from(*count) * 4 || *count > 15 {
        return None;
    }
    let authority = authority.iter().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    let mut text = format!("S-1-{authority}");
    for part in parts.chunks_exact(4) {
        let part = u32::from_le_bytes(part.try_into().ok()?);
        write!(text, "-{part}").ok()?;
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_written_as_active_directory_does() {
        let domain_users = [
            1, 5, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0xff, 0xff, 0xff, 0xff, 1,
            2, 0, 0,
        ];
        let expected = "S-1-5-21-1-256-4294967295-513";
        assert_eq!(text_of_sid(&domain_users).as_deref(), Some(expected));
        for bad in [&[][..], &[1], &[2, 0, 0, 0, 0, 0, 0, 5], &[1, 1, 0, 0, 0, 0, 0, 5], &[1; 9]] {
            assert_eq!(text_of_sid(bad), None, "{bad:?}");
        }
    }
}
