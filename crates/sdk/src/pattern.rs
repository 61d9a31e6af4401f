//! [`Pattern`]: declared paths: `config`, `roles/{name}`, `{path..}`.

/// A declared path. `{name}` stands for one segment that is a name, `{name..}` for one or more
/// segments of any form; literal segments may follow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: &'static str,
    segments: Vec<Segment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Segment {
    Literal(&'static str),
    Name(&'static str),
    Rest(&'static str),
}

/// What the captures of a pattern stand for in one path, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captures(Vec<(&'static str, String)>);

impl Captures {
    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// The value of the only, or first, capture.
    pub fn first(&self) -> &str {
        self.0.first().map_or("", |(_, value)| value.as_str())
    }
}

impl Pattern {
    /// Reads a declaration.
    pub fn new(text: &'static str) -> Self {
        let segment = |part: &'static str| match part
            .strip_prefix('{')
            .and_then(|part| part.strip_suffix('}'))
        {
            None => Segment::Literal(part),
            Some(name) => match name.strip_suffix("..") {
                Some(name) => Segment::Rest(name),
                None => Segment::Name(name),
            },
        };
        Self { text, segments: text.split('/').map(segment).collect() }
    }

    /// As it was declared.
    pub fn text(&self) -> &'static str {
        self.text
    }

    /// Matches a whole path.
    pub fn matches(&self, path: &str) -> Option<Captures> {
        let mut captures = Captures::default();
        let mut rest = Some(path);
        for (index, segment) in self.segments.iter().enumerate() {
            let here = rest?;
            let (part, behind) = match here.split_once('/') {
                Some((part, behind)) => (part, Some(behind)),
                None => (here, None),
            };
            match segment {
                Segment::Literal(literal) if *literal == part => rest = behind,
                Segment::Name(name) if is_name(part) => {
                    captures.0.push((name, part.to_owned()));
                    rest = behind;
                }
                Segment::Rest(name) => {
                    let tail = self.segments.get(index + 1..).unwrap_or_default();
                    let value = without_tail(here, tail)?;
                    captures.0.push((name, value.to_owned()));
                    return Some(captures);
                }
                _ => return None,
            }
        }
        rest.is_none().then_some(captures)
    }

    /// The folder that a collection's last capture lists: `roles/` of `roles/{name}`.
    pub(crate) fn folder(&self) -> Option<&'static str> {
        match self.segments.last()? {
            Segment::Literal(_) => None,
            Segment::Name(_) | Segment::Rest(_) => {
                Some(self.text.rfind('{').and_then(|at| self.text.get(..at)).unwrap_or(""))
            }
        }
    }

    /// Whether its last capture stands for segments of any form.
    pub(crate) fn takes_any_rest(&self) -> bool {
        matches!(self.segments.last(), Some(Segment::Rest(_)))
    }

    /// The storage key of the document at these captures.
    pub(crate) fn key(&self, captures: &[&str]) -> String {
        let mut values = captures.iter();
        let mut key = String::with_capacity(self.text.len() + 16);
        for (index, segment) in self.segments.iter().enumerate() {
            if index > 0 {
                key.push('/');
            }
            match segment {
                Segment::Literal(literal) => key.push_str(literal),
                Segment::Name(_) | Segment::Rest(_) => {
                    key.push_str(values.next().copied().unwrap_or_default());
                }
            }
        }
        key
    }

    /// A path that matches, and that no more special pattern is likely to match.
    pub(crate) fn example(&self) -> String {
        let part = |segment: &Segment| match segment {
            Segment::Literal(literal) => *literal,
            Segment::Name(_) => "an-example",
            Segment::Rest(_) => "an-example/of/many",
        };
        self.segments.iter().map(part).collect::<Vec<_>>().join("/")
    }

    /// What is wrong with the declaration, if anything: no path would match it, or it would not give
    /// what it captures.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let mut names = Vec::new();
        for (index, segment) in self.segments.iter().enumerate() {
            let name = match segment {
                Segment::Literal("") => return Some("a segment is empty"),
                Segment::Literal(text) if text.contains(['{', '}']) => {
                    return Some("a capture is a whole segment, such as {name}");
                }
                Segment::Literal(_) => continue,
                Segment::Name(name) | Segment::Rest(name) => name,
            };
            if name.is_empty() {
                return Some("a capture has no name");
            }
            if names.contains(name) {
                return Some("two captures have one name");
            }
            names.push(name);
            let behind = self.segments.get(index + 1..).unwrap_or_default();
            let literal = |segment: &Segment| matches!(segment, Segment::Literal(_));
            if matches!(segment, Segment::Rest(_)) && !behind.iter().all(literal) {
                return Some("behind a capture of many segments only literal ones may follow");
            }
        }
        None
    }

    /// Whether a path below the folder of this name can match.
    pub(crate) fn reaches_into(&self, folder: &str) -> bool {
        match self.segments.first() {
            Some(Segment::Literal(literal)) => *literal == folder && self.segments.len() > 1,
            Some(Segment::Name(_)) => self.segments.len() > 1,
            Some(Segment::Rest(_)) => true,
            None => false,
        }
    }

    /// As special paths write it, with `+` for a name and `*` for the rest.
    pub(crate) fn as_special(&self) -> String {
        let part = |segment: &Segment| match segment {
            Segment::Literal(literal) => *literal,
            Segment::Name(_) => "+",
            Segment::Rest(_) => "*",
        };
        self.segments.iter().map(part).collect::<Vec<_>>().join("/")
    }
}

