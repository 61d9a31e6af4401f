//! [`PasswordPolicy`]: rules for generated passwords. Documented at
//! <https://developer.hashicorp.com/vault/docs/concepts/password-policies>.

use std::collections::BTreeSet;

use strongroom_hcl::{HclBlock, HclValue, ParseError, ParseLimits};
use strongroom_types::path::is_printable;
use strongroom_types::{Entropy, Secret};

use crate::language::from_base64;

/// Rules for generated passwords: a length, and minimum numbers of characters from given sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordPolicy {
    /// The text as returned to clients, decoded if it was sent in base64.
    pub text: String,
    length: usize,
    /// The characters of all rules, without duplicates.
    charset: Vec<char>,
    rules: Vec<CharsetRule>,
}

/// Requires at least `min_chars` characters from a set.
#[derive(Clone, Debug, PartialEq, Eq)]
struct CharsetRule {
    charset: BTreeSet<char>,
    min_chars: usize,
}

/// Why a password policy is refused, or no password could be generated. The message is shown to the
/// client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// The text is neither HCL nor JSON, or a value in it has the wrong type.
    #[error("invalid password policy: unable to decode: {0}")]
    Syntax(#[from] ParseError),
    /// A key or rule type that this server doesn't know and therefore can't enforce.
    #[error("invalid password policy: {0}")]
    Unknown(String),
    /// The rules are invalid. Clients may match the message.
    #[error("invalid password policy: 1 error occurred:\n\t* {0}\n\n")]
    Rules(String),
    /// The length is outside the limits for passwords.
    #[error("passwords must be between {MIN_LENGTH} and {MAX_LENGTH} characters")]
    Length,
    /// The rules exclude so many candidates that generating a password would take too long.
    #[error(
        "unable to generate password from provided policy: are the rules impossible? \
         Fewer minimum characters or a longer password leave more to choose from"
    )]
    Impossible,
}

/// Minimum and maximum length of a password in characters.
const MIN_LENGTH: usize = 4;
const MAX_LENGTH: usize = 100;
/// Maximum number of characters to choose from, because each is chosen by one random byte.
const MAX_CHARSET: usize = 256;
const MAX_RULES: usize = 64;
const MAX_BYTES: usize = 64 << 10;
/// Maximum number of candidates tried for one password.
const MAX_CANDIDATES: usize = 10_000;
/// A new policy must give this many passwords within that limit, so that later generation almost
/// never fails.
const REQUIRED_PASSWORDS: usize = 10;

impl PasswordPolicy {
    /// Parses a policy: HCL 1, its JSON form, or either in base64, and generates some passwords to
    /// check that the rules can be met.
    ///
    /// # Errors
    ///
    /// If the text can't be parsed, a rule is invalid, or the rules can hardly be met.
    pub fn parse(text: &str, entropy: &dyn Entropy) -> Result<Self, PasswordError> {
        let policy = Self::parse_stored(text)?;
        let mut budget = MAX_CANDIDATES;
        for _ in 0..REQUIRED_PASSWORDS {
            policy.generate_within(entropy, &mut budget)?;
        }
        Ok(policy)
    }

    /// Parses a stored policy, without checking again that its rules can be met.
    pub(crate) fn parse_stored(text: &str) -> Result<Self, PasswordError> {
        let decoded = from_base64(text);
        let source = decoded.as_deref().unwrap_or(text);
        let limits = ParseLimits { max_bytes: MAX_BYTES, ..ParseLimits::default() };
        let body = strongroom_hcl::parse(source, &limits)?;
        if let Some(item) = body.unknown_items(&["length", "rule"]).next() {
            let (key, line) = (&item.key.text, item.key.position.line);
            return Err(PasswordError::Unknown(format!("invalid key {key:?} on line {line}")));
        }
        if let Some(twice) = body.duplicate_keys().first() {
            let (key, line) = (twice.key, twice.again.line);
            return Err(PasswordError::Unknown(format!("{key:?} is set twice, on line {line}")));
        }
        let length = body.read("length", HclValue::as_int)?.unwrap_or(0);
        let rules = body.blocks::<1>("rule")?;
        if rules.len() > MAX_RULES {
            return Err(PasswordError::Rules(format!("there are more than {MAX_RULES} rules")));
        }
        let rules = rules.iter().map(read_rule).collect::<Result<Vec<_>, _>>()?;
        Self::from_parts(source, length, rules)
    }

    fn from_parts(text: &str, length: i64, rules: Vec<CharsetRule>) -> Result<Self, PasswordError> {
        let bad = |problem: &str| Err(PasswordError::Rules(problem.to_owned()));
        let needed: usize = rules.iter().map(|rule| rule.min_chars).sum();
        let Some(length) = usize::try_from(length).ok().filter(|length| *length > 0) else {
            return bad("length must be > 0");
        };
        if needed > length {
            return Err(PasswordError::Rules(format!(
                "specified rules require at least {needed} characters but {length} is specified"
            )));
        }
        let charset: BTreeSet<char> = rules.iter().flat_map(|r| &r.charset).copied().collect();
        if charset.is_empty() {
            return bad("no charset specified");
        }
        if charset.len() > MAX_CHARSET {
            return bad("charset is too long: limited to 256 characters");
        }
        if !charset.iter().all(|c| is_printable(*c) && (*c == ' ' || !c.is_whitespace())) {
            return bad("non-printable character in charset");
        }
        if !(MIN_LENGTH..=MAX_LENGTH).contains(&length) {
            return Err(PasswordError::Length);
        }
        let charset = charset.into_iter().collect();
        Ok(Self { text: text.to_owned(), length, charset, rules })
    }

