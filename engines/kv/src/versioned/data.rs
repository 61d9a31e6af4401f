//! The endpoints `data/` and `subkeys/`.

use bytes::Bytes;
use strongroom_sdk::records::check_name;
use strongroom_sdk::{Context, Error, Input, NullableField, Response, Verbatim};

use super::config;
use super::entry::KvEntry;
use super::input::CasOptions;
use super::response::{VersionMetadata, VersionResponse};
use super::store::{self, EntryChange, SideWrites};

#[derive(Input)]
pub(crate) struct ReadInput {
    /// The path of the secret.
    path: String,
    /// The version to read; the latest if not given.
    version: i64,
}

#[derive(Input)]
pub(crate) struct WriteInput {
    /// The path of the secret.
    path: String,
    /// The secret: any JSON object.
    data: NullableField<Verbatim>,
    /// `cas` is the version that this write replaces; 0 for none. The write fails if another
    /// version is the latest.
    options: CasOptions,
}

#[derive(Input)]
pub(crate) struct SecretPathInput {
    /// The path of the secret.
    path: String,
}

#[derive(Input)]
pub(crate) struct SubkeysInput {
    /// The path of the secret.
    path: String,
    /// The version to read; the latest if not given.
    version: i64,
    /// The number of levels to return; all if not given.
    depth: i64,
}

pub(crate) async fn read(context: Context, input: ReadInput) -> Result<Response, Error> {
    read_version(&context, &input.path, input.version, "data", Ok).await
}

/// Returns the structure of a secret without its values, for tokens that may not read the data.
pub(crate) async fn subkeys(context: Context, input: SubkeysInput) -> Result<Response, Error> {
    // A negative depth is treated as 1, as in OpenBao.
    let depth = usize::try_from(input.depth).unwrap_or(1);
    let outlined = move |data: Verbatim| data.outline(depth).map_err(|_| unreadable_version());
    read_version(&context, &input.path, input.version, "subkeys", outlined).await
}

async fn read_version(
    context: &Context,
    name: &str,
    version: i64,
    field: &'static str,
    view: impl FnOnce(Verbatim) -> Result<Verbatim, Error>,
) -> Result<Response, Error> {
    let Some((entry, data, about)) = load_version(context, name, version).await? else {
        return Ok(Response::not_found());
    };
    let shown = |content| VersionResponse { field_name: field, content, metadata: about };
    let number = version_or_current(&entry, version);
    match entry.version(number).is_some_and(|version| version.is_readable(context.now())) {
        true => Ok(Response::unleased_secret(&shown(data.map(view).transpose()?))),
        false => Ok(Response::not_found_with_data(&shown(None))),
    }
}

