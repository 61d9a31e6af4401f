//! `delete/`, `undelete/` and `destroy/`.

use strongroom_sdk::records::check_name;
use strongroom_sdk::{Context, Error, Input, Reply, Timestamp};

use super::entry::Entry;
use super::input::Numbers;
use super::store::{self, BATCH, Beside, Outcome};

#[derive(Input)]
pub(crate) struct VersionsInput {
    /// Where the secret lies; taken from the path.
    path: String,
    /// Which versions. Those that aren't there are passed over.
    versions: Numbers,
}

pub(crate) async fn delete(context: Context, input: VersionsInput) -> Result<Reply, Error> {
    let hide = |entry: &mut Entry, number, now| match entry.version_mut(number) {
        Some(version) if version.is_shown(now) => {
            version.deletion = Some(now);
            true
        }
        _ => false,
    };
    set(&context, input, hide).await
}

pub(crate) async fn undelete(context: Context, input: VersionsInput) -> Result<Reply, Error> {
    let show = |entry: &mut Entry, number, _| match entry.version_mut(number) {
        Some(version) if !version.destroyed && version.deletion.is_some() => {
            version.deletion = None;
            true
        }
        _ => false,
    };
    set(&context, input, show).await
}

/// Changes the state of versions by `edit`, which says whether it changed anything.
async fn set(
    context: &Context,
    input: VersionsInput,
    edit: fn(&mut Entry, u64, Timestamp) -> bool,
) -> Result<Reply, Error> {
    check_name(&input.path)?;
    let Numbers(numbers) = input.versions;
    if numbers.is_empty() {
        return Err(Error::user("No version number provided"));
    }
    let now = context.now();
    let changed = store::change(context, &input.path, move |entry| {
        let numbers = numbers.clone();
        async move {
            let Some(mut entry) = entry else { return Ok(Outcome::Keep(())) };
            let mut changed = false;
            for number in numbers {
                changed |= edit(&mut entry, number, now);
            }
            match changed {
                true => Ok(Outcome::Store((), entry, Beside::default())),
                false => Ok(Outcome::Keep(())),
            }
        }
    });
    changed.await?;
    Ok(Reply::no_content())
}

/// Many versions are destroyed some at a time; each is marked and gone at once.
pub(crate) async fn destroy(context: Context, input: VersionsInput) -> Result<Reply, Error> {
    check_name(&input.path)?;
    let Numbers(numbers) = input.versions;
    if numbers.is_empty() {
        return Err(Error::user("no version number provided"));
    }
    for some in numbers.chunks(usize::try_from(BATCH).unwrap_or(1)) {
        let some = some.to_vec();
        let destroyed = store::change(&context, &input.path, move |entry| {
            let some = some.clone();
            async move {
                let Some(mut entry) = entry else { return Ok(Outcome::Keep(())) };
                let mut beside = Beside::default();
                for number in some {
                    let latest = number == entry.current();
                    let Some(version) = entry.version_mut(number) else { continue };
                    let newly = !std::mem::replace(&mut version.destroyed, true);
                    // The latest may lie in the entry, and is gone when it is taken out.
                    if newly && !(latest && entry.inline.take().is_some()) {
                        beside.remove.push(number);
                    }
                }
                Ok(Outcome::Store((), entry, beside))
            }
        });
        destroyed.await?;
    }
    Ok(Reply::no_content())
}
