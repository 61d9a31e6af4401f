//! Parses the text of a policy: HCL 1, its JSON form, or either in base64.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use strongroom_hcl::{HclBlock, HclBody, HclValue, ParseError, ParseLimits, ValueKind};
use strongroom_types::Ttl;
use strongroom_types::duration::parse_nanos;

use crate::capability::{Capabilities, Capability};
use crate::conditions::{Parameters, PathGrant, RequestConditions};
use crate::pattern::PathPattern;

/// A parsed policy, with its text.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The text as returned to clients, decoded if it was sent in base64.
    pub text: String,
    /// The rules, one per pattern, the most specific first.
    pub rules: Vec<PathRule>,
    /// For rules whose pattern has capitals: the case-folded pattern and the index in `rules`, the
    /// most specific first.
    folded: Vec<(PathPattern, usize)>,
    /// Whether this is a stored text that this version of the server can't parse. A token with such
    /// a policy is refused everything, because what the policy denied is unknown.
    pub unreadable: bool,
}

/// One rule of a policy: what it grants on the paths that match its pattern.
#[derive(Clone, Debug, PartialEq)]
pub struct PathRule {
    /// The paths that the rule applies to.
    pub pattern: PathPattern,
    /// The capabilities granted, and their conditions.
    pub grant: PathGrant,
}

/// Why a policy is refused. The message is shown to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The text is neither HCL nor JSON, or a value in it has the wrong type.
    #[error("failed to parse policy: {0}")]
    Syntax(#[from] ParseError),
    /// A key that policies don't have. Clients may match the message.
    #[error(
        "failed to parse policy: 1 error occurred:\n\t* invalid key {key:?} on line {line}\n\n"
    )]
    UnknownKey {
        /// The unknown key, as written.
        key: String,
        /// Line of the key, counted from 1.
        line: u32,
    },
    /// A path rule that is invalid.
    #[error("failed to parse policy: path on line {line}: {problem}")]
    Path {
        /// Line of the rule, counted from 1.
        line: u32,
        /// What is wrong with the rule.
        problem: String,
    },
    /// A wrapping limit that isn't a valid duration. Clients may match the message.
    #[error("failed to parse policy: error parsing {key}: {problem}")]
    Wrapping {
        /// The key of the limit.
        key: &'static str,
        /// What is wrong with the value.
        problem: String,
    },
    /// The maximum wrapping TTL is below the minimum.
    #[error("failed to parse policy: max_wrapping_ttl cannot be less than min_wrapping_ttl")]
    WrappingBounds,
    /// A rule uses a key that this server doesn't implement. Ignoring the key would grant more than
    /// the policy says.
    #[error(
        "failed to parse policy: path on line {line}: {key:?} is not supported by this server; \
         the policy is refused because leaving it out would grant more"
    )]
    UnsupportedKey {
        /// Line of the rule, counted from 1.
        line: u32,
        /// The key, one of [`UNSUPPORTED_KEYS`].
        key: &'static str,
    },
    /// The path contains a template (`{{...}}`). Templates aren't supported, and the path would
    /// match nothing.
    #[error(
        "failed to parse policy: path on line {line}: templates are not supported by this server"
    )]
    Template {
        /// Line of the rule, counted from 1.
        line: u32,
    },
}

/// Keys of path rules in Vault or OpenBao that this server doesn't implement. A policy with one is
/// refused with [`PolicyError::UnsupportedKey`].
pub const UNSUPPORTED_KEYS: [&str; 7] = [
    "mfa_methods",
    "control_group",
    "subscribe_event_types",
    "pagination_limit",
    "expiration",
    "list_scan_response_keys_filter_path",
    "recover",
];
/// The keys of path rules that this server implements.
const KNOWN_KEYS: [&str; 8] = [
    "capabilities",
    "policy",
    "comment",
    ALLOWED_PARAMETERS,
    DENIED_PARAMETERS,
    REQUIRED_PARAMETERS,
    MIN_WRAPPING_TTL,
    MAX_WRAPPING_TTL,
];
const ALLOWED_PARAMETERS: &str = "allowed_parameters";
const DENIED_PARAMETERS: &str = "denied_parameters";
const REQUIRED_PARAMETERS: &str = "required_parameters";
const MIN_WRAPPING_TTL: &str = "min_wrapping_ttl";
const MAX_WRAPPING_TTL: &str = "max_wrapping_ttl";

