//! [`RoutePattern`]: declared paths, such as `config`, `roles/{name}` and `{path..}`.

use strongroom_types::path::check_segments;

/// A declared path. `{name}` matches one segment that is a valid name, `{name@}` also one with an
/// `@` in it, and `{name..}` one or more segments of any form; only literal segments may follow the
/// latter. The forms are those of [`CaptureForm`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutePattern {
    text: &'static str,
    segments: Vec<PatternSegment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PatternSegment {
    Literal(&'static str),
    Name(&'static str),
    NameWithAt(&'static str),
    Rest(&'static str),
}

/// Which values a capture takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaptureForm {
    /// `{name}`: one segment of letters, digits, `_`, `-` and `.`; see [`is_name`].
    Name,
    /// `{name@}`: the same with `@`, for e-mail addresses; see [`is_name_with_at`].
    NameWithAt,
    /// `{name..}`: one or more segments. The names of documents have the form that
    /// [`check_path_name`] checks.
    Rest,
}

impl CaptureForm {
    fn check_name(self, name: &str) -> Result<(), InvalidName> {
        match self {
            Self::Name if !is_name(name) => Err(InvalidName::Name),
            Self::NameWithAt if !is_name_with_at(name) => Err(InvalidName::NameWithAt),
            Self::Rest => check_path_name(name),
            Self::Name | Self::NameWithAt => Ok(()),
        }
    }

    /// How a capture of this form is declared: `{name@}`.
    pub fn declaration(self, name: &str) -> String {
        match self {
            Self::Name => format!("{{{name}}}"),
            Self::NameWithAt => format!("{{{name}@}}"),
            Self::Rest => format!("{{{name}..}}"),
        }
    }
}

/// The values that the captures of a pattern have in one path, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathCaptures(Vec<(&'static str, String)>);

impl PathCaptures {
    /// The names and values of the captures, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// The value of the first capture; empty if there is none.
    pub fn first_value(&self) -> &str {
        self.0.first().map_or("", |(_, value)| value.as_str())
    }
}

impl RoutePattern {
    /// Parses a declared path. Mistakes in it are reported when an engine with that path is opened.
    pub fn new(text: &'static str) -> Self {
        let segment = |part: &'static str| match part
            .strip_prefix('{')
            .and_then(|part| part.strip_suffix('}'))
        {
            None => PatternSegment::Literal(part),
            Some(name) => match (name.strip_suffix(".."), name.strip_suffix('@')) {
                (Some(name), _) => PatternSegment::Rest(name),
                (None, Some(name)) => PatternSegment::NameWithAt(name),
                (None, None) => PatternSegment::Name(name),
            },
        };
        Self { text, segments: text.split('/').map(segment).collect() }
    }

    /// The pattern as it was declared.
    pub fn as_str(&self) -> &'static str {
        self.text
    }

    /// Matches a whole path; `None` if it doesn't match.
    pub fn match_path(&self, path: &str) -> Option<PathCaptures> {
        let mut captures = PathCaptures::default();
        let mut rest = Some(path);
        for (index, segment) in self.segments.iter().enumerate() {
            let here = rest?;
            let (part, behind) = match here.split_once('/') {
                Some((part, behind)) => (part, Some(behind)),
                None => (here, None),
            };
            match segment {
                PatternSegment::Literal(literal) if *literal == part => rest = behind,
                PatternSegment::Name(name) if is_name(part) => {
                    captures.0.push((name, part.to_owned()));
                    rest = behind;
                }
                PatternSegment::NameWithAt(name) if is_name_with_at(part) => {
                    captures.0.push((name, part.to_owned()));
                    rest = behind;
                }
                PatternSegment::Rest(name) => {
                    let tail = self.segments.get(index + 1..).unwrap_or_default();
                    let value = strip_literal_tail(here, tail)?;
                    captures.0.push((name, value.to_owned()));
                    return Some(captures);
                }
                _ => return None,
            }
        }
        rest.is_none().then_some(captures)
    }

    /// The folder whose names the last capture stands for: `roles/` for `roles/{name}`.
    pub fn list_folder(&self) -> Option<&'static str> {
        match self.segments.last()? {
            PatternSegment::Literal(_) => None,
            PatternSegment::Name(_) | PatternSegment::NameWithAt(_) | PatternSegment::Rest(_) => {
                Some(self.text.rfind('{').and_then(|at| self.text.get(..at)).unwrap_or(""))
            }
        }
    }

    /// The part of a folder's path that the last capture stands for: empty for `roles/` at
    /// `roles/{name}`, and `a/` for `roles/a/`. `None` if the folder has no such names.
    pub fn match_folder<'p>(&self, folder: &'p str) -> Option<&'p str> {
        let (last, above) = self.segments.split_last()?;
        let mut below = folder;
        for segment in above {
            let (part, behind) = below.split_once('/')?;
            let fits = match segment {
                PatternSegment::Literal(literal) => *literal == part,
                PatternSegment::Name(_) => is_name(part),
                PatternSegment::NameWithAt(_) => is_name_with_at(part),
                PatternSegment::Rest(_) => false,
            };
            if !fits {
                return None;
            }
            below = behind;
        }
        (!matches!(last, PatternSegment::Literal(_))).then_some(below)
    }

    /// The names and the forms of the captures, in order.
    pub fn captures(&self) -> impl Iterator<Item = (&'static str, CaptureForm)> {
        self.segments.iter().filter_map(PatternSegment::as_capture)
    }

    /// Why the values of the captures can't name a document, if they can't.
    ///
    /// # Errors
    ///
    /// What is wrong with the values.
    pub fn check_captures(&self, values: &[&str]) -> Result<(), InvalidName> {
        let mut values = values.iter();
        for (_, form) in self.captures() {
            form.check_name(values.next().ok_or(InvalidName::Count)?)?;
        }
        if values.next().is_some() { Err(InvalidName::Count) } else { Ok(()) }
    }

    /// The storage folder of the documents of a collection. `values` are those of the captures above
    /// the last one, and for a capture of several segments, if wanted, a folder that the names
    /// begin with.
    ///
    /// # Errors
    ///
    /// [`InvalidName::Count`] if the pattern is no collection or has another number of captures;
    /// what is wrong with a value.
    pub fn folder_key(&self, values: &[&str]) -> Result<String, InvalidName> {
        let captures: Vec<_> = self.captures().collect();
        let last = captures.last().filter(|_| self.list_folder().is_some());
        let (_, last) = last.ok_or(InvalidName::Count)?;
        let above = captures.len().saturating_sub(1);
        let (names, folder) = values.split_at_checked(above).ok_or(InvalidName::Count)?;
        for ((_, form), name) in captures.iter().zip(names) {
            form.check_name(name)?;
        }
        let folder = match (last, folder) {
            (_, []) => String::new(),
            (CaptureForm::Rest, [folder]) => {
                let folder = folder.strip_suffix('/').unwrap_or(folder);
                check_path_name(folder)?;
                format!("{folder}/")
            }
            _ => return Err(InvalidName::Count),
        };
        Ok(self.storage_key(&[names, &[folder.as_str()]].concat()))
    }

    /// Whether all segments up to the last capture also begin the other path.
    pub fn is_start_of(&self, other: &Self) -> bool {
        let captures = |segment: &PatternSegment| segment.as_capture().is_some();
        let end = self.segments.iter().rposition(captures).map_or(0, |last| last + 1);
        let start = self.segments.get(..end).unwrap_or_default();
        let matches = |(own, other): (&PatternSegment, &PatternSegment)| match (own, other) {
            (PatternSegment::Literal(own), PatternSegment::Literal(other)) => own == other,
            _ => own.as_capture().is_some() && other.as_capture().is_some(),
        };
        other.segments.len() >= start.len() && start.iter().zip(&other.segments).all(matches)
    }

    /// The first capture of the other path that stands where this one has a capture of another
    /// form, with the form that it has here.
    pub fn differing_capture(&self, other: &Self) -> Option<(&'static str, CaptureForm)> {
        for (own, other) in self.segments.iter().zip(&other.segments) {
            match (own.as_capture(), other.as_capture()) {
                (None, None) if own == other => {}
                (Some((_, form)), Some((name, others))) if form != others => {
                    return Some((name, form));
                }
                (Some(_), Some(_)) => {}
                _ => return None,
            }
        }
        None
    }

    /// Whether the last segment is a capture of several segments.
    pub fn ends_in_rest(&self) -> bool {
        matches!(self.segments.last(), Some(PatternSegment::Rest(_)))
    }

    /// The storage key of the document with these captures.
    pub fn storage_key(&self, captures: &[&str]) -> String {
        let mut values = captures.iter();
        let mut key = String::with_capacity(self.text.len() + 16);
        for (index, segment) in self.segments.iter().enumerate() {
            if index > 0 {
                key.push('/');
            }
            match segment {
                PatternSegment::Literal(literal) => key.push_str(literal),
                PatternSegment::Name(_)
                | PatternSegment::NameWithAt(_)
                | PatternSegment::Rest(_) => {
                    key.push_str(values.next().copied().unwrap_or_default());
                }
            }
        }
        key
    }

    /// A path that matches this pattern, and that is unlikely to match a more specific one.
    pub fn example_path(&self) -> String {
        let part = |segment: &PatternSegment| match segment {
            PatternSegment::Literal(literal) => *literal,
            PatternSegment::Name(_) | PatternSegment::NameWithAt(_) => "an-example",
            PatternSegment::Rest(_) => "an-example/of/many",
        };
        self.segments.iter().map(part).collect::<Vec<_>>().join("/")
    }

    /// Why the declaration is invalid, if it is: no path could match it, or a capture would have no
    /// value.
    pub fn declaration_error(&self) -> Option<&'static str> {
        let mut names = Vec::new();
        for (index, segment) in self.segments.iter().enumerate() {
            let name = match segment {
                PatternSegment::Literal("") => return Some("a segment is empty"),
                PatternSegment::Literal(text) if text.contains(['{', '}']) => {
                    return Some("a capture is a whole segment, such as {name}");
                }
                PatternSegment::Literal(_) => continue,
                PatternSegment::Name(name)
                | PatternSegment::NameWithAt(name)
                | PatternSegment::Rest(name) => name,
            };
            if name.is_empty() {
                return Some("a capture has no name");
            }
            if !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')) {
                return Some("a capture is written {name}, {name@} or {name..}");
            }
            if names.contains(name) {
                return Some("two captures have one name");
            }
            names.push(name);
            let behind = self.segments.get(index + 1..).unwrap_or_default();
            let literal = |segment: &PatternSegment| matches!(segment, PatternSegment::Literal(_));
            if matches!(segment, PatternSegment::Rest(_)) && !behind.iter().all(literal) {
                return Some("behind a capture of many segments only literal ones may follow");
            }
        }
        None
    }

    /// Whether a path below this top-level folder can match.
    pub fn reaches_into(&self, folder: &str) -> bool {
        match self.segments.first() {
            Some(PatternSegment::Literal(literal)) => *literal == folder && self.segments.len() > 1,
            Some(PatternSegment::Name(_) | PatternSegment::NameWithAt(_)) => {
                self.segments.len() > 1
            }
            Some(PatternSegment::Rest(_)) => true,
            None => false,
        }
    }

    /// The form used in special paths, with `+` for a name and `*` for several segments.
    pub fn to_special_path(&self) -> String {
        let part = |segment: &PatternSegment| match segment {
            PatternSegment::Literal(literal) => *literal,
            PatternSegment::Name(_) | PatternSegment::NameWithAt(_) => "+",
            PatternSegment::Rest(_) => "*",
        };
        self.segments.iter().map(part).collect::<Vec<_>>().join("/")
    }
}