/// Reads an entry and one of its versions. They are two reads, so the data may be removed in
/// between; then the entry is read again, and shows that the version is gone.
async fn load_version(
    context: &Context,
    name: &str,
    version: i64,
) -> Result<Option<(KvEntry, Option<Verbatim>, VersionMetadata)>, Error> {
    let mut last = None;
    for _ in 0..MAX_READ_ATTEMPTS {
        let Some(entry) = store::find_entry(context, name).await? else { return Ok(None) };
        let number = version_or_current(&entry, version);
        let Some(about) = VersionMetadata::from_entry(&entry, number) else { return Ok(None) };
        if !entry.version(number).is_some_and(|version| version.is_readable(context.now())) {
            return Ok(Some((entry, None, about)));
        }
        match store::read_version_data(context.records(), name, &entry, number).await {
            Ok(data) => return Ok(Some((entry, data, about))),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(unreadable_version))
}

const MAX_READ_ATTEMPTS: usize = 3;

fn version_or_current(entry: &KvEntry, version: i64) -> u64 {
    u64::try_from(version)
        .ok()
        .filter(|number| *number > 0)
        .unwrap_or_else(|| entry.current_version())
}

pub(crate) async fn write(context: Context, input: WriteInput) -> Result<Response, Error> {
    check_name(&input.path)?;
    let data = data_to_store(input.data)?;
    let (config, now, cas) = (config::load(&context).await?, context.now(), input.options.cas);
    let about = store::change_entry(&context, &input.path, move |entry| {
        let (config, data) = (config.clone(), data.clone());
        async move {
            let mut entry = entry.unwrap_or_else(|| KvEntry::new(now));
            let required = config.cas_required || entry.metadata.settings.cas_required;
            cas.check(entry.current_version(), required)?;
            let added = entry.add_version(data, &config, now);
            let about = VersionMetadata::from_entry(&entry, entry.current_version())
                .ok_or_else(unreadable_version)?;
            Ok(EntryChange::Store(
                about,
                entry,
                SideWrites { put: added.separate_data, ..SideWrites::default() },
            ))
        }
    });
    Ok(Response::data(&about.await?))
}

/// The outcome of a patch.
enum KvPatchOutcome {
    Written(VersionMetadata),
    Gone(VersionMetadata),
    NotFound,
}

pub(crate) async fn patch(context: Context, input: WriteInput) -> Result<Response, Error> {
    check_name(&input.path)?;
    let given = input.data;
    if given.is_absent() {
        return Err(no_data());
    }
    let (config, now, cas) = (config::load(&context).await?, context.now(), input.options.cas);
    let (records, name) = (context.records().clone(), input.path.clone());
    let patched = store::change_entry(&context, &input.path, move |entry| {
        let (config, given) = (config.clone(), given.clone());
        let (records, name) = (records.clone(), name.clone());
        async move {
            let latest = entry.and_then(|entry| {
                Some((VersionMetadata::from_entry(&entry, entry.current_version())?, entry))
            });
            let Some((about, mut entry)) = latest else {
                return Ok(EntryChange::Keep(KvPatchOutcome::NotFound));
            };
            let number = entry.current_version();
            if !entry.version(number).is_some_and(|version| version.is_readable(now)) {
                return Ok(EntryChange::Keep(KvPatchOutcome::Gone(about)));
            }
            cas.check(number, config.cas_required || entry.metadata.settings.cas_required)?;
            let data = match given {
                NullableField::Value(patch) => {
                    let old = store::read_version_data(&records, &name, &entry, number).await?;
                    let old =
                        old.unwrap_or_else(|| Verbatim::from_stored(Bytes::from_static(b"{}")));
                    old.apply_merge_patch(&patch)
                        .map_err(|error| Error::user(error.to_string()))?
                        .to_stored()
                }
                NullableField::Null | NullableField::Absent => Bytes::from_static(b"null"),
            };
            let added = entry.add_version(data, &config, now);
            let about = VersionMetadata::from_entry(&entry, entry.current_version())
                .ok_or_else(unreadable_version)?;
            let beside = SideWrites { put: added.separate_data, ..SideWrites::default() };
            Ok(EntryChange::Store(KvPatchOutcome::Written(about), entry, beside))
        }
    });
    Ok(match patched.await? {
        KvPatchOutcome::Written(about) => Response::data(&about),
        KvPatchOutcome::Gone(about) => Response::not_found_with_data(&about),
        KvPatchOutcome::NotFound => Response::not_found(),
    })
}

pub(crate) async fn delete(context: Context, input: SecretPathInput) -> Result<Response, Error> {
    if check_name(&input.path).is_ok() {
        let now = context.now();
        let deleted = store::change_entry(&context, &input.path, move |entry| async move {
            let Some(mut entry) = entry else { return Ok(EntryChange::Keep(())) };
            let number = entry.current_version();
            match entry.version_mut(number) {
                Some(version) if version.is_readable(now) => version.deletion = Some(now),
                _ => return Ok(EntryChange::Keep(())),
            }
            Ok(EntryChange::Store((), entry, SideWrites::default()))
        });
        deleted.await?;
    }
    Ok(Response::no_content())
}

fn data_to_store(data: NullableField<Verbatim>) -> Result<Bytes, Error> {
    match data {
        NullableField::Absent => Err(no_data()),
        NullableField::Null => Ok(Bytes::from_static(b"null")),
        NullableField::Value(data) => Ok(data.to_stored()),
    }
}

fn no_data() -> Error {
    Error::user("no data provided")
}

fn unreadable_version() -> Error {
    Error::internal("a version of a secret can't be read")
}
