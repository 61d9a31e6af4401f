//! `sys/mounts` and `sys/auth`: listing, enabling, tuning and disabling secrets engines and auth
//! methods.

use std::collections::BTreeMap;

use serde::Serialize;
use strongroom_core::error::Error;
use strongroom_core::request::CoreResponse;
use strongroom_core::unmount::UnmountService;
use strongroom_mounts::MountRegistry;
use strongroom_mounts::plugins::selection::normalise_version;
use strongroom_mounts::registry::NewMount;
use strongroom_mounts::system_view::ServerInfo;
use strongroom_policy::{DerivedField, FieldReading};
use strongroom_schema::{Input, KeyValues};
use strongroom_types::{Fields, MountKind, MountPath, RawObject};

use super::mount_entry::{mount_response, tune_response};
use super::mount_settings::{EnableConfigInput, JsonObject, MountConfigUpdate, MountSettingsInput};
use super::plugins::INVALID_VERSION;
use super::{derived_field, kv_versions};
use crate::endpoint::{
    ApiEndpoint, EndpointAccess, EndpointCall, VerbHandlers, data_response,
    empty_or_warnings_response, handler,
};

pub(crate) const ENDPOINTS: &[ApiEndpoint] = &[
    ApiEndpoint {
        pattern: "mounts",
        help: "Lists the mounted secrets engines.",
        fields: &[],
        handlers: VerbHandlers { read: handler!(list_secret_mounts, mounts), ..VerbHandlers::NONE },
        access: EndpointAccess::Policy,
    },
    ApiEndpoint {
        pattern: "mounts/{path..}/tune",
        help: "Reads or changes the tunable settings of a mount.",
        fields: &[TuneInput::FIELDS, MountSettingsInput::FIELDS],
        handlers: VerbHandlers {
            read: handler!(read_tune, mounts, server_info),
            write: handler!(tune_mount, mounts, server_info),
            ..VerbHandlers::NONE
        },
        access: EndpointAccess::Policy,
    },
    ApiEndpoint {
        pattern: "mounts/{path..}",
        help: "Enables, reads or disables a secrets engine.",
        fields: &[EnableInput::FIELDS],
        handlers: VerbHandlers {
            read: handler!(read_mount, mounts),
            write: handler!(enable_secrets_engine, mounts, server_info),
            delete: handler!(disable_mount, mounts, unmounts),
            list: None,
        },
        access: EndpointAccess::Policy,
    },
    ApiEndpoint {
        pattern: "auth",
        help: "Lists the mounted auth methods.",
        fields: &[],
        handlers: VerbHandlers { read: handler!(list_auth_mounts, mounts), ..VerbHandlers::NONE },
        access: EndpointAccess::Policy,
    },
    ApiEndpoint {
        pattern: "auth/{path..}/tune",
        help: "Reads or changes the tunable settings of an auth method.",
        fields: &[TuneInput::FIELDS, MountSettingsInput::FIELDS],
        handlers: VerbHandlers {
            read: handler!(read_auth_tune, mounts, server_info),
            write: handler!(tune_auth_mount, mounts, server_info),
            ..VerbHandlers::NONE
        },
        access: EndpointAccess::Policy,
    },
    ApiEndpoint {
        pattern: "auth/{path..}",
        help: "Enables, reads or disables an auth method.",
        fields: &[EnableInput::FIELDS],
        handlers: VerbHandlers {
            read: handler!(read_auth_mount, mounts),
            write: handler!(enable_auth_method, mounts, server_info),
            delete: handler!(disable_auth_method, mounts, unmounts),
            list: None,
        },
        access: EndpointAccess::Policy,
    },
];

#[derive(Input)]
struct EnableInput {
    /// The type of the engine: the name of a plug-in in the catalog.
    #[field(rename = "type")]
    mount_type: String,
    /// The name of the plug-in if `type` is `plugin`.
    plugin_name: String,
    /// The version of the plug-in to run; the newest registered one if not given.
    plugin_version: String,
    /// A description for people.
    description: String,
    /// Options that are passed to the engine, such as the `version` of `kv`.
    options: Option<KeyValues>,
    /// Whether the mount is local to this cluster.
    local: bool,
    /// Whether values are also encrypted by the seal, where the seal supports it.
    seal_wrap: bool,
    /// Not supported.
    external_entropy_access: bool,
    /// The initial tunable settings.
    config: Option<JsonObject>,
}

#[derive(Input)]
struct TuneInput {
    /// A description for people.
    description: Option<String>,
    /// Options to set. An empty value removes the option; the others are kept.
    options: Option<KeyValues>,
    /// The plug-in version to run after the next reload; empty for the newest registered one.
    plugin_version: Option<String>,
}

