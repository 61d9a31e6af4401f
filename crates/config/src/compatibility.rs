//! Every setting of Vault's and OpenBao's configuration files, and what becomes of it here.
//!
//! The tables are what the reader follows: what stands in none of them is unknown, and gets a
//! warning. The page "Settings of Vault and OpenBao" of the book is made of them, and a test plays
//! every row.
//!
//! - [`top_level`]: the file itself, `telemetry`, and blocks that have no settings of their own here
//! - [`listener`]: `listener "tcp"` and `listener "unix"`, with the blocks in them
//! - [`storage`]: `storage`, and the kinds of `storage` and `seal`

pub mod listener;
pub mod storage;
pub mod top_level;

#[cfg(test)]
mod tests;

pub use listener::{INFLIGHT_REQUESTS, LISTENER_TELEMETRY, PROFILING, TCP_LISTENER, UNIX_LISTENER};
pub use storage::{
    BlockKind, EMBEDDED_STORAGE, INMEM_STORAGE, REGISTRATION_KINDS, SEAL_KINDS, STORAGE_KINDS,
};
use strongroom_hcl::{HclItem, ValueKind};
use strongroom_types::parse_bool;
pub use top_level::{TELEMETRY, TOP_LEVEL};

use crate::reading::{ConfigError, ConfigSection};

/// What becomes of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingTreatment {
    /// It does what it does in Vault.
    Honoured,
    /// The server starts and warns, with the reason: leaving it out changes nothing that is
    /// protected.
    Ignored(&'static str),
    /// The server doesn't start, for this reason: leaving it out would change what is protected, or
    /// where requests or data go.
    Refused(&'static str),
}

/// Whose setting it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingOrigin {
    /// Vault's and OpenBao's.
    Both,
    /// Vault's alone.
    Vault,
    /// OpenBao's alone.
    OpenBao,
    /// Strongroom's own.
    Own,
}

/// A setting.
#[derive(Clone, Copy, Debug)]
pub struct SettingSpec {
    pub name: &'static str,
    pub origin: SettingOrigin,
    pub treatment: SettingTreatment,
    /// Values that ask for what happens anyway. They are taken without a word.
    pub as_is: &'static [&'static str],
    /// The setting as a file has it, in HCL. The last line is the one that is judged.
    pub example: &'static str,
}

/// The settings of one block.
pub struct SettingTable {
    /// What the book calls the block.
    pub title: &'static str,
    /// What stands before and after an example of it.
    pub example_context: [&'static str; 2],
    pub settings: &'static [SettingSpec],
}

/// What a switch is without being mentioned.
const OFF: &[&str] = &["false", "0", ""];
const NEVER: &[&str] = &[];

const fn honoured(origin: SettingOrigin, name: &'static str, example: &'static str) -> SettingSpec {
    SettingSpec { name, origin, treatment: SettingTreatment::Honoured, as_is: NEVER, example }
}

const fn ignored(
    origin: SettingOrigin,
    name: &'static str,
    example: &'static str,
    why: &'static str,
) -> SettingSpec {
    SettingSpec { name, origin, treatment: SettingTreatment::Ignored(why), as_is: OFF, example }
}

const fn refused(
    origin: SettingOrigin,
    name: &'static str,
    example: &'static str,
    why: &'static str,
) -> SettingSpec {
    SettingSpec { name, origin, treatment: SettingTreatment::Refused(why), as_is: OFF, example }
}

impl SettingSpec {
    /// With other values that ask for what happens anyway.
    const fn as_is(self, values: &'static [&'static str]) -> Self {
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
    /// Judges all that stands in a block: refuses, warns, or says nothing. What is honoured is read
    /// afterwards.
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
            // Vault reads names in any case, and a warning would leave out what protects.
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
