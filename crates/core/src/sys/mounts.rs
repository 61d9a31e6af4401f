//! `sys/mounts` and `sys/auth`.

use std::collections::BTreeMap;

use serde::Serialize;
use strongroom_policy::{DerivedField, FieldReading};
use strongroom_sdk::{Input, KeyValues};
use strongroom_types::{Fields, MountPath, RawObject};

use super::mount_entry::{shown, tuned};
use super::mount_settings::{NewConfig, Object, Settings, SettingsInput};
use super::{derived, kv_versions};
use crate::endpoint::{Access, Call, Endpoint, Handlers, data, handler, nothing_or};
use crate::error::Error;
use crate::mounts::Class;
use crate::mounts::changes::{NewMount, failed_to_open};
use crate::plugins::selection::normalise;
use crate::request::Answer;

pub(crate) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        pattern: "mounts",
        help: "All secrets engines.",
        fields: &[],
        handlers: Handlers { read: handler!(list_secrets), ..Handlers::NONE },
        access: Access::Policy,
    },
    Endpoint {
        pattern: "mounts/{path..}/tune",
        help: "What of a mount can be changed while it is mounted.",
        fields: &[TuneInput::FIELDS, SettingsInput::FIELDS],
        handlers: Handlers { read: handler!(read_tune), write: handler!(tune), ..Handlers::NONE },
        access: Access::Policy,
    },
    Endpoint {
        pattern: "mounts/{path..}",
        help: "A secrets engine: mounts, shows or removes it.",
        fields: &[EnableInput::FIELDS],
        handlers: Handlers {
            read: handler!(read),
            write: handler!(enable),
            delete: handler!(disable),
            list: None,
        },
        access: Access::Policy,
    },
    Endpoint {
        pattern: "auth",
        help: "All auth methods.",
        fields: &[],
        handlers: Handlers { read: handler!(list_auth), ..Handlers::NONE },
        access: Access::Policy,
    },
    Endpoint {
        pattern: "auth/{path..}/tune",
        help: "What of an auth method can be changed while it is mounted.",
        fields: &[TuneInput::FIELDS, SettingsInput::FIELDS],
        handlers: Handlers {
            read: handler!(read_auth_tune),
            write: handler!(tune_auth),
            ..Handlers::NONE
        },
        access: Access::Policy,
    },
    Endpoint {
        pattern: "auth/{path..}",
        help: "An auth method: mounts, shows or removes it.",
        fields: &[EnableInput::FIELDS],
        handlers: Handlers {
            read: handler!(read_auth),
            write: handler!(enable_auth),
            delete: handler!(disable_auth),
            list: None,
        },
        access: Access::Policy,
    },
];

#[derive(Input)]
struct EnableInput {
    /// The engine: the name of a plug-in in the catalog.
    #[field(rename = "type")]
    mount_type: String,
    /// The plug-in's name, where `type` is `plugin`.
    plugin_name: String,
    /// The version to run; the newest that is registered if not given.
    plugin_version: String,
    /// For people.
    description: String,
    /// Options for the engine.
    options: Option<KeyValues>,
    /// Keep the mount in this cluster.
    local: bool,
    /// Ask for the seal's extra encryption.
    seal_wrap: bool,
    /// Not built.
    external_entropy_access: bool,
    /// What can be tuned later.
    config: Option<Object>,
}

#[derive(Input)]
struct TuneInput {
    /// For people.
    description: Option<String>,
    /// Options for the engine: added to those it has. An empty one goes.
    options: Option<KeyValues>,
    /// The version to run after the next reload; empty to follow the catalog.
    plugin_version: Option<String>,
}

async fn list_secrets(call: &Call) -> Result<Answer, Error> {
    Ok(list(call, Class::Secret))
}

async fn list_auth(call: &Call) -> Result<Answer, Error> {
    Ok(list(call, Class::Auth))
}

fn list(call: &Call, class: Class) -> Answer {
    let mut answer = Fields::new();
    for mounted in call.open.mounts.table().of_class(class) {
        answer.set(mounted.entry.path.clone(), &shown(mounted));
    }
    data(answer.to_object())
}

/// The mount that a path below `sys/mounts` names: a secrets engine, or `auth/x` for an auth method.
fn place(path: &str) -> Result<(Class, MountPath), Error> {
    let path = MountPath::parse(path)?;
    match path.as_str().strip_prefix("auth/") {
        Some(below) if !below.is_empty() => Ok((Class::Auth, MountPath::parse(below)?)),
        _ => Ok((Class::Secret, path)),
    }
}

fn auth_place(path: &str) -> Result<(Class, MountPath), Error> {
    Ok((Class::Auth, MountPath::parse(path)?))
}

