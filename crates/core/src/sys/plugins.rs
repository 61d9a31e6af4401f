//! `sys/plugins`: the catalog and reloading.

use std::collections::BTreeSet;

use serde::Serialize;
use strongroom_policy::{DerivedField, FieldReading};
use strongroom_sdk::{CommaList, Input};
use strongroom_types::{ErrorKind, Fields};

use super::derived;
use super::mounts::NO_VERSION;
use crate::endpoint::{
    Access, Call, Endpoint, Handlers, data, handler, keys, not_found, with_warnings,
};
use crate::error::{Error, shown};
use crate::mounts::Class;
use crate::plugins::selection::normalise;
use crate::plugins::{PluginError, PluginSpec, PluginType};
use crate::request::Answer;

pub(crate) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        pattern: "plugins/catalog",
        help: "All plug-ins: those registered and those linked in.",
        fields: &[],
        handlers: Handlers { read: handler!(overview), list: handler!(overview), ..Handlers::NONE },
        access: Access::Policy,
    },
    Endpoint {
        pattern: "plugins/catalog/{type}",
        help: "The plug-ins of one type.",
        fields: &[],
        handlers: Handlers { list: handler!(list), ..Handlers::NONE },
        access: Access::Policy,
    },
    Endpoint {
        pattern: "plugins/catalog/{type}/{name}",
        help: "A registered plug-in.",
        fields: &[RegisterInput::FIELDS],
        handlers: Handlers {
            read: handler!(read),
            write: handler!(register),
            delete: handler!(deregister),
            list: None,
        },
        access: Access::Policy,
    },
    Endpoint {
        pattern: "plugins/reload/backend",
        help: "Replaces running plug-ins by what the catalog says should run.",
        fields: &[ReloadInput::FIELDS],
        handlers: Handlers { write: handler!(reload), ..Handlers::NONE },
        access: Access::Policy,
    },
    Endpoint {
        pattern: "plugins/reload/{type}/{name}",
        help: "Replaces all running instances of a plug-in.",
        fields: &[ReloadInput::FIELDS],
        handlers: Handlers { write: handler!(reload_named), ..Handlers::NONE },
        access: Access::Policy,
    },
];

#[derive(Input)]
struct RegisterInput {
    /// The SHA-256 of the file, in hex.
    sha256: String,
    /// The older name of `sha256`.
    sha_256: String,
    /// The file's name in the plug-in folder.
    command: String,
    /// Its arguments.
    args: CommaList,
    /// Additions to its environment, `NAME=value`.
    env: CommaList,
    /// Its semantic version; what it reports itself if not given.
    version: String,
    /// Not built.
    oci_image: String,
    /// Not built.
    runtime: String,
}

#[derive(Input)]
struct VersionInput {
    version: String,
}

#[derive(Input)]
struct ReloadInput {
    /// The plug-in whose mounts are reloaded.
    plugin: String,
    /// The mounts that are reloaded.
    mounts: CommaList,
    /// `global` or nothing; with one node it makes no difference.
    #[expect(dead_code, reason = "accepted and not needed")]
    scope: String,
}

/// A plug-in in the overview.
#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
struct Detail {
    name: String,
    #[serde(rename = "type")]
    kind: PluginType,
    version: String,
    builtin: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    sha256: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    deprecation_status: &'static str,
}

fn details(call: &Call) -> Vec<Detail> {
    let catalog = call.open.catalog();
    let plugins = &call.open.mounts.opener.plugins;
    let registered = catalog.all().into_iter().map(|spec| Detail {
        name: spec.name.clone(),
        kind: spec.kind,
        version: spec.version.clone(),
        builtin: false,
        sha256: spec.sha256.clone(),
        deprecation_status: "",
    });
    let builtins = PluginType::ALL.into_iter().flat_map(|kind| {
        plugins.builtins(kind).into_iter().map(move |name| Detail {
            version: plugins.builtin_version(kind, &name).unwrap_or_default(),
            name,
            kind,
            builtin: true,
            sha256: String::new(),
            deprecation_status: "supported",
        })
    });
    let mut all: Vec<Detail> = registered.chain(builtins).collect();
    all.sort_by(|a, b| (a.kind, &a.name, &a.version).cmp(&(b.kind, &b.name, &b.version)));
    all
}

fn names(details: &[Detail], kind: PluginType) -> Vec<&str> {
    let mut names: Vec<&str> =
        details.iter().filter(|d| d.kind == kind).map(|d| d.name.as_str()).collect();
    names.dedup();
    names
}

async fn overview(call: &Call) -> Result<Answer, Error> {
    let details = details(call);
    let mut answer = Fields::new();
    for kind in PluginType::ALL {
        answer.set(kind.as_str(), &names(&details, kind));
    }
    answer.set("detailed", &details);
    Ok(data(answer.to_object()))
}

async fn list(call: &Call) -> Result<Answer, Error> {
    let kind = kind_of(call)?;
    keys(&names(&details(call), kind))
}