impl PatternSegment {
    fn as_capture(&self) -> Option<(&'static str, CaptureForm)> {
        match self {
            Self::Literal(_) => None,
            Self::Name(name) => Some((name, CaptureForm::Name)),
            Self::NameWithAt(name) => Some((name, CaptureForm::NameWithAt)),
            Self::Rest(name) => Some((name, CaptureForm::Rest)),
        }
    }
}

/// Why a text can't name a document. The messages contain no part of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidName {
    /// The path has another number of captures. The engine's code is wrong, not the client.
    #[error("the path has another number of captures")]
    Count,
    /// The text isn't of the form of `{name}`.
    #[error(
        "a name consists of letters, digits, '_', '-' and '.', and begins and ends with a letter, \
         digit or '_'"
    )]
    Name,
    /// The text isn't of the form of `{name@}`.
    #[error(
        "a name consists of letters, digits, '_', '-', '.' and '@', and begins and ends with a \
         letter, digit or '_'"
    )]
    NameWithAt,
    /// The text ends in a slash, which names a folder.
    #[error("cannot write to a path ending in '/'")]
    Folder,
    /// The text is empty, too long or unprintable, or has an empty, `.` or `..` segment.
    #[error("a name has between 1 and 4000 visible bytes, and no empty, '.' or '..' segment")]
    Segments,
    /// The text has a percent sign before two hexadecimal digits. A client that encodes or decodes
    /// a path once too often would reach another object.
    #[error("a name can't contain percent-encoded characters")]
    PercentEncoded,
}

