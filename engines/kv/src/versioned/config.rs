//! `config`: settings that apply to all entries of the mount.

use serde_json::value::RawValue;
use strongroom_sdk::field::{Field, FieldKind, InvalidValue};
use strongroom_sdk::{Context, Document, DurationSecs, Error, Input, Response, ResponseData};

use super::input::parse_max_versions;

/// The stored settings.
#[derive(Debug, Default, Clone, Document)]
#[document(path = "config", internal_key)]
pub(crate) struct Config {
    /// The number of versions an entry keeps.
    pub(crate) max_versions: u32,
    /// Whether writes require check-and-set.
    pub(crate) cas_required: bool,
    /// The age at which new versions are deleted.
    pub(crate) delete_version_after: DeleteVersionAfter,
    /// Whether changes of metadata require check-and-set.
    pub(crate) metadata_cas_required: bool,
}

/// The age at which new versions are deleted. Zero means never, unless an entry sets it; a negative
/// value means never, even if an entry sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeleteVersionAfter(Option<u64>);

impl Default for DeleteVersionAfter {
    fn default() -> Self {
        Self(Some(0))
    }
}

impl DeleteVersionAfter {
    /// Never, even if an entry sets an age.
    #[cfg(test)]
    pub(crate) const NEVER: Self = Self(None);

    #[cfg(test)]
    pub(crate) fn from_secs(secs: u64) -> Self {
        Self(Some(secs))
    }

    /// The age in seconds; `None` if deletion is switched off for all entries.
    pub(crate) fn as_secs(self) -> Option<u64> {
        self.0
    }
}

#[derive(Input)]
pub(crate) struct ConfigInput {
    /// The number of versions to keep of each entry, at most 4096; 0 for 10. An entry can set a
    /// larger number.
    max_versions: Option<i64>,
    /// Whether each write requires the check-and-set parameter `options.cas`.
    cas_required: Option<bool>,
    /// The age at which new versions are deleted; 0 for never, negative to disable it for all
    /// entries.
    delete_version_after: Option<DeleteVersionAfter>,
    /// Whether each change of metadata requires the check-and-set parameter `metadata_cas`.
    metadata_cas_required: Option<bool>,
}

#[derive(ResponseData)]
struct KvConfigResponse {
    cas_required: bool,
    delete_version_after: DeleteVersionAfter,
    max_versions: u32,
    metadata_cas_required: bool,
}

/// Loads the mount's settings.
pub(crate) async fn load(context: &Context) -> Result<Config, Error> {
    let stored = context.documents().get::<Config>(&[]).await?;
    Ok(stored.map(|config| (*config).clone()).unwrap_or_default())
}

pub(crate) async fn read(context: Context, (): ()) -> Result<Response, Error> {
    let Config { max_versions, cas_required, delete_version_after, metadata_cas_required } =
        load(&context).await?;
    Ok(Response::data(&KvConfigResponse {
        cas_required,
        delete_version_after,
        max_versions,
        metadata_cas_required,
    }))
}

pub(crate) async fn write(context: Context, input: ConfigInput) -> Result<Response, Error> {
    let kept = input.max_versions.map(parse_max_versions).transpose()?;
    let edit = |stored: Option<Config>| {
        let old = stored.unwrap_or_default();
        Ok(Config {
            max_versions: kept.unwrap_or(old.max_versions),
            cas_required: input.cas_required.unwrap_or(old.cas_required),
            delete_version_after: input.delete_version_after.unwrap_or(old.delete_version_after),
            metadata_cas_required: input.metadata_cas_required.unwrap_or(old.metadata_cas_required),
        })
    };
    context.documents().change::<Config>(&[], edit).await?;
    Ok(Response::no_content())
}

impl Field for DeleteVersionAfter {
    const KIND: FieldKind = FieldKind::Duration;

    fn value_if_absent() -> Option<Self> {
        Some(Self::default())
    }

    fn read(raw: &RawValue) -> Result<Self, InvalidValue> {
        const BAD: InvalidValue =
            InvalidValue("a duration such as 3600 or \"1h\", or a negative one");
        let text = String::read(raw).map_err(|_| BAD)?;
        let (negative, magnitude) = match text.trim().strip_prefix('-') {
            Some(magnitude) => (true, magnitude),
            None => (false, text.trim()),
        };
        let magnitude = serde_json::value::to_raw_value(magnitude).map_err(|_| BAD)?;
        let secs = DurationSecs::read(&magnitude).map_err(|_| BAD)?.0.as_secs();
        Ok(Self((!negative || secs == 0).then_some(secs)))
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        match self.0 {
            Some(secs) => strongroom_sdk::Ttl::from_secs(secs).to_string().write(out),
            None => "-1s".to_owned().write(out),
        }
    }
}
