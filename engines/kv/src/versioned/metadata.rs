//! `metadata/` and `detailed-metadata/`. Nothing here ever shows data.

use std::collections::BTreeMap;

use strongroom_sdk::records::check_name;
use strongroom_sdk::{Context, DurationSecs, Error, Given, Input, Listing, Reply};

use super::answer::{Detailed, Metadata};
use super::config::{self, Config};
use super::custom::CustomInput;
use super::entry::{Entry, Settings};
use super::input::max_versions;
use super::store::{self, Beside, ENTRIES, Outcome};

/// The most metadata that one list of it answers.
const MAX_DETAILED_BYTES: usize = 16 << 20;

#[derive(Input)]
pub(crate) struct Named {
    /// Where the entry lies; taken from the path.
    path: String,
}

#[derive(Clone, Input)]
pub(crate) struct MetadataInput {
    /// Where the entry lies; taken from the path.
    path: String,
    /// Versions that are kept, 4096 at most; 0 for as many as the mount says. If the mount says
    /// more, that counts.
    max_versions: Given<i64>,
    /// Whether each write must say by `options.cas` which version it replaces.
    cas_required: Given<bool>,
    /// After how long a new version is deleted; 0 for as the mount says. If the mount says sooner,
    /// that counts.
    delete_version_after: Given<DurationSecs>,
    /// Whatever is worth noting: at most 64 names of 128 bytes with texts of 512 bytes.
    custom_metadata: Given<CustomInput>,
    /// Whether each change of metadata must say by `metadata_cas` which it replaces.
    metadata_cas_required: Given<bool>,
    /// The metadata version that this change replaces; 0 for none.
    metadata_cas: Option<i64>,
}

impl MetadataInput {
    /// Whether it would change anything.
    fn is_empty(&self) -> bool {
        self.max_versions.is_nothing()
            && self.cas_required.is_nothing()
            && self.delete_version_after.is_nothing()
            && self.custom_metadata.is_nothing()
            && self.metadata_cas_required.is_nothing()
    }

    /// The settings with what is given; what is `null` is as it was in the beginning. Custom
    /// metadata is replaced by a write, and merged by a patch.
    fn over(self, old: Settings, patch: bool) -> Result<Settings, Error> {
        let kept = match self.max_versions {
            Given::Nothing => old.max_versions,
            Given::Null => 0,
            Given::Value(given) => max_versions(given)?,
        };
        let after = Some(old.delete_after_secs);
        let after = match self.delete_version_after {
            Given::Nothing => after,
            Given::Null => None,
            Given::Value(DurationSecs(ttl)) => Some(ttl.as_secs()),
        };
        let custom = match self.custom_metadata {
            Given::Nothing => old.custom,
            Given::Null => BTreeMap::new(),
            Given::Value(given) if patch => given.merged(old.custom)?,
            Given::Value(given) => given.replaced()?,
        };
        Ok(Settings {
            max_versions: kept,
            cas_required: self.cas_required.over(Some(old.cas_required)).unwrap_or_default(),
            delete_after_secs: after.unwrap_or_default(),
            metadata_cas_required: self
                .metadata_cas_required
                .over(Some(old.metadata_cas_required))
                .unwrap_or_default(),
            custom,
        })
    }

    /// Whether the change is of the metadata that is there.
    fn check(&self, entry: Option<&Entry>, config: &Config) -> Result<(), Error> {
        let of_entry = entry.is_some_and(|entry| entry.about.settings.metadata_cas_required);
        let refused = |text: &str| Err(Error::user(text));
        match (self.metadata_cas, entry) {
            (None, _) if of_entry || config.metadata_cas_required => {
                refused("metadata check-and-set parameter required for this call")
            }
            (None, _) => Ok(()),
            (Some(0), None) => Ok(()),
            (Some(_), None) => refused("metadata_cas must be 0 when creating new metadata"),
            (Some(given), Some(entry))
                if u64::try_from(given) == Ok(entry.about.settings_version) =>
            {
                Ok(())
            }
            (Some(_), Some(_)) => {
                refused("metadata check-and-set parameter does not match the current version")
            }
        }
    }
}

pub(crate) async fn read(context: Context, input: Named) -> Result<Reply, Error> {
    Ok(match store::find(&context, &input.path).await? {
        Some(entry) => Reply::data(&Metadata(entry)),
        None => Reply::not_found(),
    })
}

pub(crate) async fn write(context: Context, input: MetadataInput) -> Result<Reply, Error> {
    check_name(&input.path)?;
    if !input.is_empty() {
        set(&context, input, false).await?;
    }
    Ok(Reply::no_content())
}

pub(crate) async fn patch(context: Context, input: MetadataInput) -> Result<Reply, Error> {
    check_name(&input.path)?;
    let found = match input.is_empty() {
        true => store::find(&context, &input.path).await?.is_some(),
        false => set(&context, input, true).await?,
    };
    Ok(if found { Reply::no_content() } else { Reply::not_found() })
}

/// Changes settings. `false` if a patch found nothing to change.
async fn set(context: &Context, input: MetadataInput, patch: bool) -> Result<bool, Error> {
    let (config, now) = (config::current(context).await?, context.now());
    let name = input.path.clone();
    let changed = store::change(context, &name, move |entry| {
        let (config, input) = (config.clone(), input.clone());
        async move {
            if patch && entry.is_none() {
                return Ok(Outcome::Keep(false));
            }
            input.check(entry.as_ref(), &config)?;
            let mut entry = entry.unwrap_or_else(|| Entry::new(now));
            let old = std::mem::take(&mut entry.about.settings);
            entry.about.settings = input.over(old, patch)?;
            entry.about.settings_version += 1;
            Ok(Outcome::Store(true, entry, Beside::default()))
        }
    });
    changed.await
}

pub(crate) async fn delete(context: Context, input: Named) -> Result<Reply, Error> {
    store::remove(&context, &input.path).await?;
    Ok(Reply::no_content())
}

pub(crate) async fn list(context: Context, listing: Listing) -> Result<Reply, Error> {
    Ok(Reply::keys(&names(&context, &listing).await?))
}

pub(crate) async fn list_detailed(context: Context, listing: Listing) -> Result<Reply, Error> {
    let keys = names(&context, &listing).await?;
    let (mut entries, mut bytes) = (BTreeMap::new(), 0);
    for key in keys.iter().filter(|key| !key.ends_with('/')) {
        let name = format!("{}{key}", listing.folder);
        if let Some(mut entry) = store::find(&context, &name).await? {
            // Kept for the answer, which may be long: without what it doesn't show.
            entry.inline = None;
            bytes += serde_json::to_vec(&entry.about).map_or(0, |about| about.len());
            if bytes > MAX_DETAILED_BYTES {
                let text = "the metadata is too much for one answer; ask with limit and after";
                return Err(Error::user(text));
            }
            entries.insert(key.clone(), Metadata(entry));
        }
    }
    Ok(match keys.is_empty() {
        true => Reply::not_found(),
        false => Reply::data(&Detailed { keys, entries }),
    })
}

async fn names(context: &Context, listing: &Listing) -> Result<Vec<String>, Error> {
    let Listing { folder, after, limit } = listing;
    context.records().list(ENTRIES, folder, after.as_deref(), *limit).await
}
