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
use strongroom_hcl::{Item, Kind};
use strongroom_types::parse_bool;
pub use top_level::{TELEMETRY, TOP_LEVEL};

use crate::reading::{ConfigError, Section};

/// What becomes of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
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
pub enum Origin {
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
pub struct Setting {
    pub name: &'static str,
    pub origin: Origin,
    pub treatment: Treatment,
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
    pub around: [&'static str; 2],
    pub settings: &'static [Setting],
}

/// What a switch is without being mentioned.
const OFF: &[&str] = &["false", "0", ""];
const NEVER: &[&str] = &[];

const fn honoured(origin: Origin, name: &'static str, example: &'static str) -> Setting {
    Setting { name, origin, treatment: Treatment::Honoured, as_is: NEVER, example }
}

const fn ignored(
    origin: Origin,
    name: &'static str,
    example: &'static str,
    why: &'static str,
) -> Setting {
    Setting { name, origin, treatment: Treatment::Ignored(why), as_is: OFF, example }
}

const fn refused(
    origin: Origin,
    name: &'static str,
    example: &'static str,
    why: &'static str,
) -> Setting {
    Setting { name, origin, treatment: Treatment::Refused(why), as_is: OFF, example }
}

impl Setting {
    /// With other values that ask for what happens anyway.
    const fn as_is(self, values: &'static [&'static str]) -> Self {
        Self { as_is: values, ..self }
    }

    fn says_what_is(&self, item: &Item) -> bool {
        let text = match &item.value.kind {
            Kind::Null => "",
            Kind::Bool(true) => "true",
            Kind::Bool(false) => "false",
            Kind::String(text) => text,
            Kind::Number(number) => number.literal(),
            Kind::List(entries) if entries.is_empty() => "",
            Kind::List(_) | Kind::Object(_) => return false,
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
    pub(crate) fn judge(
        &self,
        section: &Section<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<(), ConfigError> {
        for item in section.items() {
            let (name, place) = (&item.key.text, section.place(&item.key));
            let Some(setting) = self.settings.iter().find(|it| it.name.eq_ignore_ascii_case(name))
            else {
                warnings.push(format!(
                    "unknown or unsupported field {name} found in configuration at {place}"
                ));
                continue;
            };
            if setting.says_what_is(item) {
                continue;
            }
            // Vault reads names in any case, and a warning would leave out what protects.
            if setting.name != *name && !matches!(setting.treatment, Treatment::Ignored(_)) {
                let text = format!("{name}: write it in lower case: {}", setting.name);
                return Err(ConfigError::at(&place, text));
            }
            match setting.treatment {
                Treatment::Honoured => {}
                Treatment::Ignored(why) => {
                    warnings.push(format!("the setting {name} has no effect at {place}: {why}"));
                }
                Treatment::Refused(why) => {
                    return Err(ConfigError::at(&place, format!("{name}: {why}")));
                }
            }
        }
        Ok(())
    }
}
