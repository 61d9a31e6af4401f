//! Request paths and mount paths. Values built here are normalised: no empty, `.` or `..` segment
//! and no invisible character, so policies, routing and storage can compare them byte by byte.

use std::fmt;

/// Why a path is refused. The messages contain no part of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPath {
    /// The path has a `.` or `..` segment.
    #[error("relative paths not supported")]
    Relative,
    /// The path has two slashes in a row, or a leading slash.
    #[error("path must not contain empty segments")]
    EmptySegment,
    /// The path contains a control, format or other invisible character.
    #[error("path must contain printable characters only")]
    Unprintable,
    /// The path is longer than [`MAX_PATH_BYTES`].
    #[error("path is longer than {MAX_PATH_BYTES} bytes")]
    TooLong,
    /// A mount path is empty or consists of slashes only.
    #[error("path must not be empty")]
    Empty,
}

/// The maximum length of a path in bytes; longer ones are refused with [`InvalidPath::TooLong`].
pub const MAX_PATH_BYTES: usize = 4096;

/// The path of a request below `/v1/`, percent-decoded, without a leading slash. A trailing slash
/// is significant and is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestPath(String);

impl RequestPath {
    /// Checks a percent-decoded path and keeps it unchanged. An empty path is valid.
    ///
    /// # Errors
    ///
    /// If the path is too long, unprintable, or has an empty, `.` or `..` segment.
    pub fn parse(path: &str) -> Result<Self, InvalidPath> {
        check_segments(path)?;
        Ok(Self(path.to_owned()))
    }

    /// The path as text, without a leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path with a trailing slash added if it isn't empty, the form in which list operations
    /// are routed and authorised.
    #[must_use]
    pub fn as_folder(&self) -> Self {
        if self.0.is_empty() || self.0.ends_with('/') {
            self.clone()
        } else {
            Self(format!("{}/", self.0))
        }
    }
}

impl fmt::Display for RequestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The path an engine is mounted at: `secret/`, `team/kv/`. No leading slash, always a trailing
/// one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MountPath(String);

impl MountPath {
    /// Accepts the path with or without leading and trailing slashes.
    ///
    /// # Errors
    ///
    /// If the path is empty, too long, unprintable, or has an empty, `.` or `..` segment.
    pub fn parse(path: &str) -> Result<Self, InvalidPath> {
        let trimmed = path.trim_matches('/');
        if trimmed.is_empty() {
            return Err(InvalidPath::Empty);
        }
        check_segments(trimmed)?;
        Ok(Self(format!("{trimmed}/")))
    }

    /// The path as text, with its trailing slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether one of the two paths is a prefix of the other, in which case only one can be
    /// mounted.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0) || other.0.starts_with(&self.0)
    }
}

impl fmt::Display for MountPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The checks that every request path and mount path passes before it is routed or authorised.
///
/// # Errors
///
/// If the path is too long, unprintable, or has an empty, `.` or `..` segment.
pub fn check_segments(path: &str) -> Result<(), InvalidPath> {
    if path.len() > MAX_PATH_BYTES {
        return Err(InvalidPath::TooLong);
    }
    if !path.chars().all(is_printable) {
        return Err(InvalidPath::Unprintable);
    }
    let body = path.strip_suffix('/').unwrap_or(path);
    if body.is_empty() {
        return if path.is_empty() { Ok(()) } else { Err(InvalidPath::EmptySegment) };
    }
    for segment in body.split('/') {
        match segment {
            "" => return Err(InvalidPath::EmptySegment),
            "." | ".." => return Err(InvalidPath::Relative),
            _ => {}
        }
    }
    Ok(())
}

/// Whether a character is visible: not a control, format, separator or byte-order character.
pub fn is_printable(c: char) -> bool {
    !c.is_control()
        && !matches!(u32::from(c),
            0x00AD | 0x061C | 0x180E | 0x200B..=0x200F | 0x2028..=0x202E | 0x2060..=0x206F
            | 0xFEFF | 0xFFF0..=0xFFFF | 0xE0000..=0xE0FFF | 0x10FFFE | 0x10FFFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_paths_are_normal_or_refused() {
        for good in ["", "sys/mounts", "secret/a b", "secret/foo/", "secret/a..b", "secret/ü"] {
            assert_eq!(RequestPath::parse(good).unwrap().as_str(), good);
        }
        let bad = [
            ("a/../b", InvalidPath::Relative),
            ("..", InvalidPath::Relative),
            ("a/.", InvalidPath::Relative),
            ("a/./", InvalidPath::Relative),
            ("a//b", InvalidPath::EmptySegment),
            ("/a", InvalidPath::EmptySegment),
            ("/", InvalidPath::EmptySegment),
            ("a//", InvalidPath::EmptySegment),
            ("a\u{1}b", InvalidPath::Unprintable),
            ("a\u{200b}b", InvalidPath::Unprintable),
            ("a\u{202e}b", InvalidPath::Unprintable),
        ];
        for (path, error) in bad {
            assert_eq!(RequestPath::parse(path), Err(error), "{path:?}");
        }
        assert_eq!(RequestPath::parse(&"a".repeat(4097)), Err(InvalidPath::TooLong));
    }

    #[test]
    fn mount_paths_get_their_slash() {
        for text in ["kv", "/kv", "kv/", "/kv/"] {
            assert_eq!(MountPath::parse(text).unwrap().as_str(), "kv/");
        }
        for text in ["", "/", "a//b", "../a", "a/./b"] {
            assert!(MountPath::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn overlapping_mounts_are_seen_in_both_directions() {
        let path = |text| MountPath::parse(text).unwrap();
        assert!(path("a").overlaps(&path("a/b")));
        assert!(path("a/b").overlaps(&path("a")));
        assert!(path("a").overlaps(&path("a")));
        assert!(!path("a").overlaps(&path("ab")));
    }

    proptest::proptest! {
        #[test]
        fn a_path_is_accepted_as_it_is_or_refused(path in "(/|\\.|\\.\\.|a|ü| |\u{0}|\u{200b}|\u{202e}){0,8}") {
            let clean = |segment: &str| !matches!(segment, "" | "." | "..");
            let body = path.strip_suffix('/').unwrap_or(&path);
            let normal = path.is_empty() || body.split('/').all(clean);
            let shows = !path.contains(['\0', '\u{200b}', '\u{202e}']);
            let parsed = RequestPath::parse(&path);
            proptest::prop_assert_eq!(parsed.is_ok(), normal && shows, "{:?}", path);
            if let Ok(parsed) = parsed {
                proptest::prop_assert_eq!(parsed.as_str(), &path);
            }
        }

        /// Two mounts overlap exactly if some path could lie under both.
        #[test]
        fn mounts_overlap_when_one_lies_below_the_other(a in "[ab](/[ab]){0,3}", b in "[ab](/[ab]){0,3}") {
            let (one, other) = (MountPath::parse(&a).unwrap(), MountPath::parse(&b).unwrap());
            let below = |x: &str, y: &str| format!("{x}/").starts_with(&format!("{y}/"));
            proptest::prop_assert_eq!(one.overlaps(&other), below(&a, &b) || below(&b, &a));
            proptest::prop_assert_eq!(one.overlaps(&other), other.overlaps(&one));
        }

        #[test]
        fn accepted_paths_have_no_relative_segment(path in "[a./]{0,12}") {
            if let Ok(path) = RequestPath::parse(&path) {
                let joined = format!("/{path}/");
                proptest::prop_assert!(!joined.contains("/../") && !joined.contains("/./"));
            }
        }
    }
}
