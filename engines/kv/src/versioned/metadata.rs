//! The endpoints `metadata/` and `detailed-metadata/`, which never return data.

use std::collections::BTreeMap;

use strongroom_sdk::records::check_name;
use strongroom_sdk::{Context, DurationSecs, Error, Input, Listing, NullableField, Response};

use super::config::{self, Config};
use super::custom_metadata::CustomMetadataInput;
use super::entry::{KvEntry, KvEntrySettings};
use super::input::parse_max_versions;
use super::response::{DetailedMetadataResponse, MetadataResponse};
use super::store::{self, ENTRIES, EntryChange, SideWrites};

/// The maximum size in bytes of the metadata in one list response.
const MAX_DETAILED_BYTES: usize = 16 << 20;

#[derive(Input)]
pub(crate) struct EntryPathInput {
    /// The path of the secret.
    path: String,
}

#[derive(Clone, Input)]
pub(crate) struct MetadataInput {
    /// The path of the secret.
    path: String,
    /// The number of versions to keep, at most 4096; 0 for the setting of the mount, which also
    /// applies if it is larger.
    max_versions: NullableField<i64>,
    /// Whether each write requires the check-and-set parameter `options.cas`.
    cas_required: NullableField<bool>,
    /// The age at which new versions are deleted; 0 for the setting of the mount, which also
    /// applies if it is lower.
    delete_version_after: NullableField<DurationSecs>,
    /// Arbitrary metadata: at most 64 keys of 128 bytes, with values of 512 bytes.
    custom_metadata: NullableField<CustomMetadataInput>,
    /// Whether each change of metadata requires the check-and-set parameter `metadata_cas`.
    metadata_cas_required: NullableField<bool>,
    /// The metadata version that this change replaces; 0 for none.
    metadata_cas: Option<i64>,
}

impl MetadataInput {
    /// Whether the request has no field to change.
    fn is_empty(&self) -> bool {
        self.max_versions.is_absent()
            && self.cas_required.is_absent()
            && self.delete_version_after.is_absent()
            && self.custom_metadata.is_absent()
            && self.metadata_cas_required.is_absent()
    }

    /// The settings after the change; `null` restores a default. A write replaces custom metadata,
    /// a patch merges it.
    fn apply_to(self, old: KvEntrySettings, patch: bool) -> Result<KvEntrySettings, Error> {
        let kept = match self.max_versions {
            NullableField::Absent => old.max_versions,
            NullableField::Null => 0,
            NullableField::Value(given) => parse_max_versions(given)?,
        };
        let after = Some(old.delete_after_secs);
        let after = match self.delete_version_after {
            NullableField::Absent => after,
            NullableField::Null => None,
            NullableField::Value(DurationSecs(ttl)) => Some(ttl.as_secs()),
        };
        let custom = match self.custom_metadata {
            NullableField::Absent => old.custom_metadata,
            NullableField::Null => BTreeMap::new(),
            NullableField::Value(given) if patch => given.merge_into(old.custom_metadata)?,
            NullableField::Value(given) => given.to_replacement()?,
        };
        Ok(KvEntrySettings {
            max_versions: kept,
            cas_required: self.cas_required.apply_to(Some(old.cas_required)).unwrap_or_default(),
            delete_after_secs: after.unwrap_or_default(),
            metadata_cas_required: self
                .metadata_cas_required
                .apply_to(Some(old.metadata_cas_required))
                .unwrap_or_default(),
            custom_metadata: custom,
        })
    }