impl Policy {
    /// Parses a policy: HCL 1, its JSON form, or either in base64. Rules for the same pattern are
    /// merged.
    ///
    /// # Errors
    ///
    /// If the text can't be parsed, has an unknown or unsupported key, or a rule is invalid.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let decoded = from_base64(text);
        let source = decoded.as_deref().unwrap_or(text);
        let body = strongroom_hcl::parse(source, &ParseLimits::default())?;
        if let Some(item) = body.unknown_items(&["path", "name"]).next() {
            return Err(unknown_key(&item.key));
        }
        let mut rules: BTreeMap<String, PathRule> = BTreeMap::new();
        for block in body.blocks("path")? {
            let rule = read_rule(&block)?;
            let key = rule.pattern.as_str().to_owned();
            match rules.get_mut(&key) {
                Some(known) => known.grant.merge_grant(&rule.grant),
                None => _ = rules.insert(key, rule),
            }
        }
        let mut rules: Vec<PathRule> = rules.into_values().collect();
        rules.sort_unstable_by(|a, b| b.pattern.cmp(&a.pattern));
        let folded = rules.iter().enumerate().map(|(at, rule)| (rule.pattern.case_folded(), at));
        let mut folded: Vec<(PathPattern, usize)> = folded
            .filter(|(pattern, at)| rules.get(*at).is_some_and(|rule| rule.pattern != *pattern))
            .collect();
        folded.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
        Ok(Self { text: source.to_owned(), rules, folded, unreadable: false })
    }

    /// A policy whose stored text can't be parsed any more; it refuses everything. The text is
    /// kept, so that an operator can read and correct it.
    pub fn from_unreadable(text: String) -> Self {
        Self { text, rules: Vec::new(), folded: Vec::new(), unreadable: true }
    }

    /// The rule whose pattern is exactly this path.
    pub(crate) fn exact_rule(&self, path: &str) -> Option<&PathRule> {
        let at = self.rules.binary_search_by(|rule| compare_path(path, &rule.pattern)).ok()?;
        self.rules.get(at)
    }

    /// The exact rules for this case-folded path in any spelling. The rule without capitals is
    /// included only if `has_capitals`, that is, if the path was sent with capitals.
    pub(crate) fn exact_rules_in_any_case<'p>(
        &'p self,
        path: &'p str,
        has_capitals: bool,
    ) -> impl Iterator<Item = &'p PathRule> {
        let start =
            self.folded.partition_point(|(folded, _)| compare_path(path, folded) == Ordering::Less);
        let spelled = self.folded.get(start..).unwrap_or_default().iter();
        let spelled =
            spelled.take_while(move |(folded, _)| compare_path(path, folded) == Ordering::Equal);
        let plain = self.exact_rule(path).filter(|_| has_capitals);
        plain.into_iter().chain(spelled.filter_map(|(_, at)| self.rules.get(*at)))
    }

    /// The glob rules with their case-folded patterns. Rules without capitals are included only if
    /// `has_capitals`, that is, if the path has any.
    pub(crate) fn globs_in_any_case(
        &self,
        has_capitals: bool,
    ) -> impl Iterator<Item = (&PathPattern, &PathRule)> {
        let plain = if has_capitals { self.glob_rules() } else { &[] };
        let exact = self.folded.partition_point(|(folded, _)| folded.is_exact());
        let globs = self.folded.get(exact..).unwrap_or_default().iter();
        let globs = globs.filter_map(|(folded, at)| Some((folded, self.rules.get(*at)?)));
        plain.iter().map(|rule| (&rule.pattern, rule)).chain(globs)
    }

    /// The grant of the rule with this pattern.
    pub(crate) fn grant_for_pattern(&self, pattern: &PathPattern) -> Option<&PathGrant> {
        let at = self.rules.binary_search_by(|rule| pattern.cmp(&rule.pattern)).ok()?;
        self.rules.get(at).map(|rule| &rule.grant)
    }

    /// The rules with wildcards, the most specific first.
    pub(crate) fn glob_rules(&self) -> &[PathRule] {
        let exact = self.rules.partition_point(|rule| rule.pattern.is_exact());
        self.rules.get(exact..).unwrap_or_default()
    }
}