/// The maximum length of a name of several segments, in bytes.
const MAX_PATH_NAME_BYTES: usize = 4000;

/// Checks the name of a document at `{name..}`: one or more segments of visible characters.
///
/// # Errors
///
/// [`InvalidName::Folder`], [`InvalidName::Segments`] or [`InvalidName::PercentEncoded`].
pub fn check_path_name(name: &str) -> Result<(), InvalidName> {
    if name.ends_with('/') {
        return Err(InvalidName::Folder);
    }
    if name.is_empty() || name.len() > MAX_PATH_NAME_BYTES || check_segments(name).is_err() {
        return Err(InvalidName::Segments);
    }
    let is_encoded = |triple: &[u8]| match triple {
        [b'%', high, low] => high.is_ascii_hexdigit() && low.is_ascii_hexdigit(),
        _ => false,
    };
    match name.as_bytes().windows(3).any(is_encoded) {
        true => Err(InvalidName::PercentEncoded),
        false => Ok(()),
    }
}

/// The path without the literal segments at its end; `None` if it doesn't end in them.
fn strip_literal_tail<'p>(path: &'p str, tail: &[PatternSegment]) -> Option<&'p str> {
    let mut left = path;
    for segment in tail.iter().rev() {
        let PatternSegment::Literal(literal) = segment else { return None };
        left = left.strip_suffix(literal)?.strip_suffix('/')?;
    }
    (!left.is_empty()).then_some(left)
}