async fn read(call: &Call) -> Result<Answer, Error> {
    let missing = |path| format!("No {} at {path}", Class::Secret.noun());
    let (class, path) = place(call.captured())?;
    read_one(call, class, &path, missing(class.route(path.as_str())))
}

async fn read_auth(call: &Call) -> Result<Answer, Error> {
    let (class, path) = auth_place(call.captured())?;
    read_one(call, class, &path, format!("No {} at {path}", class.noun()))
}

fn read_one(call: &Call, class: Class, path: &MountPath, missing: String) -> Result<Answer, Error> {
    let table = call.open.mounts.table();
    let mounted = table.get(class, path.as_str()).ok_or_else(|| Error::invalid(missing))?;
    Ok(data(to_object(&shown(mounted))?))
}

async fn enable(call: &Call) -> Result<Answer, Error> {
    // `auth/x` is no place for a secrets engine, and is refused as one.
    enable_at(call, Class::Secret, MountPath::parse(call.captured())?).await
}

async fn enable_auth(call: &Call) -> Result<Answer, Error> {
    let (class, path) = auth_place(call.captured())?;
    enable_at(call, class, path).await
}

async fn enable_at(call: &Call, class: Class, path: MountPath) -> Result<Answer, Error> {
    let input: EnableInput = call.input()?;
    if input.external_entropy_access {
        return Err(Error::unbuilt("external entropy access"));
    }
    let config = NewConfig::read(&input.config.map(|object| object.0).unwrap_or_default())?;
    let mount_type = type_of(input.mount_type, input.plugin_name, config.plugin_name)?;
    check_type(class, &mount_type)?;
    let version = Some(input.plugin_version).filter(|text| !text.is_empty());
    let version = version.or(config.plugin_version);
    let options = Some(input.options.map(|options| options.0).unwrap_or_default());
    let (mount_type, options) = match class {
        Class::Secret => kv_versions::of_new_mount(mount_type, options)?,
        Class::Auth => (mount_type, options),
    };
    let settings = config.settings.checked(class, &mount_type)?;
    call.open
        .mounts
        .enable(NewMount {
            class,
            path,
            config: settings.of_new(call.open.server.lifetimes)?,
            mount_type,
            plugin_version: version.as_deref().map(version_of).transpose()?.unwrap_or_default(),
            description: input.description,
            options,
            local: input.local,
            seal_wrap: input.seal_wrap,
        })
        .await?;
    Ok(Answer::Nothing)
}

