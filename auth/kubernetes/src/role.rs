//! [`Role`]: which service accounts may log in, and the terms of their tokens.

use strongroom_sdk::*;

use crate::namespace_selector::NamespaceSelector;

/// Which service accounts may log in, and the terms of their tokens.
#[derive(Document)]
#[document(path = "role/{name}", folds_case, validate = check_role)]
pub(crate) struct Role {
    /// Names of service accounts; a * stands for any text.
    pub(crate) bound_service_account_names: CommaList,
    /// Namespaces of service accounts; a * stands for any text.
    pub(crate) bound_service_account_namespaces: CommaList,
    /// Label selector (JSON with matchLabels) of namespaces that are permitted as well. It needs a
    /// token that may get namespaces.
    pub(crate) bound_service_account_namespace_selector: String,
    /// Audience that tokens must be issued for; empty for that of the API server.
    pub(crate) audience: Option<String>,
    /// What identifies a client: the id of the service account, or namespace and name.
    #[field(default = "serviceaccount_uid")]
    pub(crate) alias_name_source: AliasNameSource,
    #[field(
        embed,
        legacy(
            token_policies = "policies",
            token_ttl = "ttl",
            token_max_ttl = "max_ttl",
            token_period = "period",
            token_num_uses = "num_uses",
            token_bound_cidrs = "bound_cidrs",
        ),
        echo
    )]
    pub(crate) token: TokenFields,
}

/// What the alias of a login is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FieldChoice)]
pub(crate) enum AliasNameSource {
    /// The id of the service account, which no later account gets.
    #[choice(rename = "serviceaccount_uid")]
    Uid,
    /// Namespace and name, which an account has again if it is created anew.
    #[choice(rename = "serviceaccount_name")]
    Name,
}

fn check_role(role: &Role) -> Result<(), String> {
    let (names, namespaces) =
        (&role.bound_service_account_names.0, &role.bound_service_account_namespaces.0);
    let selector = role.bound_service_account_namespace_selector.as_str();
    if names.is_empty() {
        return Err("\"bound_service_account_names\" can not be empty".to_owned());
    }
    if namespaces.is_empty() && selector.is_empty() {
        return Err("\"bound_service_account_namespaces\" can not be empty if \
                    \"bound_service_account_namespace_selector\" is not set"
            .to_owned());
    }
    let is_mixed = |all: &[String]| all.len() > 1 && all.iter().any(|it| it == "*");
    if is_mixed(names) || is_mixed(namespaces) {
        return Err("can not mix \"*\" with values".to_owned());
    }
    if names.iter().chain(namespaces).any(String::is_empty) {
        return Err("names and namespaces of service accounts can't be empty".to_owned());
    }
    if !selector.is_empty() && NamespaceSelector::parse(selector).is_none() {
        return Err(
            "invalid \"bound_service_account_namespace_selector\" configured: write it as JSON, \
                    such as {\"matchLabels\":{\"team\":\"a\"}}"
                .to_owned(),
        );
    }
    Ok(())
}

impl Role {
    pub(crate) fn permits_name(&self, name: &str) -> bool {
        self.bound_service_account_names.0.iter().any(|pattern| matches_pattern(pattern, name))
    }

    pub(crate) fn permits_namespace(&self, namespace: &str) -> bool {
        let patterns = &self.bound_service_account_namespaces.0;
        patterns.iter().any(|pattern| matches_pattern(pattern, namespace))
    }

    pub(crate) fn namespace_selector(&self) -> Option<NamespaceSelector> {
        NamespaceSelector::parse(&self.bound_service_account_namespace_selector)
    }
}

/// Whether a pattern, in which each `*` stands for any text, fits a text.
fn matches_pattern(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(start) else { return false };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(mut text) = text.strip_suffix(end) else { return false };
    for piece in middle.split('*').filter(|piece| !piece.is_empty()) {
        let Some((_, after)) = text.split_once(piece) else { return false };
        text = after;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_star_stands_for_any_text() {
        for (pattern, text, fits) in [
            ("ci", "ci", true),
            ("ci", "ci-2", false),
            ("ci-*", "ci-2", true),
            ("*-ci", "web-ci", true),
            ("*-ci", "ci", false),
            ("*ci*", "a-ci-b", true),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*a", "a", false),
            ("a*b*c*d", "abcd", true),
            ("*", "anything", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(matches_pattern(pattern, text), fits, "{pattern} {text}");
        }
    }
}
