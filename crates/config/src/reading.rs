//! Reads configuration files and sections; messages name the file, line and column.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use strongroom_hcl::{HclBlock, HclBody, HclItem, HclKey, HclValue, ParseError, Position};
use strongroom_types::Ttl;

/// Why the configuration can't be used. The text names the setting and its location, not its value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

/// A location in a configuration: `file:line:column`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigLocation(String);

impl fmt::Display for ConfigLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ConfigError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The parser's messages begin with line and column; this puts the file name in front.
    pub(crate) fn from_parse_error(file: &str, error: &ParseError) -> Self {
        Self(format!("{file}:{error}"))
    }

    pub(crate) fn at_location(place: &ConfigLocation, text: impl fmt::Display) -> Self {
        Self(format!("{place}: {text}"))
    }
}

/// The texts of the files, and of the `.hcl` and `.json` files in the folders, sorted by name.
pub(crate) fn read_config_files(paths: &[PathBuf]) -> Result<Vec<(String, String)>, ConfigError> {
    let mut texts = Vec::new();
    for path in paths {
        if path.is_dir() {
            let entries = std::fs::read_dir(path).map_err(|error| unreadable_file(path, &error))?;
            let mut inside: Vec<PathBuf> =
                entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
            inside.sort();
            let is_config = |path: &&PathBuf| {
                path.is_file() && path.extension().is_some_and(|ext| ext == "hcl" || ext == "json")
            };
            for file in inside.iter().filter(is_config) {
                texts.push(read_file(file)?);
            }
        } else {
            texts.push(read_file(path)?);
        }
    }
    Ok(texts)
}

fn read_file(path: &Path) -> Result<(String, String), ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| unreadable_file(path, &error))?;
    Ok((path.display().to_string(), text))
}

fn unreadable_file(path: &Path, error: &std::io::Error) -> ConfigError {
    ConfigError(format!("{} can't be read: {error}", path.display()))
}

const TEMPLATES_NOT_EVALUATED: &str = "contains a go-sockaddr template such as {{ GetPrivateIP }}, which this \
     server doesn't evaluate: write the address itself, or generate the file with it";

/// Whether a text contains `{{ … }}`, a go-sockaddr template. The braces may enclose anything, and
/// the template is not evaluated.
pub fn has_template(text: &str) -> bool {
    text.split_once("{{").is_some_and(|(_, rest)| rest.contains("}}"))
}

/// An object of the configuration, with the name of its file.
#[derive(Clone, Copy)]
pub(crate) struct ConfigSection<'t> {
    body: &'t HclBody,
    file: &'t str,
}

impl<'t> ConfigSection<'t> {
    pub(crate) fn new(body: &'t HclBody, file: &'t str) -> Self {
        Self { body, file }
    }