/// The type of a new mount, by its own field or by the name of its plug-in.
fn type_of(
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

/// A KV mount is judged under each name that its type has, and with the version that the name gives it.
pub(crate) fn fields_of_mount(fields: &Fields) -> Vec<DerivedField> {
    let Ok(input) = EnableInput::from_fields(fields) else { return Vec::new() };
    let config = NewConfig::read(&input.config.map(|object| object.0).unwrap_or_default());
    let Ok(config) = config else { return Vec::new() };
    let named = type_of(input.mount_type, input.plugin_name, config.plugin_name);
    let Ok(named) = named else { return Vec::new() };
    let options = input.options.unwrap_or_default().0;
    let Ok(names) = kv_versions::names(named, options) else { return Vec::new() };
    let version = names.version.and_then(|version| {
        let options = BTreeMap::from([(kv_versions::VERSION, version)]);
        derived("options", FieldReading::Pairs, &options, false)
    });
    let types = names.types.iter();
    let types = types.filter_map(|name| derived("type", FieldReading::Text, name, true));
    types.chain(version).collect()
}

/// Types of the mounts every server has; there is one of each.
fn check_type(class: Class, mount_type: &str) -> Result<(), Error> {
    match (class, mount_type) {
        (Class::Auth, "token") => {
            Err(Error::invalid("token credential backend cannot be instantiated"))
        }
        (Class::Secret, "token" | "system" | "cubbyhole" | "identity") => {
            Err(Error::invalid(format!("mount type of {mount_type:?} is not mountable")))
        }
        _ => Ok(()),
    }
}

/// It doesn't repeat the text.
pub(super) const NO_VERSION: &str =
    "the version is not a valid semantic version: write it as 1.2.3";

fn version_of(text: &str) -> Result<String, Error> {
    normalise(text).ok_or_else(|| Error::invalid(NO_VERSION))
}

async fn disable(call: &Call) -> Result<Answer, Error> {
    let (class, path) = place(call.captured())?;
    let route = class.route(path.as_str());
    let auth_is_there = || call.open.mounts.table().get(class, path.as_str()).is_some();
    let refused = match class {
        // Removing one needs sudo, and has its own path.
        Class::Auth => auth_is_there(),
        Class::Secret => {
            ["sys/", "cubbyhole/", "identity/", "auth/"].iter().any(|own| route.starts_with(own))
        }
    };
    if refused {
        return Err(Error::invalid(format!("cannot unmount {route:?}")));
    }
    remove(call, class, &path).await
}

async fn disable_auth(call: &Call) -> Result<Answer, Error> {
    let (class, path) = auth_place(call.captured())?;
    if path.as_str() == "token/" {
        return Err(Error::invalid("token credential backend cannot be disabled"));
    }
    remove(call, class, &path).await
}

async fn remove(call: &Call, class: Class, path: &MountPath) -> Result<Answer, Error> {
    if let Some(entry) = call.open.mounts.taint(class, path.as_str()).await? {
        call.open.remove_mount(entry).await?;
        super::plugins::remove_unneeded_copies(call).await;
    }
    Ok(Answer::Nothing)
}

async fn read_tune(call: &Call) -> Result<Answer, Error> {
    let (class, path) = place(call.captured())?;
    read_tune_of(call, class, &path)
}

async fn read_auth_tune(call: &Call) -> Result<Answer, Error> {
    let (class, path) = auth_place(call.captured())?;
    read_tune_of(call, class, &path)
}

fn read_tune_of(call: &Call, class: Class, path: &MountPath) -> Result<Answer, Error> {
    let table = call.open.mounts.table();
    let Some(mounted) = table.get(class, path.as_str()) else {
        let route = class.route(path.as_str());
        return Err(Error::invalid(format!("cannot fetch sysview for path {route:?}")));
    };
    Ok(data(to_object(&tuned(mounted, call.open.server.lifetimes))?))
}

async fn tune(call: &Call) -> Result<Answer, Error> {
    let (class, path) = place(call.captured())?;
    tune_at(call, class, &path).await
}

async fn tune_auth(call: &Call) -> Result<Answer, Error> {
    let (class, path) = auth_place(call.captured())?;
    tune_at(call, class, &path).await
}

async fn tune_at(call: &Call, class: Class, path: &MountPath) -> Result<Answer, Error> {
    let input: TuneInput = call.input()?;
    let settings: SettingsInput = call.input()?;
    if let (Class::Secret, own @ ("sys/" | "cubbyhole/")) = (class, path.as_str()) {
        refuse_for_own(own, &call.fields)?;
    }
    let server = call.open.server.lifetimes;
    let mounts = &call.open.mounts;
    let table = mounts.table();
    let mounted = table.get(class, path.as_str());
    let upgrade = match (&input.options, mounted) {
        (Some(options), Some(mounted)) => kv_versions::upgrade(&mounted.entry, &options.0)?,
        _ => None,
    };
    // A mount that isn't there has its own words, below.
    let settings = match mounted {
        None => Settings::default(),
        Some(mounted) => settings.checked(class, &mounted.entry.mount_type)?,
    };
    let opener = mounts.opener.clone();
    let change = move |entry: &mut crate::mounts::MountEntry| {
        settings.change(&mut entry.config, server)?;
        if let Some(description) = input.description {
            entry.description = description;
        }
        if let Some(version) = &input.plugin_version {
            let given = !version.is_empty();
            entry.plugin_version = if given { version_of(version)? } else { String::new() };
            if given {
                // A version that isn't there would be found out at the next reload.
                opener.choose(entry).map_err(|error| failed_to_open(&error))?;
            }
        }
        if let Some(options) = input.options {
            // Looked at again: another change may have come first.
            kv_versions::upgrade(entry, &options.0)?;
            let known = entry.options.get_or_insert_default();
            known.extend(options.0);
            known.retain(|_, value| !value.is_empty());
        }
        Ok(())
    };
    match upgrade {
        None => mounts.tune(class, path.as_str(), change).await?,
        Some(_) => mounts.tune_and_reopen(class, path.as_str(), change).await?,
    }
    Ok(nothing_or(upgrade.into_iter().collect()))
}

/// Of the server's own mounts nothing can be tuned.
fn refuse_for_own(mount: &str, fields: &Fields) -> Result<(), Error> {
    let tunable = TuneInput::FIELDS.iter().chain(SettingsInput::FIELDS);
    let given = tunable.map(|field| field.name).find(|name| fields.contains(name));
    match given {
        // Go's client always sends it.
        None | Some("force_no_cache") => Ok(()),
        Some(name) => Err(Error::invalid(format!("cannot tune parameter {name} of {mount}"))),
    }
}

fn to_object(value: &impl Serialize) -> Result<RawObject, Error> {
    RawObject::of(value).map_err(|error| Error::internal(error.to_string()))
}