/// Whether a text consists of letters, digits, `_`, `-` and `.`, and begins and ends with a letter,
/// digit or `_`: what Vault's engines accept as a name.
pub fn is_name(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.starts_with(word)
        && text.ends_with(word)
        && text.chars().all(|c| word(c) || c == '-' || c == '.')
}

/// Whether a text is a [name](is_name) except that it may also contain `@`, such as an e-mail
/// address. Vault's name for the form is `GenericNameWithAtRegex`.
pub fn is_name_with_at(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.starts_with(word)
        && text.ends_with(word)
        && text.chars().all(|c| word(c) || matches!(c, '-' | '.' | '@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_capture(pattern: &'static str, path: &str) -> Option<String> {
        RoutePattern::new(pattern)
            .match_path(path)
            .map(|captures| captures.first_value().to_owned())
    }

    #[test]
    fn matches_whole_paths_only() {
        assert_eq!(first_capture("config", "config"), Some(String::new()));
        for path in ["", "config/", "config/a", "confi", "a/config"] {
            assert_eq!(first_capture("config", path), None, "{path}");
        }
        assert_eq!(first_capture("roles/{name}", "roles/dev"), Some("dev".into()));
        assert_eq!(first_capture("roles/{name}/x", "roles/dev/x"), Some("dev".into()));
        for path in ["roles", "roles/", "roles/a/b", "roles/-a", "roles/a b", "roles/ü"] {
            assert_eq!(first_capture("roles/{name}", path), None, "{path}");
        }
        assert_eq!(first_capture("{path..}", "a/b/c"), Some("a/b/c".into()));
        assert_eq!(first_capture("data/{path..}", "data/a/"), Some("a/".into()));
        assert_eq!(first_capture("{path..}", ""), None);
        assert_eq!(first_capture("mounts/{path..}/tune", "mounts/a/b/tune"), Some("a/b".into()));
        assert_eq!(first_capture("mounts/{path..}/tune", "mounts/tune"), None);
    }

    #[test]
    fn patterns_give_keys_folders_and_special_paths() {
        let role = RoutePattern::new("roles/{name}");
        assert_eq!(role.storage_key(&["dev"]), "roles/dev");
        assert_eq!(role.list_folder(), Some("roles/"));
        assert_eq!(role.to_special_path(), "roles/+");
        assert_eq!(RoutePattern::new("{path..}").list_folder(), Some(""));
        assert_eq!(RoutePattern::new("config").list_folder(), None);
    }

    #[test]
    fn examples_match_and_folders_are_reached_into_or_not() {
        for text in ["config", "roles/{name}", "{path..}", "mounts/{path..}/tune"] {
            let pattern = RoutePattern::new(text);
            assert!(pattern.match_path(&pattern.example_path()).is_some(), "{text}");
        }
        for text in ["wal/{id}", "{path..}", "{kind}/{id}", "wal/a"] {
            assert!(RoutePattern::new(text).reaches_into("wal"), "{text}");
        }
        for text in ["wal", "config", "{name}", "walls/{id}"] {
            assert!(!RoutePattern::new(text).reaches_into("wal"), "{text}");
        }
    }

    #[test]
    fn names_with_an_at_sign_match_where_they_are_declared() {
        for name in ["bob@example.com", "a", "a-b.c_d", "x@y@z"] {
            assert_eq!(first_capture("users/{name@}", &format!("users/{name}")), Some(name.into()));
        }
        assert_eq!(first_capture("users/{name}", "users/bob@example.com"), None);
        for name in ["@a", "a@", ".", "..", "a/b", "a b", "ü", "", "a+b", "a%40b"] {
            assert_eq!(first_capture("users/{name@}", &format!("users/{name}")), None, "{name}");
        }
        assert_eq!(RoutePattern::new("users/{name@}").to_special_path(), "users/+");
        assert!(RoutePattern::new("users/{name+}").declaration_error().is_some());
        assert!(RoutePattern::new("users/{name@..}").declaration_error().is_some());
    }

    #[test]
    fn folders_of_any_depth_match() {
        let below = |pattern: &'static str, folder| RoutePattern::new(pattern).match_folder(folder);
        assert_eq!(below("roles/{name}", "roles/"), Some(""));
        assert_eq!(below("roles/{name..}", "roles/a/b/"), Some("a/b/"));
        assert_eq!(below("orgs/{org}/users/{name}", "orgs/a/users/"), Some(""));
        assert_eq!(below("{path..}", ""), Some(""));
        for (pattern, folder) in [
            ("config", ""),
            ("roles/{name}", ""),
            ("orgs/{org}/users/{name}", "orgs/-/users/"),
            ("roles/{name..}/x", "roles/"),
        ] {
            assert_eq!(below(pattern, folder), None, "{pattern} {folder}");
        }
    }

    #[test]
    fn a_collection_has_one_folder_for_the_captures_above_its_names() {
        let folder =
            |pattern: &'static str, values: &[&str]| RoutePattern::new(pattern).folder_key(values);
        assert_eq!(folder("roles/{name}", &[]), Ok("roles/".to_owned()));
        assert_eq!(folder("{name}", &[]), Ok(String::new()));
        assert_eq!(folder("orgs/{org}/users/{name}", &["a"]), Ok("orgs/a/users/".to_owned()));
        assert_eq!(folder("sets/{name..}", &[]), Ok("sets/".to_owned()));
        for name in ["a/b", "a/b/"] {
            assert_eq!(folder("sets/{name..}", &[name]), Ok("sets/a/b/".to_owned()));
        }
        assert_eq!(folder("sets/{name..}", &["a/../b"]), Err(InvalidName::Segments));
        assert_eq!(folder("orgs/{org}/users/{name}", &["a/b"]), Err(InvalidName::Name));
        for (pattern, values) in [
            ("config", &[] as &[&str]),
            ("roles/{name}/config", &["a"]),
            ("roles/{name}", &["a"]),
            ("orgs/{org}/users/{name}", &[]),
        ] {
            assert_eq!(folder(pattern, values), Err(InvalidName::Count), "{pattern}");
        }
    }

    #[test]
    fn captures_of_another_form_are_found() {
        let differs = |one: &'static str, other: &'static str| {
            RoutePattern::new(one).differing_capture(&RoutePattern::new(other))
        };
        let with_at = Some(("user", CaptureForm::NameWithAt));
        assert_eq!(differs("users/{name@}", "users/{user}/password"), with_at);
        assert_eq!(differs("users/{name@}", "users/{user@}/password"), None);
        assert_eq!(differs("users/{name@}", "users/all/{user}"), None);
        assert_eq!(differs("users/{name@}", "logins/{user}"), None);
    }

    fn check_names(pattern: &'static str, values: &[&str]) -> Result<(), InvalidName> {
        RoutePattern::new(pattern).check_captures(values)
    }

    #[test]
    fn names_of_documents_are_checked_by_the_form_of_their_capture() {
        assert_eq!(check_names("config", &[]), Ok(()));
        assert_eq!(check_names("roles/{name}", &["a"]), Ok(()));
        assert_eq!(check_names("roles/{name}", &[]), Err(InvalidName::Count));
        assert_eq!(check_names("roles/{name}", &["a", "b"]), Err(InvalidName::Count));
        assert_eq!(check_names("roles/{name}", &["a/b"]), Err(InvalidName::Name));
        assert_eq!(check_names("roles/{name@}", &["a/b"]), Err(InvalidName::NameWithAt));
        for good in ["a", "a/b/c", "cn=a b,ou=ü", "100%", "a%zz", "%2", "..a"] {
            assert_eq!(check_names("roles/{name..}", &[good]), Ok(()), "{good}");
        }
        for bad in ["", "..", "a/..", "../a", "a/./b", "a//b", "/a", "a\u{1}", "a\u{202e}b"] {
            assert_eq!(check_names("roles/{name..}", &[bad]), Err(InvalidName::Segments), "{bad}");
        }
        assert_eq!(check_names("roles/{name..}", &["a/"]), Err(InvalidName::Folder));
        for bad in ["a%2Fb", "%2e%2e", "a%00", "%25"] {
            let refused = Err(InvalidName::PercentEncoded);
            assert_eq!(check_names("roles/{name..}", &[bad]), refused, "{bad}");
        }
    }

    proptest::proptest! {
        /// A name that is accepted has one path, one storage key and one place in a list.
        #[test]
        fn accepted_names_are_canonical(
            name in "([a-z@.%2Fe_-]|/|\\.\\.|ü|\u{0}|\u{200b}| ){0,10}",
            pattern in proptest::sample::select(vec!["r/{n}", "r/{n@}", "r/{n..}"]),
        ) {
            let pattern = RoutePattern::new(pattern);
            if pattern.check_captures(&[&name]).is_ok() {
                let key = pattern.storage_key(&[&name]);
                proptest::prop_assert!(check_segments(&key).is_ok(), "{:?}", key);
                let matched = pattern.match_path(&key).expect("the path of a document");
                proptest::prop_assert_eq!(matched.first_value(), &name);
                proptest::prop_assert!(!key.to_lowercase().contains("%2f"));
                let (folder, last) = key.rsplit_once('/').expect("a folder");
                let folder = format!("{folder}/");
                let below = pattern.match_folder(&folder).expect("its folder");
                proptest::prop_assert_eq!(format!("{below}{last}"), name);
            }
        }
    }
}
