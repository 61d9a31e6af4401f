//! `sys/plugins`: the plug-in catalog, and reloading plug-ins.

use std::collections::BTreeSet;

use serde::Serialize;
use strongroom_core::error::{Error, sanitise_message};
use strongroom_core::request::CoreResponse;
use strongroom_mounts::MountRegistry;
use strongroom_mounts::plugins::selection::normalise_version;
use strongroom_mounts::plugins::{PluginError, PluginKind, PluginSpec};
use strongroom_policy::{DerivedField, FieldReading};
use strongroom_schema::{CommaList, Input};
use strongroom_types::{Fields, MountKind};

use super::derived_field;
use crate::endpoint::{
    ApiEndpoint, EndpointAccess, EndpointCall, VerbHandlers, data_response,
    data_response_with_warnings, handler, keys_response, not_found,
};

pub(crate) const ENDPOINTS: &[ApiEndpoint] = &[
    ApiEndpoint {
        pattern: "plugins/catalog",
        help: "Lists all plug-ins, registered and built-in.",
        fields: &[],
        handlers: VerbHandlers {
            read: handler!(read_catalog, mounts),
            list: handler!(read_catalog, mounts),
            ..VerbHandlers::NONE
        },
        access: EndpointAccess::Policy,
    },
    ApiEndpoint {
        pattern: "plugins/catalog/{type}",
        help: "Lists the plug-ins of one type.",
        fields: &[],
        handlers: VerbHandlers {
            list: handler!(list_plugins_of_type, mounts),
            ..VerbHandlers::NONE
        },
        access: EndpointAccess::Policy,
    },
    ApiEndpoint {
        pattern: "plugins/catalog/{type}/{name}",
        help: "Registers, reads or deregisters a plug-in.",
        fields: &[RegisterInput::FIELDS],
        handlers: VerbHandlers {
            read: handler!(read_plugin, mounts),
            write: handler!(register_plugin, mounts),
            delete: handler!(deregister_plugin, mounts),
            list: None,
        },
        access: EndpointAccess::Policy,
    },
    ApiEndpoint {
        pattern: "plugins/reload/backend",
        help: "Reloads the mounts of a plug-in, or the given mounts, from the catalog.",
        fields: &[ReloadInput::FIELDS],
        handlers: VerbHandlers {
            write: handler!(reload_plugin_or_mounts, mounts),
            ..VerbHandlers::NONE
        },
        access: EndpointAccess::Policy,
    },
    ApiEndpoint {
        pattern: "plugins/reload/{type}/{name}",
        help: "Reloads all mounts of a plug-in.",
        fields: &[ReloadInput::FIELDS],
        handlers: VerbHandlers {
            write: handler!(reload_plugin_by_name, mounts),
            ..VerbHandlers::NONE
        },
        access: EndpointAccess::Policy,
    },
];

#[derive(Input)]
struct RegisterInput {
    /// The SHA-256 of the binary, in hex.
    sha256: String,
    /// Deprecated name of `sha256`.
    sha_256: String,
    /// The name of the binary in the plug-in directory.
    command: String,
    /// The arguments of the command.
    args: CommaList,
    /// Environment variables of the process, as `NAME=value`.
    env: CommaList,
    /// The semantic version; the one that the plug-in reports if not given.
    version: String,
    /// Not supported.
    oci_image: String,
    /// Not supported.
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
    /// `global` or empty; without effect on a single node.
    #[expect(dead_code, reason = "accepted and ignored")]
    scope: String,
}

/// A plug-in in the field `detailed` of the catalog response.
#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
struct PluginDetailResponse {
    name: String,
    #[serde(rename = "type")]
    kind: PluginKind,
    version: String,
    builtin: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    sha256: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    deprecation_status: &'static str,
}