async fn list_secret_mounts(
    _: &EndpointCall,
    mounts: &MountRegistry,
) -> Result<CoreResponse, Error> {
    Ok(list_mounts_of_kind(mounts, MountKind::Secret))
}

async fn list_auth_mounts(_: &EndpointCall, mounts: &MountRegistry) -> Result<CoreResponse, Error> {
    Ok(list_mounts_of_kind(mounts, MountKind::Auth))
}

fn list_mounts_of_kind(mounts: &MountRegistry, kind: MountKind) -> CoreResponse {
    let mut answer = Fields::new();
    for mounted in mounts.table().mounts_of_kind(kind) {
        answer.set(mounted.entry.path.clone(), &mount_response(mounted));
    }
    data_response(answer.to_object())
}

/// Parses the path below `sys/mounts`: `auth/x` names an auth method, anything else a secrets
/// engine.
fn parse_secret_or_auth_path(path: &str) -> Result<(MountKind, MountPath), Error> {
    let path = MountPath::parse(path)?;
    match path.as_str().strip_prefix("auth/") {
        Some(below) if !below.is_empty() => Ok((MountKind::Auth, MountPath::parse(below)?)),
        _ => Ok((MountKind::Secret, path)),
    }
}

fn parse_auth_path(path: &str) -> Result<(MountKind, MountPath), Error> {
    Ok((MountKind::Auth, MountPath::parse(path)?))
}

async fn read_mount(call: &EndpointCall, mounts: &MountRegistry) -> Result<CoreResponse, Error> {
    let missing = |path| format!("No {} at {path}", MountKind::Secret.noun_in_messages());
    let (kind, path) = parse_secret_or_auth_path(call.first_capture())?;
    read_mount_at(mounts, kind, &path, missing(kind.route_to(path.as_str())))
}

async fn read_auth_mount(
    call: &EndpointCall,
    mounts: &MountRegistry,
) -> Result<CoreResponse, Error> {
    let (kind, path) = parse_auth_path(call.first_capture())?;
    read_mount_at(mounts, kind, &path, format!("No {} at {path}", kind.noun_in_messages()))
}

fn read_mount_at(
    mounts: &MountRegistry,
    kind: MountKind,
    path: &MountPath,
    missing: String,
) -> Result<CoreResponse, Error> {
    let table = mounts.table();
    let mounted = table.get(kind, path.as_str()).ok_or_else(|| Error::invalid(missing))?;
    Ok(data_response(to_object(&mount_response(mounted))?))
}

async fn enable_secrets_engine(
    call: &EndpointCall,
    mounts: &MountRegistry,
    server_info: &ServerInfo,
) -> Result<CoreResponse, Error> {
    // Taken as a secrets engine's path, so that `auth/x` is refused.
    enable_mount_at(
        call,
        mounts,
        server_info,
        MountKind::Secret,
        MountPath::parse(call.first_capture())?,
    )
    .await
}

async fn enable_auth_method(
    call: &EndpointCall,
    mounts: &MountRegistry,
    server_info: &ServerInfo,
) -> Result<CoreResponse, Error> {
    let (kind, path) = parse_auth_path(call.first_capture())?;
    enable_mount_at(call, mounts, server_info, kind, path).await
}

async fn enable_mount_at(
    call: &EndpointCall,
    mounts: &MountRegistry,
    server_info: &ServerInfo,
    kind: MountKind,
    path: MountPath,
) -> Result<CoreResponse, Error> {
    let input: EnableInput = call.parse_input()?;
    if input.external_entropy_access {
        return Err(Error::not_implemented("external entropy access"));
    }
    let config =
        EnableConfigInput::from_fields(&input.config.map(|object| object.0).unwrap_or_default())?;
    let mount_type = resolve_mount_type(input.mount_type, input.plugin_name, config.plugin_name)?;
    check_mountable(kind, &mount_type)?;
    let version = Some(input.plugin_version).filter(|text| !text.is_empty());
    let version = version.or(config.plugin_version);
    let options = Some(input.options.map(|options| options.0).unwrap_or_default());
    let (mount_type, options) = match kind {
        MountKind::Secret => kv_versions::resolve_new_mount(mount_type, options)?,
        MountKind::Auth => (mount_type, options),
    };
    let settings = config.settings.validate(kind, &mount_type)?;
    mounts
        .enable(NewMount {
            kind,
            path,
            config: settings.into_new_config(server_info.lifetimes)?,
            mount_type,
            plugin_version: version.as_deref().map(parse_version).transpose()?.unwrap_or_default(),
            description: input.description,
            options,
            local: input.local,
            seal_wrap: input.seal_wrap,
        })
        .await?;
    Ok(CoreResponse::Nothing)
}

