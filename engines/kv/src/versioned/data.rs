//! `data/` and `subkeys/`.

use bytes::Bytes;
use strongroom_sdk::records::check_name;
use strongroom_sdk::{Context, Error, Given, Input, Reply, Verbatim};

use super::answer::{About, Shown};
use super::config;
use super::entry::Entry;
use super::input::Options;
use super::store::{self, Beside, Outcome};

#[derive(Input)]
pub(crate) struct ReadInput {
    /// Where the secret lies; taken from the path.
    path: String,
    /// The version to read; the latest if not given.
    version: i64,
}

#[derive(Input)]
pub(crate) struct WriteInput {
    /// Where the secret lies; taken from the path.
    path: String,
    /// The secret: any JSON object.
    data: Given<Verbatim>,
    /// With `cas`: the version that this write replaces, 0 for none. If another is the latest by
    /// then, nothing is written.
    options: Options,
}

#[derive(Input)]
pub(crate) struct Named {
    /// Where the secret lies; taken from the path.
    path: String,
}

#[derive(Input)]
pub(crate) struct OutlineInput {
    /// Where the secret lies; taken from the path.
    path: String,
    /// The version to read; the latest if not given.
    version: i64,
    /// How many levels of names are shown; all if not given.
    depth: i64,
}

pub(crate) async fn read(context: Context, input: ReadInput) -> Result<Reply, Error> {
    show(&context, &input.path, input.version, "data", Ok).await
}

/// Tokens that may not see data may be given this path: it shows names, never values.
pub(crate) async fn subkeys(context: Context, input: OutlineInput) -> Result<Reply, Error> {
    // A negative depth shows as little as a depth of 1, as in OpenBao.
    let depth = usize::try_from(input.depth).unwrap_or(1);
    let outlined = move |data: Verbatim| data.outline(depth).map_err(|_| unreadable());
    show(&context, &input.path, input.version, "subkeys", outlined).await
}

async fn show(
    context: &Context,
    name: &str,
    version: i64,
    field: &'static str,
    view: impl FnOnce(Verbatim) -> Result<Verbatim, Error>,
) -> Result<Reply, Error> {
    let Some((entry, data, about)) = look(context, name, version).await? else {
        return Ok(Reply::not_found());
    };
    let shown = |content| Shown { name: field, content, about };
    let number = number_of(&entry, version);
    match entry.version(number).is_some_and(|version| version.is_shown(context.now())) {
        true => Ok(Reply::data(&shown(data.map(view).transpose()?))),
        false => Ok(Reply::gone(&shown(None))),
    }
}

/// An entry and one of its versions. Data may go between two looks at storage, when a version is
/// forgotten or destroyed meanwhile; then the entry says so, and is looked at again.
async fn look(
    context: &Context,
    name: &str,
    version: i64,
) -> Result<Option<(Entry, Option<Verbatim>, About)>, Error> {
    let mut last = None;
    for _ in 0..LOOKS {
        let Some(entry) = store::find(context, name).await? else { return Ok(None) };
        let number = number_of(&entry, version);
        let Some(about) = About::of(&entry, number) else { return Ok(None) };
        if !entry.version(number).is_some_and(|version| version.is_shown(context.now())) {
            return Ok(Some((entry, None, about)));
        }
        match store::data_of(context.records(), name, &entry, number).await {
            Ok(data) => return Ok(Some((entry, data, about))),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(unreadable))
}

const LOOKS: usize = 3;

fn number_of(entry: &Entry, version: i64) -> u64 {
    u64::try_from(version).ok().filter(|number| *number > 0).unwrap_or_else(|| entry.current())
}

pub(crate) async fn write(context: Context, input: WriteInput) -> Result<Reply, Error> {
    check_name(&input.path)?;
    let data = kept(input.data)?;
    let (config, now, cas) = (config::current(&context).await?, context.now(), input.options.cas);
    let about = store::change(&context, &input.path, move |entry| {
        let (config, data) = (config.clone(), data.clone());
        async move {
            let mut entry = entry.unwrap_or_else(|| Entry::new(now));
            let required = config.cas_required || entry.about.settings.cas_required;
            cas.check(entry.current(), required)?;
            let added = entry.add(data, &config, now);
            let about = About::of(&entry, entry.current()).ok_or_else(unreadable)?;
            Ok(Outcome::Store(about, entry, Beside { put: added.apart, ..Beside::default() }))
        }
    });
    Ok(Reply::data(&about.await?))
}

/// What a patch comes to.
enum Patched {
    Written(About),
    Gone(About),
    NotFound,
}

pub(crate) async fn patch(context: Context, input: WriteInput) -> Result<Reply, Error> {
    check_name(&input.path)?;
    let given = input.data;
    if given.is_nothing() {
        return Err(no_data());
    }
    let (config, now, cas) = (config::current(&context).await?, context.now(), input.options.cas);
    let (records, name) = (context.records().clone(), input.path.clone());
    let patched = store::change(&context, &input.path, move |entry| {
        let (config, given) = (config.clone(), given.clone());
        let (records, name) = (records.clone(), name.clone());
        async move {
            let latest = entry.and_then(|entry| Some((About::of(&entry, entry.current())?, entry)));
            let Some((about, mut entry)) = latest else {
                return Ok(Outcome::Keep(Patched::NotFound));
            };
            let number = entry.current();
            if !entry.version(number).is_some_and(|version| version.is_shown(now)) {
                return Ok(Outcome::Keep(Patched::Gone(about)));
            }
            cas.check(number, config.cas_required || entry.about.settings.cas_required)?;
            let data = match given {
                Given::Value(patch) => {
                    let old = store::data_of(&records, &name, &entry, number).await?;
                    let old = old.unwrap_or_else(|| Verbatim::from_kept(Bytes::from_static(b"{}")));
                    old.merged(&patch).map_err(|error| Error::user(error.to_string()))?.to_kept()
                }
                Given::Null | Given::Nothing => Bytes::from_static(b"null"),
            };
            let added = entry.add(data, &config, now);
            let about = About::of(&entry, entry.current()).ok_or_else(unreadable)?;
            let beside = Beside { put: added.apart, ..Beside::default() };
            Ok(Outcome::Store(Patched::Written(about), entry, beside))
        }
    });
    Ok(match patched.await? {
        Patched::Written(about) => Reply::data(&about),
        Patched::Gone(about) => Reply::gone(&about),
        Patched::NotFound => Reply::not_found(),
    })
}

pub(crate) async fn delete(context: Context, input: Named) -> Result<Reply, Error> {
    if check_name(&input.path).is_ok() {
        let now = context.now();
        let deleted = store::change(&context, &input.path, move |entry| async move {
            let Some(mut entry) = entry else { return Ok(Outcome::Keep(())) };
            let number = entry.current();
            match entry.version_mut(number) {
                Some(version) if version.is_shown(now) => version.deletion = Some(now),
                _ => return Ok(Outcome::Keep(())),
            }
            Ok(Outcome::Store((), entry, Beside::default()))
        });
        deleted.await?;
    }
    Ok(Reply::no_content())
}

fn kept(data: Given<Verbatim>) -> Result<Bytes, Error> {
    match data {
        Given::Nothing => Err(no_data()),
        Given::Null => Ok(Bytes::from_static(b"null")),
        Given::Value(data) => Ok(data.to_kept()),
    }
}

fn no_data() -> Error {
    Error::user("no data provided")
}

fn unreadable() -> Error {
    Error::internal("a version of a secret can't be read")
}
