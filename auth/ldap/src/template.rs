//! Filters with placeholders, as Vault writes them: `({{.UserAttr}}={{.Username}})`.

use strongroom_sdk::ldap::{LdapFilter, escape_filter_value};

/// The values of the placeholders of one filter.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FilterValues<'a> {
    pub(crate) user_attribute: Option<&'a str>,
    pub(crate) user_name: Option<&'a str>,
    pub(crate) user_dn: Option<&'a str>,
}

/// Replaces the placeholders by their values, each escaped as a value of a filter, and parses the
/// result. Of Go's template language there are only the placeholders.
pub(crate) fn render_filter(
    template: &str,
    values: FilterValues<'_>,
) -> Result<LdapFilter, String> {
    let (mut text, mut rest) = (String::with_capacity(template.len() + 64), template);
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").ok_or("a }} is missing")?;
        let value = match name.trim_matches([' ', '-']) {
            ".UserAttr" => values.user_attribute,
            ".Username" => values.user_name,
            ".UserDN" => values.user_dn,
            _ => None,
        };
        let value = value.ok_or(
            "of templates there are only the placeholders {{.Username}}, {{.UserAttr}} in a userfilter \
             and {{.UserDN}} in a groupfilter",
        )?;
        text.push_str(before);
        text.push_str(&escape_filter_value(value));
        rest = after;
    }
    text.push_str(rest);
    LdapFilter::parse(&text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_values_whatever_they_contain() {
        let values = |user_name| FilterValues {
            user_attribute: Some("uid"),
            user_name: Some(user_name),
            user_dn: None,
        };
        for name in ["alice", "a*", "*)(uid=*", "a)(|(x=*", r"a\2a", "{{.UserAttr}}", "ü\0"] {
            let filter = render_filter("({{.UserAttr}}={{ .Username -}})", values(name));
            assert_eq!(filter, Ok(LdapFilter::equals("uid", name)), "{name}");
        }
        for bad in
            ["({{.UserAttr}}={{.UserDN}})", "({{.UserAttr}}={{if}})", "(a={{.Username)", "uid"]
        {
            assert!(render_filter(bad, values("a")).is_err(), "{bad}");
        }
    }
}