/// Compares a path with a pattern in the order of a list with the most specific first, for a binary
/// search. Exact patterns are ordered by length, then by text.
fn compare_path(path: &str, pattern: &PathPattern) -> Ordering {
    let text = pattern.as_str();
    let order = (path.len(), path).cmp(&(text.len(), text));
    if pattern.is_exact() { order } else { Ordering::Greater }
}

fn read_rule(block: &HclBlock<'_, 1>) -> Result<PathRule, PolicyError> {
    let [label] = block.labels;
    let (path, line) = (&label.text, label.position.line);
    for item in block.body.items() {
        let key = &item.key;
        if let Some(unbuilt) = UNSUPPORTED_KEYS.iter().find(|known| **known == key.text) {
            return Err(PolicyError::UnsupportedKey { line, key: unbuilt });
        }
        if !KNOWN_KEYS.contains(&key.text.as_str()) {
            return Err(unknown_key(key));
        }
    }
    if let Some(twice) = block.body.duplicate_keys().first() {
        return Err(PolicyError::Path {
            line,
            problem: format!(
                "{:?} is set twice, on lines {} and {}",
                twice.key, twice.first.line, twice.again.line
            ),
        });
    }
    // Blocks may repeat, and only the last one would be used.
    let mut seen = BTreeSet::new();
    if let Some(again) = block.body.items().iter().find(|item| !seen.insert(&item.key.text)) {
        let problem = format!("{:?} is set twice", again.key.text);
        return Err(PolicyError::Path { line, problem });
    }
    if path.contains("{{") {
        return Err(PolicyError::Template { line });
    }
    let pattern = PathPattern::parse(path)
        .map_err(|error| PolicyError::Path { line, problem: error.to_string() })?;
    let capabilities = read_capabilities(line, block.body)?;
    let conditions = read_conditions(line, block.body)?;
    let conditions = (!conditions.is_empty()).then(|| Box::new(conditions));
    Ok(PathRule { pattern, grant: PathGrant { capabilities, conditions } })
}

fn read_conditions(line: u32, body: &HclBody) -> Result<RequestConditions, PolicyError> {
    let required = body.read(REQUIRED_PARAMETERS, HclValue::as_str_list)?.unwrap_or_default();
    let conditions = RequestConditions {
        allowed: read_parameters(line, body, ALLOWED_PARAMETERS)?,
        denied: read_parameters(line, body, DENIED_PARAMETERS)?,
        required: required.into_iter().map(str::to_lowercase).collect(),
        min_wrapping: read_wrapping(body, MIN_WRAPPING_TTL)?,
        max_wrapping: read_wrapping(body, MAX_WRAPPING_TTL)?,
    };
    if conditions.wrapping_is_impossible() {
        return Err(PolicyError::WrappingBounds);
    }
    Ok(conditions)
}

/// Reads an object of lists. Two spellings of one name are refused, because only one list could be
/// used.
fn read_parameters(
    line: u32,
    body: &HclBody,
    key: &'static str,
) -> Result<Parameters, PolicyError> {
    let mut parameters = Parameters::new();
    let Some(object) = body.read(key, HclValue::as_map)? else { return Ok(parameters) };
    for item in object.items() {
        let values = item.read(HclValue::as_list)?.iter().map(to_json).collect();
        if parameters.insert(item.key.text.to_lowercase(), values).is_some() {
            let problem = format!("{key} names the field on line {} twice", item.key.position.line);
            return Err(PolicyError::Path { line, problem });
        }
    }
    Ok(parameters)
}

fn read_wrapping(body: &HclBody, key: &'static str) -> Result<Ttl, PolicyError> {
    let text = body.read(key, HclValue::as_text)?.unwrap_or_default();
    let bad = |problem: String| PolicyError::Wrapping { key, problem };
    let ttl = Ttl::parse(text).map_err(|error| bad(error.to_string()))?;
    if parse_nanos(text).is_ok_and(|nanos| (1..1_000_000_000).contains(&nanos)) {
        return Err(bad("it must be at least a second".to_owned()));
    }
    Ok(ttl)
}