fn kind_of(call: &Call) -> Result<PluginType, Error> {
    let text = call.fields.text("type").unwrap_or_default();
    PluginType::parse(&text)
        .ok_or_else(|| Error::invalid(format!("{text:?} is not a supported plugin type")))
}

fn name_of(call: &Call) -> String {
    call.fields.text("name").unwrap_or_default()
}

#[derive(Serialize)]
struct Registered<'a> {
    name: &'a str,
    command: &'a str,
    args: &'a [String],
    sha256: &'a str,
    builtin: bool,
    version: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    deprecation_status: &'a str,
}

async fn read(call: &Call) -> Result<Answer, Error> {
    let (kind, name) = (kind_of(call)?, name_of(call));
    let version = version(&call.input::<VersionInput>()?.version)?;
    let plugins = &call.open.mounts.opener.plugins;
    let builtin = plugins.builtin_version(kind, &name);
    let version = only_version(call, kind, &name, version, builtin.as_deref());
    let spec = call.open.catalog().get(kind, &name, &version);
    let shown = match (&spec, &builtin) {
        (Some(spec), _) => Registered {
            name: &spec.name,
            command: &spec.command,
            args: &spec.args,
            sha256: &spec.sha256,
            builtin: false,
            version: &spec.version,
            deprecation_status: "",
        },
        (None, Some(own)) if version.is_empty() || version == *own => Registered {
            name: &name,
            command: "",
            args: &[],
            sha256: "",
            builtin: true,
            version: own,
            deprecation_status: "supported",
        },
        _ => return Err(not_found()),
    };
    let object = strongroom_types::RawObject::of(&shown);
    Ok(data(object.map_err(|error| Error::internal(error.to_string()))?))
}

/// Whoever names no version means the only one there is.
fn only_version(
    call: &Call,
    kind: PluginType,
    name: &str,
    asked: String,
    builtin: Option<&str>,
) -> String {
    if !asked.is_empty() || builtin.is_some() {
        return asked;
    }
    match <[String; 1]>::try_from(call.open.catalog().versions(kind, name)) {
        Ok([only]) => only,
        Err(_) => asked,
    }
}

/// The file is checked and run once before anything is stored: what can't run isn't registered.
async fn register(call: &Call) -> Result<Answer, Error> {
    let input: RegisterInput = call.input()?;
    if !input.oci_image.is_empty() || !input.runtime.is_empty() {
        return Err(Error::unbuilt("running plug-ins in containers"));
    }
    let kind = kind_of(call)?;
    if kind == PluginType::Database {
        return Err(Error::unbuilt("the plug-in type \"database\""));
    }
    let given = if input.sha256.is_empty() { input.sha_256 } else { input.sha256 };
    if given.is_empty() {
        return Err(Error::invalid("missing SHA-256 value"));
    }
    if input.command.is_empty() {
        return Err(Error::invalid("missing command value"));
    }
    let (command, args) = command_line(&input.command, input.args.0)?;
    let asked = version(&input.version)?;
    let mut spec = PluginSpec {
        name: name_of(call),
        kind,
        version: asked.clone(),
        command,
        args,
        env: input.env.0,
        sha256: sha256(&given)?,
    };
    let plugins = &call.open.mounts.opener.plugins;
    // Until the catalog has it.
    let kept = plugins.keep(&spec);
    let reported = plugins.probe(&spec).await.map_err(|error| refused(&error))?;
    if !reported.is_empty() {
        let reported = version(&reported).map_err(|error| {
            let error = shown(&error.to_string());
            Error::invalid(format!("the plug-in reports a version that can't be used: {error}"))
        })?;
        if !asked.is_empty() && asked != reported {
            return Err(Error::invalid(format!(
                "plugin version mismatch: the plug-in reports {reported} and {asked} was given"
            )));
        }
        spec.version = reported;
    }
    call.open.catalog().put(spec).await?;
    drop(kept);
    remove_unneeded_copies(call).await;
    Ok(Answer::Nothing)
}

/// Arguments in the command are judged as `args`, and the other way round.
pub(crate) fn fields_of_plugin(fields: &Fields) -> Vec<DerivedField> {
    let Ok(input) = RegisterInput::from_fields(fields) else { return Vec::new() };
    let Ok((command, args)) = command_line(&input.command, input.args.0) else {
        return Vec::new();
    };
    if args.is_empty() {
        return Vec::new();
    }
    let line = format!("{command} {}", args.join(" "));
    let args = derived("args", FieldReading::List, &args, false);
    args.into_iter().chain(derived("command", FieldReading::Text, &line, true)).collect()
}

/// The older form has the arguments in the command.
fn command_line(command: &str, args: Vec<String>) -> Result<(String, Vec<String>), Error> {
    let mut words = command.split_whitespace();
    let first = words.next().unwrap_or_default().to_owned();
    let rest: Vec<String> = words.map(str::to_owned).collect();
    match (rest.is_empty(), args.is_empty()) {
        (true, _) => Ok((first, args)),
        (false, true) => Ok((first, rest)),
        (false, false) => Err(Error::invalid(
            "must not specify args in command and args field; give them in one of the two",
        )),
    }
}