/// The type of a new mount: the field `type`, or the plug-in name if `type` is `plugin` or empty.
fn resolve_mount_type(
    mount_type: String,
    plugin_name: String,
    in_config: Option<String>,
) -> Result<String, Error> {
    let plugin_name = Some(plugin_name).filter(|name| !name.is_empty()).or(in_config);
    match (mount_type.as_str(), plugin_name) {
        ("", None) => Err(Error::invalid("backend type must be specified as a string")),
        ("plugin" | "", Some(name)) => Ok(name),
        ("plugin", None) => Err(Error::invalid("plugin_name must be provided for plugin backend")),
        _ => Ok(mount_type),
    }
}

/// Fields that policy conditions on mount requests also check: the aliases of a KV mount's type,
/// and the option `version` if the type name implies it.
pub(crate) fn derived_mount_fields(fields: &Fields) -> Vec<DerivedField> {
    let Ok(input) = EnableInput::from_fields(fields) else { return Vec::new() };
    let config =
        EnableConfigInput::from_fields(&input.config.map(|object| object.0).unwrap_or_default());
    let Ok(config) = config else { return Vec::new() };
    let named = resolve_mount_type(input.mount_type, input.plugin_name, config.plugin_name);
    let Ok(named) = named else { return Vec::new() };
    let options = input.options.unwrap_or_default().0;
    let Ok(names) = kv_versions::mount_type_aliases(named, options) else { return Vec::new() };
    let version = names.version.and_then(|version| {
        let options = BTreeMap::from([(kv_versions::VERSION_OPTION, version)]);
        derived_field("options", FieldReading::Pairs, &options, false)
    });
    let types = names.types.iter();
    let types = types.filter_map(|name| derived_field("type", FieldReading::Text, name, true));
    types.chain(version).collect()
}

/// Refuses the types of the built-in mounts, of which every server has exactly one.
fn check_mountable(kind: MountKind, mount_type: &str) -> Result<(), Error> {
    match (kind, mount_type) {
        (MountKind::Auth, "token") => {
            Err(Error::invalid("token credential backend cannot be instantiated"))
        }
        (MountKind::Secret, "token" | "system" | "cubbyhole" | "identity") => {
            Err(Error::invalid(format!("mount type of {mount_type:?} is not mountable")))
        }
        _ => Ok(()),
    }
}

fn parse_version(text: &str) -> Result<String, Error> {
    normalise_version(text).ok_or_else(|| Error::invalid(INVALID_VERSION))
}

async fn disable_mount(
    call: &EndpointCall,
    mounts: &MountRegistry,
    unmounts: &UnmountService,
) -> Result<CoreResponse, Error> {
    let (kind, path) = parse_secret_or_auth_path(call.first_capture())?;
    let route = kind.route_to(path.as_str());
    let auth_is_there = || mounts.table().get(kind, path.as_str()).is_some();
    let refused = match kind {
        // Disabling an auth method requires `sudo` and has its own path, `sys/auth/`.
        MountKind::Auth => auth_is_there(),
        MountKind::Secret => {
            ["sys/", "cubbyhole/", "identity/", "auth/"].iter().any(|own| route.starts_with(own))
        }
    };
    if refused {
        return Err(Error::invalid(format!("cannot unmount {route:?}")));
    }
    unmount_at(mounts, unmounts, kind, &path).await
}

async fn disable_auth_method(
    call: &EndpointCall,
    mounts: &MountRegistry,
    unmounts: &UnmountService,
) -> Result<CoreResponse, Error> {
    let (kind, path) = parse_auth_path(call.first_capture())?;
    if path.as_str() == "token/" {
        return Err(Error::invalid("token credential backend cannot be disabled"));
    }
    unmount_at(mounts, unmounts, kind, &path).await
}

async fn unmount_at(
    mounts: &MountRegistry,
    unmounts: &UnmountService,
    kind: MountKind,
    path: &MountPath,
) -> Result<CoreResponse, Error> {
    if let Some(entry) = mounts.taint(kind, path.as_str()).await? {
        unmounts.remove_mount(entry).await?;
        super::plugins::remove_unneeded_copies(mounts).await;
    }
    Ok(CoreResponse::Nothing)
}

async fn read_tune(
    call: &EndpointCall,
    mounts: &MountRegistry,
    server_info: &ServerInfo,
) -> Result<CoreResponse, Error> {
    let (kind, path) = parse_secret_or_auth_path(call.first_capture())?;
    read_tune_at(mounts, server_info, kind, &path)
}