/// Converts a value to the JSON form in which requests contain it.
fn to_json(value: &HclValue) -> serde_json::Value {
    match &value.kind {
        ValueKind::Null => serde_json::Value::Null,
        ValueKind::Bool(value) => (*value).into(),
        ValueKind::Number(number) => match (number.as_i64(), number.literal().parse::<u64>()) {
            (Some(whole), _) => whole.into(),
            (None, Ok(whole)) => whole.into(),
            (None, Err(_)) => number.as_f64().into(),
        },
        ValueKind::String(text) => text.as_str().into(),
        ValueKind::List(entries) => entries.iter().map(to_json).collect(),
        ValueKind::Object(body) => {
            body.items().iter().map(|item| (item.key.text.clone(), to_json(&item.value))).collect()
        }
    }
}

fn read_capabilities(line: u32, body: &HclBody) -> Result<Capabilities, PolicyError> {
    let mut granted = Capabilities::NONE;
    for name in body.read("capabilities", string_or_list)?.unwrap_or_default() {
        let Some(capability) = Capability::parse(name) else {
            let problem = "invalid capability".to_owned();
            return Err(PolicyError::Path { line, problem });
        };
        granted = granted.union(Capabilities::NONE.with(capability));
    }
    if let Some(level) = body.read("policy", HclValue::as_str)? {
        granted = granted.union(legacy_capabilities(line, level)?);
    }
    Ok(granted)
}

/// Reads a list of strings, or a single string as a list of one.
fn string_or_list(value: &HclValue) -> Result<Vec<&str>, ParseError> {
    match value.kind {
        ValueKind::String(_) => value.as_str().map(|text| vec![text]),
        _ => value.as_str_list(),
    }
}

/// Reads `policy = "write"`, the form that preceded capabilities.
fn legacy_capabilities(line: u32, level: &str) -> Result<Capabilities, PolicyError> {
    use Capability::{Create, Delete, Deny, List, Patch, Read, Sudo, Update};
    let granted: &[Capability] = match level {
        "deny" => &[Deny],
        "read" => &[Read, List],
        "write" => &[Create, Read, Update, Patch, Delete, List],
        "sudo" => &[Create, Read, Update, Patch, Delete, List, Sudo],
        _ => {
            let problem = "invalid policy: use deny, read, write or sudo".to_owned();
            return Err(PolicyError::Path { line, problem });
        }
    };
    Ok(granted.iter().copied().collect())
}

fn unknown_key(key: &strongroom_hcl::HclKey) -> PolicyError {
    PolicyError::UnknownKey { key: key.text.clone(), line: key.position.line }
}