fn sha256(text: &str) -> Result<String, Error> {
    let decoded = data_encoding::HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes());
    match decoded {
        Ok(bytes) if bytes.len() == 32 => Ok(data_encoding::HEXLOWER.encode(&bytes)),
        _ => Err(Error::invalid("could not decode SHA-256 value: give 64 hex digits")),
    }
}

fn version(text: &str) -> Result<String, Error> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let version = normalise(text).ok_or_else(|| Error::invalid(NO_VERSION))?;
    if version.contains("+builtin") {
        return Err(Error::invalid("the metadata \"builtin\" is reserved for linked-in plug-ins"));
    }
    Ok(version)
}

fn refused(error: &PluginError) -> Error {
    let kind = match error {
        PluginError::Start(_) => ErrorKind::Internal,
        PluginError::Invalid(_) | PluginError::Engine(_) => ErrorKind::Invalid,
    };
    Error::plain(kind, shown(&error.to_string()))
}

async fn deregister(call: &Call) -> Result<Answer, Error> {
    let (kind, name) = (kind_of(call)?, name_of(call));
    let version = version(&call.input::<VersionInput>()?.version)?;
    call.open.catalog().remove(kind, &name, &version).await?;
    remove_unneeded_copies(call).await;
    Ok(Answer::Nothing)
}

/// Leaves no copy of what is neither registered nor run by a mount. An entry that comes back with a
/// restored store then finds none.
pub(crate) async fn remove_unneeded_copies(call: &Call) {
    let needed = || {
        let registered = call.open.catalog().all().into_iter().map(|spec| (*spec).clone());
        let table = call.open.mounts.table();
        let run = table.all().filter_map(|mount| mount.entry.running.as_ref()?.plugin.clone());
        registered.chain(run).collect()
    };
    call.open.mounts.opener.plugins.remove_copies_but(&needed).await;
}

async fn reload(call: &Call) -> Result<Answer, Error> {
    let input: ReloadInput = call.input()?;
    let mounts: Vec<(Class, String)> = match (input.plugin.is_empty(), input.mounts.0.is_empty()) {
        (true, true) => return Err(Error::invalid("plugin or mounts must be provided")),
        (false, false) => {
            return Err(Error::invalid("plugin and mounts cannot be set at the same time"));
        }
        (false, true) => mounts_of(call, None, &input.plugin)?,
        (true, false) => input.mounts.0.iter().map(|path| class_and_path(path)).collect(),
    };
    reload_all(call, mounts).await
}

async fn reload_named(call: &Call) -> Result<Answer, Error> {
    let kind = match call.fields.text("type").as_deref() {
        Some("unknown") => None,
        _ => Some(kind_of(call)?),
    };
    let mounts = mounts_of(call, kind, &name_of(call))?;
    reload_all(call, mounts).await
}

fn class_and_path(path: &str) -> (Class, String) {
    let path = format!("{}/", path.trim_matches('/'));
    match path.strip_prefix("auth/") {
        Some(below) => (Class::Auth, below.to_owned()),
        None => (Class::Secret, path),
    }
}

fn mounts_of(
    call: &Call,
    kind: Option<PluginType>,
    plugin: &str,
) -> Result<Vec<(Class, String)>, Error> {
    let known = details(call);
    let fits = |of: PluginType| kind.is_none_or(|kind| kind == of);
    if !known.iter().any(|detail| detail.name == plugin && fits(detail.kind)) {
        return Err(Error::invalid(format!("plugin not found in the catalog: {plugin:?}")));
    }
    let table = call.open.mounts.table();
    let runs = |mount: &&std::sync::Arc<crate::mounts::Mounted>| {
        let entry = &mount.entry;
        entry.mount_type == plugin && kind.is_none_or(|kind| entry.class.plugin_type() == kind)
    };
    let mounts = table.all().filter(runs);
    Ok(mounts.map(|mount| (mount.entry.class, mount.entry.path.clone())).collect())
}

async fn reload_all(call: &Call, mounts: Vec<(Class, String)>) -> Result<Answer, Error> {
    // Once for all of them: mounts that shared a process share a fresh one.
    let table = call.open.mounts.table();
    let reloaded = mounts.iter().filter_map(|(class, path)| table.get(*class, path));
    let plugins: BTreeSet<_> = reloaded
        .map(|mount| (mount.entry.class.plugin_type(), mount.entry.mount_type.clone()))
        .collect();
    let warnings = match mounts.is_empty() {
        true => vec!["no mount runs this plug-in: nothing was reloaded".to_owned()],
        false => Vec::new(),
    };
    for (kind, name) in plugins {
        call.open.mounts.opener.plugins.renew(kind, &name);
    }
    for (class, path) in mounts {
        call.open.mounts.reload(class, &path).await.map_err(|error| {
            Error::plain(error.kind(), format!("cannot reload the plug-in at {path}: {error}"))
        })?;
    }
    remove_unneeded_copies(call).await;
    let mut answer = Fields::new();
    answer.set("reload_id", &call.id);
    Ok(with_warnings(answer.to_object(), warnings))
}