    /// A section for an object nested in this one.
    pub(crate) fn nested<'b>(&self, body: &'b HclBody) -> ConfigSection<'b>
    where
        't: 'b,
    {
        ConfigSection { body, file: self.file }
    }

    pub(crate) fn location_of_key(&self, key: &HclKey) -> ConfigLocation {
        self.location_at(key.position)
    }

    pub(crate) fn location_at(&self, position: Position) -> ConfigLocation {
        ConfigLocation(format!("{}:{position}", self.file))
    }

    /// All settings and blocks of the section.
    pub(crate) fn items(&self) -> &'t [HclItem] {
        self.body.items()
    }

    /// The blocks with this name and number of labels.
    pub(crate) fn blocks<const LABELS: usize>(
        &self,
        name: &str,
    ) -> Result<Vec<HclBlock<'t, LABELS>>, ConfigError> {
        self.body.blocks(name).map_err(|error| ConfigError::from_parse_error(self.file, &error))
    }

    /// Returns an error if one of these settings is present.
    pub(crate) fn refuse_settings(&self, names: &[&str], why: &str) -> Result<(), ConfigError> {
        let items = self.body.items().iter();
        match items.into_iter().find(|item| names.contains(&item.key.text.as_str())) {
            Some(item) => {
                let place = self.location_of_key(&item.key);
                Err(ConfigError::at_location(&place, format!("{}: {why}", item.key.text)))
            }
            None => Ok(()),
        }
    }

    /// Returns an error if this setting is switched on.
    pub(crate) fn refuse_flag(&self, name: &str, why: &str) -> Result<(), ConfigError> {
        let mut on = false;
        self.read_flag(name, &mut on)?;
        if on { Err(self.invalid_setting(name, why)) } else { Ok(()) }
    }

    /// Reads a setting with one of the readers of [`HclValue`].
    pub(crate) fn read<T>(
        &self,
        name: &str,
        reader: impl FnOnce(&'t HclValue) -> Result<T, ParseError>,
    ) -> Result<Option<T>, ConfigError> {
        self.body
            .read(name, reader)
            .map_err(|error| ConfigError::from_parse_error(self.file, &error))
    }

    /// Reads a string into `to` if the setting is present.
    pub(crate) fn read_text(&self, name: &str, to: &mut String) -> Result<(), ConfigError> {
        if let Some(text) = self.read(name, HclValue::as_str)? {
            text.clone_into(to);
        }
        Ok(())
    }

    /// Reads a boolean into `to` if the setting is present.
    pub(crate) fn read_flag(&self, name: &str, to: &mut bool) -> Result<(), ConfigError> {
        if let Some(flag) = self.read(name, HclValue::as_bool_loose)? {
            *to = flag;
        }
        Ok(())
    }

    /// Reads a duration into `to` if the setting is present: seconds, or text such as `1h`.
    pub(crate) fn read_duration(&self, name: &str, to: &mut Ttl) -> Result<(), ConfigError> {
        if let Some(text) = self.read(name, HclValue::as_text)? {
            *to = Ttl::parse(text).map_err(|_| {
                self.invalid_setting(name, "must be a duration such as 3600 or \"1h\"")
            })?;
        }
        Ok(())
    }

    /// Like [`Self::read_size`], but zero means the default, as in Vault's listeners.
    pub(crate) fn read_size_or_default(
        &self,
        name: &str,
        to: &mut usize,
    ) -> Result<(), ConfigError> {
        if self.read(name, HclValue::as_int)? == Some(0) {
            Ok(())
        } else {
            self.read_size(name, to)
        }
    }

    /// Reads an integer of at least one into `to` if the setting is present.
    pub(crate) fn read_size(&self, name: &str, to: &mut usize) -> Result<(), ConfigError> {
        if let Some(number) = self.read(name, HclValue::as_int)? {
            let positive = usize::try_from(number).ok().filter(|number| *number > 0);
            *to = positive
                .ok_or_else(|| self.invalid_setting(name, "must be a whole number above zero"))?;
        }
        Ok(())
    }

    /// Reads a value into `to` with the type's own parser if the setting is present.
    pub(crate) fn read_parsed<T>(&self, name: &str, to: &mut T) -> Result<(), ConfigError>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        if let Some(text) = self.read(name, HclValue::as_str)? {
            *to = text.parse().map_err(|error: T::Err| self.invalid_setting(name, error))?;
        }
        Ok(())
    }

    /// Reads a path into `to` if the setting is present and not empty. A relative path is resolved
    /// against the server's working directory.
    pub(crate) fn read_path(
        &self,
        name: &str,
        to: &mut Option<PathBuf>,
    ) -> Result<(), ConfigError> {
        let mut path = String::new();
        self.read_text(name, &mut path)?;
        if !path.is_empty() {
            let path = std::path::absolute(&path).map_err(|_| {
                self.invalid_setting(
                    name,
                    "must be an absolute path: the current folder can't be found",
                )
            })?;
            *to = Some(path);
        }
        Ok(())
    }

    /// Reads an address into `to` if the setting is present. Templates in it aren't evaluated.
    pub(crate) fn read_address(&self, name: &str, to: &mut String) -> Result<(), ConfigError> {
        let mut address = to.clone();
        self.read_text(name, &mut address)?;
        if has_template(&address) {
            return Err(self.invalid_setting(name, TEMPLATES_NOT_EVALUATED));
        }
        *to = address;
        Ok(())
    }

    /// The location of a setting, if it is present.
    pub(crate) fn location_if_set(&self, name: &str) -> Option<ConfigLocation> {
        self.body.last_item(name).map(|item| self.location_of_key(&item.key))
    }

    /// The location of a setting, or only the file name if it is missing.
    pub(crate) fn location_of(&self, name: &str) -> ConfigLocation {
        self.location_if_set(name).unwrap_or_else(|| ConfigLocation(self.file.to_owned()))
    }

    /// An error about the value of a setting, which doesn't quote the value.
    pub(crate) fn invalid_setting(&self, name: &str, text: impl fmt::Display) -> ConfigError {
        ConfigError::at_location(&self.location_of(name), format!("{name}: {text}"))
    }
}