fn plugin_details(mounts: &MountRegistry) -> Vec<PluginDetailResponse> {
    let catalog = &mounts.engine_loader.catalog;
    let plugins = &mounts.engine_loader.plugin_launcher;
    let registered = catalog.all_registrations().into_iter().map(|spec| PluginDetailResponse {
        name: spec.name.clone(),
        kind: spec.kind,
        version: spec.version.clone(),
        builtin: false,
        sha256: spec.sha256.clone(),
        deprecation_status: "",
    });
    let builtins = PluginKind::ALL.into_iter().flat_map(|kind| {
        plugins.builtin_names(kind).into_iter().map(move |name| PluginDetailResponse {
            version: plugins.builtin_version(kind, &name).unwrap_or_default(),
            name,
            kind,
            builtin: true,
            sha256: String::new(),
            deprecation_status: "supported",
        })
    });
    let mut all: Vec<PluginDetailResponse> = registered.chain(builtins).collect();
    all.sort_by(|a, b| (a.kind, &a.name, &a.version).cmp(&(b.kind, &b.name, &b.version)));
    all
}

fn plugin_names(details: &[PluginDetailResponse], kind: PluginKind) -> Vec<&str> {
    let mut names: Vec<&str> =
        details.iter().filter(|d| d.kind == kind).map(|d| d.name.as_str()).collect();
    names.dedup();
    names
}

async fn read_catalog(_: &EndpointCall, mounts: &MountRegistry) -> Result<CoreResponse, Error> {
    let details = plugin_details(mounts);
    let mut answer = Fields::new();
    for kind in PluginKind::ALL {
        answer.set(kind.as_str(), &plugin_names(&details, kind));
    }
    answer.set("detailed", &details);
    Ok(data_response(answer.to_object()))
}

async fn list_plugins_of_type(
    call: &EndpointCall,
    mounts: &MountRegistry,
) -> Result<CoreResponse, Error> {
    let kind = captured_plugin_type(call)?;
    keys_response(&plugin_names(&plugin_details(mounts), kind))
}

fn captured_plugin_type(call: &EndpointCall) -> Result<PluginKind, Error> {
    let text = call.fields.text("type").unwrap_or_default();
    PluginKind::parse(&text)
        .ok_or_else(|| Error::invalid(format!("{text:?} is not a supported plugin type")))
}

fn captured_plugin_name(call: &EndpointCall) -> String {
    call.fields.text("name").unwrap_or_default()
}

#[derive(Serialize)]
struct PluginResponse<'a> {
    name: &'a str,
    command: &'a str,
    args: &'a [String],
    sha256: &'a str,
    builtin: bool,
    version: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    deprecation_status: &'a str,
}