async fn read_auth_tune(
    call: &EndpointCall,
    mounts: &MountRegistry,
    server_info: &ServerInfo,
) -> Result<CoreResponse, Error> {
    let (kind, path) = parse_auth_path(call.first_capture())?;
    read_tune_at(mounts, server_info, kind, &path)
}

fn read_tune_at(
    mounts: &MountRegistry,
    server_info: &ServerInfo,
    kind: MountKind,
    path: &MountPath,
) -> Result<CoreResponse, Error> {
    let table = mounts.table();
    let Some(mounted) = table.get(kind, path.as_str()) else {
        let route = kind.route_to(path.as_str());
        return Err(Error::invalid(format!("cannot fetch sysview for path {route:?}")));
    };
    Ok(data_response(to_object(&tune_response(mounted, server_info.lifetimes))?))
}

async fn tune_mount(
    call: &EndpointCall,
    mounts: &MountRegistry,
    server_info: &ServerInfo,
) -> Result<CoreResponse, Error> {
    let (kind, path) = parse_secret_or_auth_path(call.first_capture())?;
    tune_mount_at(call, mounts, server_info, kind, &path).await
}

async fn tune_auth_mount(
    call: &EndpointCall,
    mounts: &MountRegistry,
    server_info: &ServerInfo,
) -> Result<CoreResponse, Error> {
    let (kind, path) = parse_auth_path(call.first_capture())?;
    tune_mount_at(call, mounts, server_info, kind, &path).await
}

async fn tune_mount_at(
    call: &EndpointCall,
    mounts: &MountRegistry,
    server_info: &ServerInfo,
    kind: MountKind,
    path: &MountPath,
) -> Result<CoreResponse, Error> {
    let input: TuneInput = call.parse_input()?;
    let settings: MountSettingsInput = call.parse_input()?;
    if let (MountKind::Secret, own @ ("sys/" | "cubbyhole/")) = (kind, path.as_str()) {
        reject_builtin_tuning(own, &call.fields)?;
    }
    let server = server_info.lifetimes;
    let table = mounts.table();
    let mounted = table.get(kind, path.as_str());
    let upgrade = match (&input.options, mounted) {
        (Some(options), Some(mounted)) => kv_versions::upgrade_warning(&mounted.entry, &options.0)?,
        _ => None,
    };
    // A missing mount is reported by `tune` below.
    let settings = match mounted {
        None => MountConfigUpdate::default(),
        Some(mounted) => settings.validate(kind, &mounted.entry.mount_type)?,
    };
    let opener = mounts.engine_loader.clone();
    let change = move |entry: &mut strongroom_mounts::MountEntry| {
        settings.apply_tune(&mut entry.config, server)?;
        if let Some(description) = input.description {
            entry.description = description;
        }
        if let Some(version) = &input.plugin_version {
            let given = !version.is_empty();
            entry.plugin_version = if given { parse_version(version)? } else { String::new() };
            if given {
                // Fail now; otherwise a missing version would only be noticed at the next reload.
                opener.resolve_plugin(entry).map_err(strongroom_mounts::Error::Open)?;
            }
        }
        if let Some(options) = input.options {
            // Check again: another change may have been applied since the check above.
            kv_versions::upgrade_warning(entry, &options.0)?;
            let known = entry.options.get_or_insert_default();
            known.extend(options.0);
            known.retain(|_, value| !value.is_empty());
        }
        Ok::<(), Error>(())
    };
    match upgrade {
        None => mounts.tune(kind, path.as_str(), change).await?,
        Some(_) => mounts.tune_and_reload(kind, path.as_str(), change).await?,
    }
    Ok(empty_or_warnings_response(upgrade.into_iter().collect()))
}

/// Refuses to tune the built-in mounts `sys/` and `cubbyhole/`.
fn reject_builtin_tuning(mount: &str, fields: &Fields) -> Result<(), Error> {
    let tunable = TuneInput::FIELDS.iter().chain(MountSettingsInput::FIELDS);
    let given = tunable.map(|field| field.name).find(|name| fields.contains(name));
    match given {
        // Go's client always sends `force_no_cache`, so accept it.
        None | Some("force_no_cache") => Ok(()),
        Some(name) => Err(Error::invalid(format!("cannot tune parameter {name} of {mount}"))),
    }
}

fn to_object(value: &impl Serialize) -> Result<RawObject, Error> {
    RawObject::from_serialize(value).map_err(Error::unencodable)
}