    /// Checks `metadata_cas` against the number of the current settings.
    fn check_cas(&self, entry: Option<&KvEntry>, config: &Config) -> Result<(), Error> {
        let of_entry = entry.is_some_and(|entry| entry.metadata.settings.metadata_cas_required);
        let refused = |text: &str| Err(Error::user(text));
        match (self.metadata_cas, entry) {
            (None, _) if of_entry || config.metadata_cas_required => {
                refused("metadata check-and-set parameter required for this call")
            }
            (None, _) => Ok(()),
            (Some(0), None) => Ok(()),
            (Some(_), None) => refused("metadata_cas must be 0 when creating new metadata"),
            (Some(given), Some(entry))
                if u64::try_from(given) == Ok(entry.metadata.settings_version) =>
            {
                Ok(())
            }
            (Some(_), Some(_)) => {
                refused("metadata check-and-set parameter does not match the current version")
            }
        }
    }
}

pub(crate) async fn read(context: Context, input: EntryPathInput) -> Result<Response, Error> {
    Ok(match store::find_entry(&context, &input.path).await? {
        Some(entry) => Response::data(&MetadataResponse(entry)),
        None => Response::not_found(),
    })
}

pub(crate) async fn write(context: Context, input: MetadataInput) -> Result<Response, Error> {
    check_name(&input.path)?;
    if !input.is_empty() {
        change_settings(&context, input, false).await?;
    }
    Ok(Response::no_content())
}

pub(crate) async fn patch(context: Context, input: MetadataInput) -> Result<Response, Error> {
    check_name(&input.path)?;
    let found = match input.is_empty() {
        true => store::find_entry(&context, &input.path).await?.is_some(),
        false => change_settings(&context, input, true).await?,
    };
    Ok(if found { Response::no_content() } else { Response::not_found() })
}

/// Changes settings. Returns `false` if a patch finds no entry to change.
async fn change_settings(
    context: &Context,
    input: MetadataInput,
    patch: bool,
) -> Result<bool, Error> {
    let (config, now) = (config::load(context).await?, context.now());
    let name = input.path.clone();
    let changed = store::change_entry(context, &name, move |entry| {
        let (config, input) = (config.clone(), input.clone());
        async move {
            if patch && entry.is_none() {
                return Ok(EntryChange::Keep(false));
            }
            input.check_cas(entry.as_ref(), &config)?;
            let mut entry = entry.unwrap_or_else(|| KvEntry::new(now));
            let old = std::mem::take(&mut entry.metadata.settings);
            entry.metadata.settings = input.apply_to(old, patch)?;
            entry.metadata.settings_version += 1;
            Ok(EntryChange::Store(true, entry, SideWrites::default()))
        }
    });
    changed.await
}

pub(crate) async fn delete(context: Context, input: EntryPathInput) -> Result<Response, Error> {
    store::remove_entry(&context, &input.path).await?;
    Ok(Response::no_content())
}

pub(crate) async fn list(context: Context, listing: Listing) -> Result<Response, Error> {
    Ok(Response::keys(&list_names(&context, &listing).await?))
}

pub(crate) async fn list_detailed(context: Context, listing: Listing) -> Result<Response, Error> {
    let keys = list_names(&context, &listing).await?;
    let (mut entries, mut bytes) = (BTreeMap::new(), 0);
    for key in keys.iter().filter(|key| !key.ends_with('/')) {
        let name = format!("{}{key}", listing.folder);
        if let Some(mut entry) = store::find_entry(&context, &name).await? {
            // The entry is kept for the response, which may be long, so drop the data that isn't
            // shown.
            entry.inline_data = None;
            bytes += serde_json::to_vec(&entry.metadata).map_or(0, |about| about.len());
            if bytes > MAX_DETAILED_BYTES {
                let text = "the metadata is too large for one response; use limit and after";
                return Err(Error::user(text));
            }
            entries.insert(key.clone(), MetadataResponse(entry));
        }
    }
    Ok(match keys.is_empty() {
        true => Response::not_found(),
        false => Response::data(&DetailedMetadataResponse { keys, entries }),
    })
}

async fn list_names(context: &Context, listing: &Listing) -> Result<Vec<String>, Error> {
    let Listing { folder, after, limit } = listing;
    context.records().list(ENTRIES, folder, after.as_deref(), *limit).await
}
