//! Every setting of Vault's and OpenBao's configuration files, and how it is treated here.
//!
//! The configuration reader uses these tables: a setting that is in none of them is unknown and
//! causes a warning. The book's page "Settings of Vault and OpenBao" is generated from them, and a
//! test checks every row.
//!
//! - [`top_level`]: the file itself, `telemetry`, and blocks that have no settings of their own here
//! - [`listener`]: `listener "tcp"` and `listener "unix"`, with the blocks in them
//! - [`block_kinds`]: the types of `seal` and `service_registration`
//! - [`storage`](crate::storage): those of `storage`, and their settings

pub mod block_kinds;
pub mod listener;
pub mod top_level;

#[cfg(test)]
mod tests;

pub use block_kinds::{BlockKind, REGISTRATION_KINDS, SEAL_KINDS};
pub(crate) use block_kinds::{supported, unsupported};
pub use listener::{INFLIGHT_REQUESTS, LISTENER_TELEMETRY, PROFILING, TCP_LISTENER, UNIX_LISTENER};
use strongroom_hcl::{HclItem, ValueKind};
use strongroom_types::parse_bool;
pub use top_level::{TELEMETRY, TOP_LEVEL};

use crate::reading::{ConfigError, ConfigSection};

/// How a setting is treated when a configuration contains it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingTreatment {
    /// It works as in Vault.
    Honoured,
    /// The server starts and warns, with this reason: ignoring the setting weakens no protection.
    Ignored(&'static str),
    /// The server doesn't start, for this reason: ignoring the setting would weaken protection or
    /// change where requests or data go.
    Refused(&'static str),
}

/// Which product's configuration files have the setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingOrigin {
    /// Vault and OpenBao.
    Both,
    /// Only Vault.
    Vault,
    /// Only OpenBao.
    OpenBao,
    /// Only Strongroom.
    Own,
}

/// A setting, where it comes from and how it is treated.
#[derive(Clone, Copy, Debug)]
pub struct SettingSpec {
    /// The name of the setting as it stands in a configuration file, without its block.
    pub name: &'static str,
    /// Which of the reference servers has the setting.
    pub origin: SettingOrigin,
    /// What this server does when a configuration file contains the setting.
    pub treatment: SettingTreatment,
    /// Values that ask for what the server does anyway. They are accepted without a warning.
    pub as_is: &'static [&'static str],
    /// The setting as it appears in a file, in HCL. The last line is the one under test.
    pub example: &'static str,
}

/// The settings of one block of the configuration, with the title of its table in the book.
pub struct SettingTable {
    /// The heading of the block's table in the book.
    pub title: &'static str,
    /// The HCL before and after an example of the block.
    pub example_context: [&'static str; 2],
    /// The settings, in the order in which the book lists them.
    pub settings: &'static [SettingSpec],
}

/// The values that mean the same as leaving a switch out.
const OFF: &[&str] = &["false", "0", ""];
const NEVER: &[&str] = &[];

pub(crate) const fn honoured(
    origin: SettingOrigin,
    name: &'static str,
    example: &'static str,
) -> SettingSpec {
    SettingSpec { name, origin, treatment: SettingTreatment::Honoured, as_is: NEVER, example }
}

pub(crate) const fn ignored(
    origin: SettingOrigin,
    name: &'static str,
    example: &'static str,
    why: &'static str,
) -> SettingSpec {
    SettingSpec { name, origin, treatment: SettingTreatment::Ignored(why), as_is: OFF, example }
}

pub(crate) const fn refused(
    origin: SettingOrigin,
    name: &'static str,
    example: &'static str,
    why: &'static str,
) -> SettingSpec {
    SettingSpec { name, origin, treatment: SettingTreatment::Refused(why), as_is: OFF, example }
}

impl SettingSpec {
    /// Sets other values that ask for what the server does anyway.
    pub(crate) const fn as_is(self, values: &'static [&'static str]) -> Self {
        Self { as_is: values, ..self }
    }

    fn matches_actual_behaviour(&self, item: &HclItem) -> bool {
        let text = match &item.value.kind {
            ValueKind::Null => "",
            ValueKind::Bool(true) => "true",
            ValueKind::Bool(false) => "false",
            ValueKind::String(text) => text,
            ValueKind::Number(number) => number.literal(),
            ValueKind::List(entries) if entries.is_empty() => "",
            ValueKind::List(_) | ValueKind::Object(_) => return false,
        };
        let same = |value: &&str| {
            let both = (parse_bool(text), parse_bool(value));
            text == *value || matches!(both, (Some(one), Some(other)) if one == other)
        };
        self.as_is.iter().any(same)
    }
}

impl SettingTable {
    /// Checks every setting of a block: returns an error for a refused one, and adds warnings for
    /// ignored and unknown ones. The values of honoured settings are read afterwards.
    pub(crate) fn check_section(
        &self,
        section: &ConfigSection<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<(), ConfigError> {
        for item in section.items() {
            let (name, place) = (&item.key.text, section.location_of_key(&item.key));
            let Some(setting) = self.settings.iter().find(|it| it.name.eq_ignore_ascii_case(name))
            else {
                warnings.push(format!(
                    "unknown or unsupported field {name} found in configuration at {place}"
                ));
                continue;
            };
            if setting.matches_actual_behaviour(item) {
                continue;
            }
            // Vault reads names in any case. Treating such a setting as unknown could silently drop
            // one that protects something.
            if setting.name != *name && !matches!(setting.treatment, SettingTreatment::Ignored(_)) {
                let text = format!("{name}: write it in lower case: {}", setting.name);
                return Err(ConfigError::at_location(&place, text));
            }
            match setting.treatment {
                SettingTreatment::Honoured => {}
                SettingTreatment::Ignored(why) => {
                    warnings.push(format!("the setting {name} has no effect at {place}: {why}"));
                }
                SettingTreatment::Refused(why) => {
                    return Err(ConfigError::at_location(&place, format!("{name}: {why}")));
                }
            }
        }
        Ok(())
    }
}
