//! [`RoutePattern`]: declared paths, such as `config`, `roles/{name}` and `{path..}`.

/// A declared path. `{name}` matches one segment that is a valid name, `{name..}` one or more
/// segments of any form; only literal segments may follow the latter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutePattern {
    text: &'static str,
    segments: Vec<PatternSegment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PatternSegment {
    Literal(&'static str),
    Name(&'static str),
    Rest(&'static str),
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
            Some(name) => match name.strip_suffix("..") {
                Some(name) => PatternSegment::Rest(name),
                None => PatternSegment::Name(name),
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
            PatternSegment::Name(_) | PatternSegment::Rest(_) => {
                Some(self.text.rfind('{').and_then(|at| self.text.get(..at)).unwrap_or(""))
            }
        }
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
                PatternSegment::Name(_) | PatternSegment::Rest(_) => {
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
            PatternSegment::Name(_) => "an-example",
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
                PatternSegment::Name(name) | PatternSegment::Rest(name) => name,
            };
            if name.is_empty() {
                return Some("a capture has no name");
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
            Some(PatternSegment::Name(_)) => self.segments.len() > 1,
            Some(PatternSegment::Rest(_)) => true,
            None => false,
        }
    }

    /// The form used in special paths, with `+` for a name and `*` for several segments.
    pub fn to_special_path(&self) -> String {
        let part = |segment: &PatternSegment| match segment {
            PatternSegment::Literal(literal) => *literal,
            PatternSegment::Name(_) => "+",
            PatternSegment::Rest(_) => "*",
        };
        self.segments.iter().map(part).collect::<Vec<_>>().join("/")
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
}
