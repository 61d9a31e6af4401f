//! Access to environment variables.

use strongroom_types::parse_bool;

/// Looks up variables. `BAO_…` takes precedence over `VAULT_…`, even if it is empty.
pub(crate) struct Environment(VariableLookup);

type VariableLookup = Box<dyn Fn(&str) -> Option<String>>;

impl Environment {
    /// The environment of this process.
    pub(crate) fn from_process() -> Self {
        // A value that isn't UTF-8 counts as set; the code that uses it will refuse it.
        let look_up =
            |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        Self(Box::new(look_up))
    }

    /// An environment with these variables, for tests.
    #[cfg(test)]
    pub(crate) fn from_pairs(variables: &[(&str, &str)]) -> Self {
        let own = |text: &&str| (*text).to_owned();
        let variables: std::collections::BTreeMap<String, String> =
            variables.iter().map(|(name, value)| (own(name), own(value))).collect();
        Self(Box::new(move |name| variables.get(name).cloned()))
    }

    /// A setting by the name that both prefixes share, such as `ADDR`. An empty value counts as
    /// unset.
    pub(crate) fn setting(&self, name: &str) -> Option<String> {
        self.find_setting(name).map(|(_, value)| value)
    }

    /// The name of the variable that a setting comes from.
    pub(crate) fn variable_name(&self, name: &str) -> Option<String> {
        self.find_setting(name).map(|(variable, _)| variable)
    }

    fn find_setting(&self, name: &str) -> Option<(String, String)> {
        let families = ["BAO", "VAULT"].map(|family| format!("{family}_{name}"));
        let mut set = families.into_iter().filter_map(|it| Some(((self.0)(&it)?, it)));
        let (value, variable) = set.next()?;
        (!value.is_empty()).then_some((variable, value))
    }

    /// A boolean setting; an error if it is not a boolean.
    pub(crate) fn bool_setting(&self, name: &str) -> Result<Option<bool>, String> {
        let read = |text: String| {
            parse_bool(&text).ok_or_else(|| format!("VAULT_{name} must be true or false"))
        };
        self.setting(name).map(read).transpose()
    }

    /// Whether colours may be used on a terminal (<https://no-color.org>).
    pub(crate) fn wants_colour(&self) -> bool {
        let no_colour = (self.0)("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_dumb = (self.0)("TERM").is_some_and(|term| term == "dumb");
        !no_colour && !is_dumb && self.setting("CLI_NO_COLOR").is_none()
    }

    /// A variable by its exact name, without a prefix.
    pub(crate) fn raw_variable(&self, name: &str) -> Option<String> {
        (self.0)(name)
    }

    /// The user's home directory.
    pub(crate) fn home_dir(&self) -> Option<String> {
        (self.0)("HOME").filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bao_comes_first_even_if_empty() {
        let environment = Environment::from_pairs(&[
            ("VAULT_ADDR", "vault"),
            ("BAO_ADDR", "bao"),
            ("VAULT_TOKEN", "vault"),
            ("BAO_TOKEN", ""),
            ("VAULT_FORMAT", "json"),
        ]);
        assert_eq!(environment.setting("ADDR").as_deref(), Some("bao"));
        assert_eq!(environment.setting("TOKEN"), None);
        assert_eq!(environment.setting("FORMAT").as_deref(), Some("json"));
        assert_eq!(environment.setting("CACERT"), None);
        assert_eq!(environment.variable_name("ADDR").as_deref(), Some("BAO_ADDR"));
        assert_eq!(environment.variable_name("TOKEN"), None);
        assert_eq!(environment.variable_name("FORMAT").as_deref(), Some("VAULT_FORMAT"));
    }

    #[test]
    fn booleans_are_read_as_go_does() {
        let environment =
            Environment::from_pairs(&[("VAULT_SKIP_VERIFY", "T"), ("BAO_DETAILED", "yes")]);
        assert_eq!(environment.bool_setting("SKIP_VERIFY"), Ok(Some(true)));
        assert!(environment.bool_setting("DETAILED").unwrap_err().contains("VAULT_DETAILED"));
        assert_eq!(environment.bool_setting("NOTHING"), Ok(None));
    }

    #[test]
    fn colours_can_be_disabled() {
        assert!(Environment::from_pairs(&[("NO_COLOR", "")]).wants_colour());
        for (name, value) in [
            ("NO_COLOR", "1"),
            ("TERM", "dumb"),
            ("VAULT_CLI_NO_COLOR", "0"),
            ("BAO_CLI_NO_COLOR", "x"),
        ] {
            assert!(!Environment::from_pairs(&[(name, value)]).wants_colour(), "{name}");
        }
    }
}