/// Decodes a policy sent in base64; `None` if the text isn't base64. Plain policies never decode,
/// because they contain spaces, braces or quotes.
pub fn from_base64(text: &str) -> Option<String> {
    let bytes = data_encoding::BASE64.decode(text.trim().as_bytes()).ok()?;
    String::from_utf8(bytes).ok().filter(|decoded| !decoded.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_capabilities(text: &str) -> Vec<(String, Vec<&'static str>)> {
        let mut rules = Policy::parse(text).unwrap().rules;
        rules.sort_by(|a, b| a.pattern.as_str().cmp(b.pattern.as_str()));
        rules
            .into_iter()
            .map(|r| (r.pattern.as_str().to_owned(), r.grant.capabilities.names()))
            .collect()
    }

    fn parse_error(text: &str) -> String {
        Policy::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn reads_hcl_json_and_base64() {
        let hcl = r#"
            # what developers may do
            path "secret/*" { capabilities = ["read", "list"] }
            path "/secret/own" { policy = "write" }
            path "no" { capabilities = ["deny", "read"] }
        "#;
        let json = r#"{"path": {
            "secret/*": {"capabilities": ["read", "list"]},
            "/secret/own": {"policy": "write"},
            "no": {"capabilities": ["deny", "read"]}
        }}"#;
        let wanted = [
            ("no".to_owned(), vec!["deny"]),
            ("secret/*".to_owned(), vec!["list", "read"]),
            ("secret/own".to_owned(), vec!["create", "delete", "list", "patch", "read", "update"]),
        ];
        for text in [hcl, json, &data_encoding::BASE64.encode(hcl.as_bytes())] {
            assert_eq!(parse_capabilities(text), wanted);
        }
        assert!(parse_capabilities("").is_empty());
    }

    #[test]
    fn merges_rules_for_one_path() {
        let text = r#"
            path "a" { capabilities = ["read"] }
            path "/a" { capabilities = ["list"] }
        "#;
        assert_eq!(parse_capabilities(text), [("a".to_owned(), vec!["list", "read"])]);
    }

    #[test]
    fn refuses_with_the_texts_clients_know() {
        assert_eq!(
            parse_error(r#"path "a" { foo = 1 }"#),
            "failed to parse policy: 1 error occurred:\n\t* invalid key \"foo\" on line 1\n\n"
        );
        assert_eq!(
            parse_error(r#"path "x" { capabilities = ["fly"] }"#),
            "failed to parse policy: path on line 1: invalid capability"
        );
        assert!(parse_error("paths {}").contains("invalid key \"paths\" on line 1"));
        for text in ["path \"a\" {", "path = 3", "path \"a\" { capabilities = 3 }", "{\"path\": 3}"]
        {
            assert!(parse_error(text).starts_with("failed to parse policy: "), "{text}");
        }
        assert!(parse_error(r#"path "a/+*" {}"#).contains("+*"));
        assert!(
            parse_error("path \"a\" {\n capabilities = []\n capabilities = []\n}")
                .contains("lines 2 and 3")
        );
    }

    #[test]
    fn ghsa_hr5j_3j78_4vh2_and_ghsa_59w7_v8rr_pr4p_what_restricts_and_is_not_built_is_refused() {
        for key in UNSUPPORTED_KEYS {
            let text = format!("path \"a\" {{ capabilities = [\"read\"]\n {key} = 1 }}");
            assert!(parse_error(&text).contains("is not supported by this server"), "{key}");
        }
        assert!(
            parse_error(r#"path "a/{{identity.entity.id}}" { capabilities = ["read"] }"#)
                .contains("templates")
        );
    }

    #[test]
    fn conditions_that_leave_something_open_are_refused() {
        let refused = |rule: &str| parse_error(&format!("path \"a\" {{ {rule} }}"));
        for (rule, text) in [
            (
                r#"min_wrapping_ttl = "5m" max_wrapping_ttl = "1m""#,
                "max_wrapping_ttl cannot be less than min_wrapping_ttl",
            ),
            (
                r#"min_wrapping_ttl = "zz""#,
                "error parsing min_wrapping_ttl: time: invalid duration: write it as 90 or 1h30m",
            ),
        ] {
            assert_eq!(refused(rule), format!("failed to parse policy: {text}"));
        }
        for rule in [
            "max_wrapping_ttl = -5",
            r#"max_wrapping_ttl = "500ms""#,
            r#"allowed_parameters = ["a"]"#,
            r#"allowed_parameters = { "a" = "b" }"#,
            r#"denied_parameters = { "a" = 5 }"#,
            r#"required_parameters = "a""#,
            r#"required_parameters = [5]"#,
            r#"allowed_parameters = { "a" = [], "A" = ["x"] }"#,
            "allowed_parameters { a = [] }\n allowed_parameters { b = [] }",
            "denied_parameters = { a = [1] }\n denied_parameters = { b = [] }",
        ] {
            assert!(refused(rule).starts_with("failed to parse policy: "), "{rule}");
        }
        let json = r#"{"path": {"a": {"allowed_parameters": {"x": ["1"], "y": []}, "required_parameters": ["Q"]}}}"#;
        let hcl = r#"path "a" { allowed_parameters { x = ["1"] y = [] } required_parameters = ["q"] comment = "why" }"#;
        assert_eq!(Policy::parse(json).unwrap().rules, Policy::parse(hcl).unwrap().rules);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "[pathcblies \"{}\\[\\]=+*/,#\n]{0,80}") {
            let _ = Policy::parse(&text);
        }
    }
}