    /// Generates a password. All passwords that meet the rules are equally likely.
    ///
    /// # Errors
    ///
    /// [`PasswordError::Impossible`] if no candidate met the rules.
    pub fn generate(&self, entropy: &dyn Entropy) -> Result<Secret<String>, PasswordError> {
        self.generate_within(entropy, &mut MAX_CANDIDATES.clone())
    }

    /// Draws whole candidates until one meets the rules; repairing a candidate would make some
    /// passwords more likely.
    fn generate_within(
        &self,
        entropy: &dyn Entropy,
        budget: &mut usize,
    ) -> Result<Secret<String>, PasswordError> {
        let mut draws = CharacterPicker { entropy, pool: Secret::new(Vec::new()) };
        while let Some(left) = budget.checked_sub(1) {
            *budget = left;
            let mut candidate =
                Secret::new(String::with_capacity(self.length * char::MAX.len_utf8()));
            for _ in 0..self.length {
                candidate.expose_secret_mut().extend(draws.pick(&self.charset));
            }
            if self.rules.iter().all(|rule| rule.is_met(candidate.expose_secret())) {
                return Ok(candidate);
            }
        }
        Err(PasswordError::Impossible)
    }
}

impl CharsetRule {
    fn is_met(&self, candidate: &str) -> bool {
        let found = candidate.chars().filter(|c| self.charset.contains(c));
        self.min_chars == 0 || found.take(self.min_chars).count() == self.min_chars
    }
}

fn read_rule(block: &HclBlock<'_, 1>) -> Result<CharsetRule, PasswordError> {
    let [kind] = block.labels;
    if kind.text != "charset" {
        return Err(PasswordError::Unknown(format!(
            "unable to parse rules: unable to parse rule {0}: unrecognized rule type {0}",
            kind.text
        )));
    }
    if let Some(item) = block.body.unknown_items(&["charset", "min-chars"]).next() {
        let (key, line) = (&item.key.text, item.key.position.line);
        return Err(PasswordError::Unknown(format!("invalid key {key:?} on line {line}")));
    }
    let charset = block.body.read("charset", HclValue::as_str)?.unwrap_or_default();
    let min_chars = block.body.read("min-chars", HclValue::as_int)?.unwrap_or(0);
    let min_chars = usize::try_from(min_chars).ok().filter(|min| *min <= 1 << 20);
    let min_chars = min_chars.ok_or_else(|| {
        PasswordError::Rules("min-chars must be at least 0 and at most the length".to_owned())
    })?;
    Ok(CharsetRule { charset: charset.chars().collect(), min_chars })
}

/// Draws characters from a pool of random bytes, which is wiped on drop.
struct CharacterPicker<'e> {
    entropy: &'e dyn Entropy,
    pool: Secret<Vec<u8>>,
}

