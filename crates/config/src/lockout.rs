//! `user_lockout`: when users of auth methods are locked after failed logins.

use std::collections::BTreeMap;

use strongroom_types::lockout::LOCKABLE_TYPES;
use strongroom_types::{LockoutPolicy, Ttl};

use crate::reading::{ConfigError, ConfigSection};

/// The `user_lockout` stanzas. A setting that the stanza of a type leaves out is that of `all`, and
/// otherwise the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockoutConfig {
    /// The stanza of all types.
    all: LockoutStanza,
    by_type: BTreeMap<String, LockoutStanza>,
}

/// One stanza; `None` where a setting is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct LockoutStanza {
    threshold: Option<u32>,
    duration: Option<Ttl>,
    counter_reset: Option<Ttl>,
    is_disabled: Option<bool>,
}

impl LockoutConfig {
    /// The policies of all types of auth methods whose users can be locked.
    pub fn policies(&self) -> BTreeMap<String, LockoutPolicy> {
        LOCKABLE_TYPES.map(|name| (name.to_owned(), self.policy_for(name))).into()
    }

    fn policy_for(&self, method: &str) -> LockoutPolicy {
        let (own, all) = (self.by_type.get(method).copied().unwrap_or_default(), self.all);
        let usual = LockoutPolicy::default();
        let duration = |setting: Option<Ttl>| setting.map(Ttl::as_duration);
        LockoutPolicy {
            is_enabled: own.is_disabled.or(all.is_disabled).map_or(usual.is_enabled, |off| !off),
            threshold: own.threshold.or(all.threshold).unwrap_or(usual.threshold),
            duration: duration(own.duration.or(all.duration)).unwrap_or(usual.duration),
            counter_reset: duration(own.counter_reset.or(all.counter_reset))
                .unwrap_or(usual.counter_reset),
        }
    }

    /// Reads the stanzas of one file over those of the files before.
    pub(crate) fn merge(&mut self, section: &ConfigSection<'_>) -> Result<(), ConfigError> {
        for block in section.blocks::<1>("user_lockout")? {
            let [label] = block.labels;
            let method = label.text.as_str();
            let stanza = match method {
                "all" => &mut self.all,
                _ if LOCKABLE_TYPES.contains(&method) => {
                    self.by_type.entry(method.to_owned()).or_default()
                }
                _ => {
                    let text = "user_lockout: the label must be all, approle, ldap or userpass";
                    return Err(ConfigError::at_location(&section.location_of_key(label), text));
                }
            };
            stanza.read(&section.nested(block.body))?;
        }
        Ok(())
    }
}

impl LockoutStanza {
    fn read(&mut self, section: &ConfigSection<'_>) -> Result<(), ConfigError> {
        if section.location_if_set("lockout_threshold").is_some() {
            let mut threshold = 0;
            section.read_size("lockout_threshold", &mut threshold)?;
            let fits = u32::try_from(threshold).ok().filter(|count| *count > 0);
            let text = "must be from 1 to 4294967295; disable_lockout = true disables the lockout";
            let invalid = || section.invalid_setting("lockout_threshold", text);
            self.threshold = Some(fits.ok_or_else(invalid)?);
        }
        for (name, setting) in [
            ("lockout_duration", &mut self.duration),
            ("lockout_counter_reset", &mut self.counter_reset),
        ] {
            if section.location_if_set(name).is_some() {
                let mut duration = Ttl::ZERO;
                section.read_duration(name, &mut duration)?;
                if duration.is_zero() {
                    return Err(section.invalid_setting(name, "must be longer than zero"));
                }
                *setting = Some(duration);
            }
        }
        if section.location_if_set("disable_lockout").is_some() {
            let mut is_disabled = false;
            section.read_flag("disable_lockout", &mut is_disabled)?;
            self.is_disabled = Some(is_disabled);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    fn read(stanzas: &str) -> Result<BTreeMap<String, LockoutPolicy>, String> {
        let text =
            format!("storage \"inmem\" {{}}\nlistener \"tcp\" {{ tls_disable = true }}\n{stanzas}");
        let config = Config::parse(&text, "t.hcl").map_err(|error| error.to_string())?;
        assert_eq!(config.warnings, [""; 0], "{stanzas}");
        Ok(config.user_lockout.policies())
    }

    #[test]
    fn users_are_locked_by_default() {
        let rules = read("").unwrap();
        assert_eq!(rules.len(), 3);
        for rule in rules.values() {
            assert!(rule.is_enabled && rule.threshold == 5);
            assert_eq!((rule.duration.as_secs(), rule.counter_reset.as_secs()), (900, 900));
        }
    }

    #[test]
    fn a_type_takes_what_it_leaves_out_from_all() {
        let rules = read(
            "user_lockout \"ldap\" { lockout_threshold = \"3\" disable_lockout = \"false\" }\n\
             user_lockout \"all\" { lockout_duration = \"10m\" disable_lockout = true }\n\
             user_lockout \"userpass\" { lockout_counter_reset = 60 }",
        );
        let rules = rules.unwrap();
        let (ldap, userpass) = (rules["ldap"], rules["userpass"]);
        assert!(ldap.is_enabled && ldap.threshold == 3 && ldap.duration.as_secs() == 600);
        assert!(!userpass.is_enabled && userpass.counter_reset.as_secs() == 60);
        assert!(!rules["approle"].is_enabled);
    }

    #[test]
    fn invalid_stanzas_are_refused_with_their_place() {
        for (stanza, place) in [
            ("user_lockout \"jwt\" {}", "t.hcl:3:14"),
            ("user_lockout \"all\" { lockout_threshold = 0 }", "t.hcl:3:"),
            ("user_lockout \"all\" { lockout_threshold = \"many\" }", "t.hcl:3:"),
            ("user_lockout \"all\" { lockout_duration = 0 }", "t.hcl:3:"),
            ("user_lockout \"all\" { disable_lockout = 7 }", "t.hcl:3:"),
        ] {
            let error = read(stanza).unwrap_err();
            assert!(error.starts_with(place), "{error}");
        }
    }
}