async fn read_plugin(call: &EndpointCall, mounts: &MountRegistry) -> Result<CoreResponse, Error> {
    let (kind, name) = (captured_plugin_type(call)?, captured_plugin_name(call));
    let version = parse_version(&call.parse_input::<VersionInput>()?.version)?;
    let plugins = &mounts.engine_loader.plugin_launcher;
    let builtin = plugins.builtin_version(kind, &name);
    let version = default_to_only_version(mounts, kind, &name, version, builtin.as_deref());
    let spec = mounts.engine_loader.catalog.get(kind, &name, &version);
    let shown = match (&spec, &builtin) {
        (Some(spec), _) => PluginResponse {
            name: &spec.name,
            command: &spec.command,
            args: &spec.args,
            sha256: &spec.sha256,
            builtin: false,
            version: &spec.version,
            deprecation_status: "",
        },
        (None, Some(own)) if version.is_empty() || version == *own => PluginResponse {
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
    let object = strongroom_types::RawObject::from_serialize(&shown);
    Ok(data_response(object.map_err(Error::unencodable)?))
}

/// The requested version. If none was given and there is no builtin of the name, the registered
/// version, provided there is exactly one.
fn default_to_only_version(
    mounts: &MountRegistry,
    kind: PluginKind,
    name: &str,
    asked: String,
    builtin: Option<&str>,
) -> String {
    if !asked.is_empty() || builtin.is_some() {
        return asked;
    }
    match <[String; 1]>::try_from(mounts.engine_loader.catalog.versions(kind, name)) {
        Ok([only]) => only,
        Err(_) => asked,
    }
}

/// Registers a plug-in. Its file is verified and started once before the catalog entry is stored,
/// so that a plug-in that can't run isn't registered.
async fn register_plugin(
    call: &EndpointCall,
    mounts: &MountRegistry,
) -> Result<CoreResponse, Error> {
    let input: RegisterInput = call.parse_input()?;
    if !input.oci_image.is_empty() || !input.runtime.is_empty() {
        return Err(Error::not_implemented("running plug-ins in containers"));
    }
    let kind = captured_plugin_type(call)?;
    if kind == PluginKind::Database {
        return Err(Error::not_implemented("the plug-in type \"database\""));
    }
    let given = if input.sha256.is_empty() { input.sha_256 } else { input.sha256 };
    if given.is_empty() {
        return Err(Error::invalid("missing SHA-256 value"));
    }
    if input.command.is_empty() {
        return Err(Error::invalid("missing command value"));
    }
    let (command, args) = split_command(&input.command, input.args.0)?;
    let asked = parse_version(&input.version)?;
    let mut spec = PluginSpec {
        name: captured_plugin_name(call),
        kind,
        version: asked.clone(),
        command,
        args,
        env: input.env.0,
        sha256: parse_sha256(&given)?,
    };
    let plugins = &mounts.engine_loader.plugin_launcher;
    // Keeps the copy of the file from being removed until the catalog has the entry.
    let kept = plugins.keep_copy(&spec);
    let reported = plugins.probe(&spec).await.map_err(|error| plugin_error(&error))?;
    if !reported.is_empty() {
        let reported = parse_version(&reported).map_err(|error| {
            let error = sanitise_message(&error.to_string());
            Error::invalid(format!("the plug-in reports a version that can't be used: {error}"))
        })?;
        if !asked.is_empty() && asked != reported {
            return Err(Error::invalid(format!(
                "plugin version mismatch: the plug-in reports {reported} and {asked} was given"
            )));
        }
        spec.version = reported;
    }
    mounts.engine_loader.catalog.register(spec).await?;
    drop(kept);
    remove_unneeded_copies(mounts).await;
    Ok(CoreResponse::Nothing)
}

/// Derived fields for policy conditions: arguments given in `command` are also checked as `args`,
/// and `args` also as part of `command`.
pub(crate) fn derived_plugin_fields(fields: &Fields) -> Vec<DerivedField> {
    let Ok(input) = RegisterInput::from_fields(fields) else { return Vec::new() };
    let Ok((command, args)) = split_command(&input.command, input.args.0) else {
        return Vec::new();
    };
    if args.is_empty() {
        return Vec::new();
    }
    let line = format!("{command} {}", args.join(" "));
    let args = derived_field("args", FieldReading::List, &args, false);
    args.into_iter().chain(derived_field("command", FieldReading::Text, &line, true)).collect()
}

/// Splits arguments off the command, as older clients send them. Fails if `args` are given as well.
fn split_command(command: &str, args: Vec<String>) -> Result<(String, Vec<String>), Error> {
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

fn parse_sha256(text: &str) -> Result<String, Error> {
    let decoded = data_encoding::HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes());
    match decoded {
        Ok(bytes) if bytes.len() == 32 => Ok(data_encoding::HEXLOWER.encode(&bytes)),
        _ => Err(Error::invalid("could not decode SHA-256 value: give 64 hex digits")),
    }
}

fn parse_version(text: &str) -> Result<String, Error> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let version = normalise_version(text).ok_or_else(|| Error::invalid(INVALID_VERSION))?;
    if version.contains("+builtin") {
        return Err(Error::invalid("the metadata \"builtin\" is reserved for linked-in plug-ins"));
    }
    Ok(version)
}

/// The error for an invalid plug-in version. It doesn't repeat the value, which might be a secret.
pub(super) const INVALID_VERSION: &str =
    "the version is not a valid semantic version: write it as 1.2.3";

fn plugin_error(error: &PluginError) -> Error {
    Error::with_message(error.kind(), sanitise_message(&error.to_string()))
}

async fn deregister_plugin(
    call: &EndpointCall,
    mounts: &MountRegistry,
) -> Result<CoreResponse, Error> {
    let (kind, name) = (captured_plugin_type(call)?, captured_plugin_name(call));
    let version = parse_version(&call.parse_input::<VersionInput>()?.version)?;
    mounts.engine_loader.catalog.remove(kind, &name, &version).await?;
    remove_unneeded_copies(mounts).await;
    Ok(CoreResponse::Nothing)
}

/// Deletes the copies of plug-in files that are neither registered nor run by a mount. A mount that
/// reappears because older storage is restored then has no copy to start from.
pub(crate) async fn remove_unneeded_copies(mounts: &MountRegistry) {
    let needed = || {
        let registered = mounts
            .engine_loader
            .catalog
            .all_registrations()
            .into_iter()
            .map(|spec| (*spec).clone());
        let table = mounts.table();
        let run =
            table.all_mounts().filter_map(|mount| mount.entry.running.as_ref()?.plugin.clone());
        registered.chain(run).collect()
    };
    mounts.engine_loader.plugin_launcher.remove_copies_except(&needed).await;
}

async fn reload_plugin_or_mounts(
    call: &EndpointCall,
    mounts: &MountRegistry,
) -> Result<CoreResponse, Error> {
    let input: ReloadInput = call.parse_input()?;
    let reloaded: Vec<(MountKind, String)> =
        match (input.plugin.is_empty(), input.mounts.0.is_empty()) {
            (true, true) => return Err(Error::invalid("plugin or mounts must be provided")),
            (false, false) => {
                return Err(Error::invalid("plugin and mounts cannot be set at the same time"));
            }
            (false, true) => mounts_running_plugin(mounts, None, &input.plugin)?,
            (true, false) => input.mounts.0.iter().map(|path| kind_and_path(path)).collect(),
        };
    reload_mounts(call, mounts, reloaded).await
}

async fn reload_plugin_by_name(
    call: &EndpointCall,
    mounts: &MountRegistry,
) -> Result<CoreResponse, Error> {
    let kind = match call.fields.text("type").as_deref() {
        Some("unknown") => None,
        _ => Some(captured_plugin_type(call)?),
    };
    let reloaded = mounts_running_plugin(mounts, kind, &captured_plugin_name(call))?;
    reload_mounts(call, mounts, reloaded).await
}

fn kind_and_path(path: &str) -> (MountKind, String) {
    let path = format!("{}/", path.trim_matches('/'));
    match path.strip_prefix("auth/") {
        Some(below) => (MountKind::Auth, below.to_owned()),
        None => (MountKind::Secret, path),
    }
}

fn mounts_running_plugin(
    mounts: &MountRegistry,
    kind: Option<PluginKind>,
    plugin: &str,
) -> Result<Vec<(MountKind, String)>, Error> {
    let known = plugin_details(mounts);
    let fits = |of: PluginKind| kind.is_none_or(|kind| kind == of);
    if !known.iter().any(|detail| detail.name == plugin && fits(detail.kind)) {
        return Err(Error::invalid(format!("plugin not found in the catalog: {plugin:?}")));
    }
    let table = mounts.table();
    let runs = |mount: &&std::sync::Arc<strongroom_mounts::ActiveMount>| {
        let entry = &mount.entry;
        entry.mount_type == plugin && kind.is_none_or(|kind| PluginKind::from(entry.kind) == kind)
    };
    let mounts = table.all_mounts().filter(runs);
    Ok(mounts.map(|mount| (mount.entry.kind, mount.entry.path.clone())).collect())
}

async fn reload_mounts(
    call: &EndpointCall,
    mounts: &MountRegistry,
    chosen: Vec<(MountKind, String)>,
) -> Result<CoreResponse, Error> {
    // Once per plug-in, so that mounts that shared a process share the new one.
    let table = mounts.table();
    let reloaded = chosen.iter().filter_map(|(kind, path)| table.get(*kind, path));
    let plugins: BTreeSet<_> = reloaded
        .map(|mount| (PluginKind::from(mount.entry.kind), mount.entry.mount_type.clone()))
        .collect();
    let warnings = match chosen.is_empty() {
        true => vec!["no mount runs this plug-in: nothing was reloaded".to_owned()],
        false => Vec::new(),
    };
    for (kind, name) in plugins {
        mounts.engine_loader.plugin_launcher.start_fresh_process_next(kind, &name);
    }
    for (kind, path) in chosen {
        mounts.reload(kind, &path).await.map_err(|error| {
            let error = Error::from(error);
            Error::with_message(
                error.kind(),
                format!("cannot reload the plug-in at {path}: {error}"),
            )
        })?;
    }
    remove_unneeded_copies(mounts).await;
    let mut answer = Fields::new();
    answer.set("reload_id", &call.id);
    Ok(data_response_with_warnings(answer.to_object(), warnings))
}