impl CharacterPicker<'_> {
    /// Picks one of at most 256 characters uniformly. Bytes from the last whole multiple of their
    /// number on would favour the first characters, so they are rejected.
    fn pick(&mut self, charset: &[char]) -> Option<char> {
        let fair = MAX_CHARSET - MAX_CHARSET.checked_rem(charset.len())?;
        loop {
            let byte = usize::from(self.next_byte());
            if byte < fair {
                return charset.get(byte % charset.len()).copied();
            }
        }
    }

    fn next_byte(&mut self) -> u8 {
        if let Some(byte) = self.pool.expose_secret_mut().pop() {
            return byte;
        }
        const POOL: usize = 256;
        let pool = self.pool.expose_secret_mut();
        pool.resize(POOL, 0);
        self.entropy.fill(pool);
        pool.pop().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use strongroom_types::entropy::SeededEntropy;

    use super::*;

    fn parse(text: &str) -> Result<PasswordPolicy, PasswordError> {
        PasswordPolicy::parse(text, &SeededEntropy::new(1))
    }

    fn parse_error(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    fn generate_password(policy: &PasswordPolicy, seed: u64) -> String {
        policy.generate(&SeededEntropy::new(seed)).unwrap().expose_secret().clone()
    }

    #[test]
    fn passwords_have_their_length_and_meet_every_rule() {
        let hcl = r#"
            length = 20
            rule "charset" { charset = "abc" min-chars = 1 }
            rule "charset" { charset = "ABC" min-chars = 9 }
            rule "charset" { charset = "é日" }
        "#;
        let policy = parse(hcl).unwrap();
        for seed in 0..200 {
            let password = generate_password(&policy, seed);
            assert_eq!(password.chars().count(), 20);
            assert!(password.chars().any(|c| "abc".contains(c)));
            assert!(password.chars().filter(|c| "ABC".contains(*c)).count() >= 9);
            assert!(password.chars().all(|c| "abcABCé日".contains(c)));
        }
        assert_ne!(generate_password(&policy, 1), generate_password(&policy, 2));
    }

    #[test]
    fn reads_json_and_base64() {
        let hcl = "length = 10\nrule \"charset\" { charset = \"abc\" min-chars = 2 }";
        let texts = [
            r#"{"length":10,"rule":[{"charset":{"charset":"abc","min-chars":2}}]}"#.to_owned(),
            r#"{"length":10,"rule":{"charset":[{"charset":"cba","min-chars":2}]}}"#.to_owned(),
            data_encoding::BASE64.encode(hcl.as_bytes()),
        ];
        let wanted = parse(hcl).unwrap();
        for text in texts {
            let policy = parse(&text).unwrap();
            assert_eq!((policy.length, &policy.rules), (10, &wanted.rules), "{text}");
        }
        assert_eq!(parse(&data_encoding::BASE64.encode(hcl.as_bytes())).unwrap().text, hcl);
    }

    #[test]
    fn refuses_with_the_texts_clients_know() {
        let rules = |problem: &str| {
            format!("invalid password policy: 1 error occurred:\n\t* {problem}\n\n")
        };
        let set = r#"rule "charset" { charset = "abc" }"#;
        let range = "passwords must be between 4 and 100 characters".to_owned();
        let cases = [
            (format!("length = 3\n{set}"), range.clone()),
            (format!("length = 101\n{set}"), range),
            ("length = 20".to_owned(), rules("no charset specified")),
            (
                "length = 20\nrule \"charset\" { min-chars = 1 }".to_owned(),
                rules("no charset specified"),
            ),
            (set.to_owned(), rules("length must be > 0")),
            (format!("length = -1\n{set}"), rules("length must be > 0")),
            (
                "length = 20\nrule \"charset\" { charset = \"abc\" min-chars = 21 }".to_owned(),
                rules("specified rules require at least 21 characters but 20 is specified"),
            ),
            (
                "length = 20\nrule \"charset\" { charset = \"a\\tb\" }".to_owned(),
                rules("non-printable character in charset"),
            ),
            (
                "length = 20\nrule \"foo\" { charset = \"abc\" }".to_owned(),
                "invalid password policy: unable to parse rules: unable to parse rule foo: \
                 unrecognized rule type foo"
                    .to_owned(),
            ),
        ];
        for (text, wanted) in cases {
            assert_eq!(parse_error(&text), wanted, "{text}");
        }
        let long: String = ('\u{4e00}'..='\u{4f00}').collect();
        assert!(
            parse_error(&format!("length = 9\nrule \"charset\" {{ charset = \"{long}\" }}"))
                .contains("limited to 256")
        );
        for text in [
            "garbage {{",
            "length = 10.5\nrule \"charset\" { charset = \"abc\" }",
            "length = 10\nlength = 11\nrule \"charset\" { charset = \"abc\" }",
            "length = 10\nbar = 2\nrule \"charset\" { charset = \"abc\" }",
            "length = 10\nrule \"charset\" { charset = \"abc\" min_chars = 2 }",
            "length = 10\nrule \"charset\" { charset = \"abc\" min-chars = -1 }",
        ] {
            assert!(parse_error(text).starts_with("invalid password policy: "), "{text}");
        }
    }

    #[test]
    fn rules_that_are_hardly_ever_met_are_refused_and_the_work_is_bounded() {
        let all: String = ('!'..='~').collect();
        let all = all.replace(['"', '\\', '$'], "");
        let text = format!(
            "length = 100\nrule \"charset\" {{ charset = \"{all}\" }}\n\
             rule \"charset\" {{ charset = \"!\" min-chars = 80 }}"
        );
        assert_eq!(parse(&text), Err(PasswordError::Impossible));
    }

    #[test]
    fn every_character_is_as_likely_as_every_other() {
        // 200 doesn't divide 256: without rejection the first 56 would be twice as likely.
        let charset: String = ('\u{4e00}'..='\u{4ec7}').collect();
        let policy =
            parse(&format!("length = 100\nrule \"charset\" {{ charset = \"{charset}\" }}"));
        let (policy, entropy) = (policy.unwrap(), SeededEntropy::new(7));
        let mut counts: BTreeMap<char, u32> = BTreeMap::new();
        for _ in 0..2_000 {
            let password = policy.generate(&entropy).unwrap();
            password.expose_secret().chars().for_each(|c| *counts.entry(c).or_default() += 1);
        }
        assert_eq!(counts.len(), 200);
        // 1000 each, with a standard deviation of 32.
        assert!(counts.values().all(|count| (830..1170).contains(count)), "{counts:?}");
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "[lengthrucas=\"{}\\[\\] 0-9\n-]{0,80}") {
            let _ = PasswordPolicy::parse_stored(&text);
        }
    }
}
