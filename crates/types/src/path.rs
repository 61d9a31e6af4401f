//! Request paths and mount paths. What is built here is normal: no empty, `.` or `..` segment, no
//! invisible character. Policies, routing and storage may compare such paths byte by byte.

use std::fmt;

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPath {
    /// A `.` or `..` segment.
    #[error("relative paths not supported")]
    Relative,
    /// Two slashes in a row, or a slash in front.
    #[error("path must not contain empty segments")]
    EmptySegment,
    /// A control, format or other invisible character.
    #[error("path must contain printable characters only")]
    Unprintable,
    /// Longer than [`MAX_PATH_BYTES`].
    #[error("path is longer than {MAX_PATH_BYTES} bytes")]
    TooLong,
    /// Nothing there.
    #[error("path must not be empty")]
    Empty,
}

/// The longest path that is looked at.
pub const MAX_PATH_BYTES: usize = 4096;

/// The path of a request below `/v1/`, percent-decoded, without a leading slash. A trailing slash
/// is kept: it is significant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestPath(String);

impl RequestPath {
    /// Takes a decoded path, or refuses it.
    pub fn parse(path: &str) -> Result<Self, InvalidPath> {
        check_segments(path)?;
        Ok(Self(path.to_owned()))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path with a slash at its end, as list operations are routed and judged.
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

/// Where an engine is mounted: `secret/`, `team/kv/`. No leading slash, always a trailing one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MountPath(String);

impl MountPath {
    /// Accepts the path with or without slashes around it.
    pub fn parse(path: &str) -> Result<Self, InvalidPath> {
        let trimmed = path.trim_matches('/');
        if trimmed.is_empty() {
            return Err(InvalidPath::Empty);
        }
        check_segments(trimmed)?;
        Ok(Self(format!("{trimmed}/")))
    }

    /// The path with its trailing slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether one of the two lies at or under the other, so that both can't be mounted.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0) || other.0.starts_with(&self.0)
    }
}

impl fmt::Display for MountPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The checks every path passes before anything decides over it.
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

/// Whether a character shows: no control, format, separator or byte-order character.
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

        /// Two mounts overlap exactly if a path could lie under both.
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
