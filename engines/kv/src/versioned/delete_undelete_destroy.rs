//! The endpoints `delete/`, `undelete/` and `destroy/`.

use strongroom_sdk::records::check_name;
use strongroom_sdk::{Context, Error, Input, Response, Timestamp};

use super::entry::KvEntry;
use super::input::VersionNumbers;
use super::store::{self, EntryChange, MAX_BATCH_REMOVALS, SideWrites};

#[derive(Input)]
pub(crate) struct VersionsInput {
    /// The path of the secret.
    path: String,
    /// The version numbers. Missing versions are ignored.
    versions: VersionNumbers,
}

pub(crate) async fn delete(context: Context, input: VersionsInput) -> Result<Response, Error> {
    let hide = |entry: &mut KvEntry, number, now| match entry.version_mut(number) {
        Some(version) if version.is_readable(now) => {
            version.deletion = Some(now);
            true
        }
        _ => false,
    };
    edit_versions(&context, input, hide).await
}

pub(crate) async fn undelete(context: Context, input: VersionsInput) -> Result<Response, Error> {
    let show = |entry: &mut KvEntry, number, _| match entry.version_mut(number) {
        Some(version) if !version.destroyed && version.deletion.is_some() => {
            version.deletion = None;
            true
        }
        _ => false,
    };
    edit_versions(&context, input, show).await
}

/// Changes the state of versions with `edit`, which returns whether it changed the version.
async fn edit_versions(
    context: &Context,
    input: VersionsInput,
    edit: fn(&mut KvEntry, u64, Timestamp) -> bool,
) -> Result<Response, Error> {
    check_name(&input.path)?;
    let VersionNumbers(numbers) = input.versions;
    if numbers.is_empty() {
        return Err(Error::user("No version number provided"));
    }
    let now = context.now();
    let changed = store::change_entry(context, &input.path, move |entry| {
        let numbers = numbers.clone();
        async move {
            let Some(mut entry) = entry else { return Ok(EntryChange::Keep(())) };
            let mut changed = false;
            for number in numbers {
                changed |= edit(&mut entry, number, now);
            }
            match changed {
                true => Ok(EntryChange::Store((), entry, SideWrites::default())),
                false => Ok(EntryChange::Keep(())),
            }
        }
    });
    changed.await?;
    Ok(Response::no_content())
}

/// Destroys versions, in batches if there are many. Each batch marks its versions and removes their
/// data at the same time.
pub(crate) async fn destroy(context: Context, input: VersionsInput) -> Result<Response, Error> {
    check_name(&input.path)?;
    let VersionNumbers(numbers) = input.versions;
    if numbers.is_empty() {
        return Err(Error::user("no version number provided"));
    }
    for some in numbers.chunks(usize::try_from(MAX_BATCH_REMOVALS).unwrap_or(1)) {
        let some = some.to_vec();
        let destroyed = store::change_entry(&context, &input.path, move |entry| {
            let some = some.clone();
            async move {
                let Some(mut entry) = entry else { return Ok(EntryChange::Keep(())) };
                let mut beside = SideWrites::default();
                for number in some {
                    let latest = number == entry.current_version();
                    let Some(version) = entry.version_mut(number) else { continue };
                    let newly = !std::mem::replace(&mut version.destroyed, true);
                    // The latest version's data may be in the entry itself; taking it out removes
                    // it.
                    if newly && !(latest && entry.inline_data.take().is_some()) {
                        beside.remove.push(number);
                    }
                }
                Ok(EntryChange::Store((), entry, beside))
            }
        });
        destroyed.await?;
    }
    Ok(Response::no_content())
}