/// What is left of a path when the literal segments at its end are taken off; nothing is no match.
fn without_tail<'p>(path: &'p str, tail: &[Segment]) -> Option<&'p str> {
    let mut left = path;
    for segment in tail.iter().rev() {
        let Segment::Literal(literal) = segment else { return None };
        left = left.strip_suffix(literal)?.strip_suffix('/')?;
    }
    (!left.is_empty()).then_some(left)
}

/// Letters, digits, `_`, `-` and `.`, beginning and ending with a letter, digit or `_`: what Vault's
/// engines accept as a name.
pub(crate) fn is_name(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.starts_with(word)
        && text.ends_with(word)
        && text.chars().all(|c| word(c) || c == '-' || c == '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(pattern: &'static str, path: &str) -> Option<String> {
        Pattern::new(pattern).matches(path).map(|captures| captures.first().to_owned())
    }

    #[test]
    fn matches_whole_paths_only() {
        assert_eq!(first("config", "config"), Some(String::new()));
        for path in ["", "config/", "config/a", "confi", "a/config"] {
            assert_eq!(first("config", path), None, "{path}");
        }
        assert_eq!(first("roles/{name}", "roles/dev"), Some("dev".into()));
        assert_eq!(first("roles/{name}/x", "roles/dev/x"), Some("dev".into()));
        for path in ["roles", "roles/", "roles/a/b", "roles/-a", "roles/a b", "roles/ü"] {
            assert_eq!(first("roles/{name}", path), None, "{path}");
        }
        assert_eq!(first("{path..}", "a/b/c"), Some("a/b/c".into()));
        assert_eq!(first("data/{path..}", "data/a/"), Some("a/".into()));
        assert_eq!(first("{path..}", ""), None);
        assert_eq!(first("mounts/{path..}/tune", "mounts/a/b/tune"), Some("a/b".into()));
        assert_eq!(first("mounts/{path..}/tune", "mounts/tune"), None);
    }

    #[test]
    fn knows_keys_folders_and_special_form() {
        let role = Pattern::new("roles/{name}");
        assert_eq!(role.key(&["dev"]), "roles/dev");
        assert_eq!(role.folder(), Some("roles/"));
        assert_eq!(role.as_special(), "roles/+");
        assert_eq!(Pattern::new("{path..}").folder(), Some(""));
        assert_eq!(Pattern::new("config").folder(), None);
    }

    #[test]
    fn examples_match_and_folders_are_reached_into_or_not() {
        for text in ["config", "roles/{name}", "{path..}", "mounts/{path..}/tune"] {
            let pattern = Pattern::new(text);
            assert!(pattern.matches(&pattern.example()).is_some(), "{text}");
        }
        for text in ["wal/{id}", "{path..}", "{kind}/{id}", "wal/a"] {
            assert!(Pattern::new(text).reaches_into("wal"), "{text}");
        }
        for text in ["wal", "config", "{name}", "walls/{id}"] {
            assert!(!Pattern::new(text).reaches_into("wal"), "{text}");
        }
    }
}
