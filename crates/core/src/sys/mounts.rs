//! `sys/mounts` and `sys/auth`.

use std::collections::BTreeMap;

use serde::Serialize;
use strongroom_sdk::{CommaList, Input, KeyValues};
use strongroom_types::duration::parse_nanos;
use strongroom_types::{Fields, MountPath, RawObject, Ttl};

use crate::endpoint::{Access, Call, Endpoint, Handlers, data, handler};
use crate::error::Error;
use crate::mounts::changes::{NewMount, check_lifetimes};
use crate::mounts::{Class, MountConfig, Mounted};
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
        fields: &[TuneInput::FIELDS],
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
    default_lease_ttl: Option<String>,
    max_lease_ttl: Option<String>,
    description: Option<String>,
    force_no_cache: Option<bool>,
    listing_visibility: Option<String>,
    plugin_version: Option<String>,
    options: Option<KeyValues>,
    /// Not built.
    audit_non_hmac_request_keys: CommaList,
    /// Not built.
    audit_non_hmac_response_keys: CommaList,
    /// Not built.
    passthrough_request_headers: CommaList,
    /// Not built.
    allowed_response_headers: CommaList,
    /// For auth methods only.
    token_type: String,
}

/// A field that is an object of its own.
struct Object(Fields);

impl strongroom_sdk::field::Field for Object {
    const KIND: strongroom_sdk::field::FieldKind = strongroom_sdk::field::FieldKind::KeyValues;

    fn empty() -> Option<Self> {
        None
    }

    fn read(raw: &serde_json::value::RawValue) -> Result<Self, strongroom_sdk::field::BadValue> {
        let fields = Fields::from_trusted(raw.get().as_bytes());
        fields.map(Self).map_err(|_| strongroom_sdk::field::BadValue("an object"))
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(self.0.to_object().as_bytes());
        true
    }
}

/// A mount as the API shows it.
#[derive(Serialize)]
pub(crate) struct Shown<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    accessor: Option<&'a str>,
    #[serde(rename = "type")]
    mount_type: &'a str,
    description: &'a str,
    options: &'a Option<BTreeMap<String, String>>,
    #[serde(flatten)]
    more: Option<ShownMore<'a>>,
}

#[derive(Serialize)]
struct ShownMore<'a> {
    uuid: &'a str,
    local: bool,
    seal_wrap: bool,
    external_entropy_access: bool,
    config: ShownConfig<'a>,
    plugin_version: &'a str,
    running_plugin_version: &'a str,
    running_sha256: &'a str,
    deprecation_status: &'a str,
}

#[derive(Serialize)]
struct ShownConfig<'a> {
    default_lease_ttl: u64,
    max_lease_ttl: u64,
    force_no_cache: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    listing_visibility: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
}

/// The whole entry.
pub(crate) fn shown(mounted: &Mounted) -> Shown<'_> {
    let entry = &mounted.entry;
    let running = entry.running.as_ref();
    let external = running.is_some_and(|running| running.plugin.is_some());
    Shown {
        accessor: Some(&entry.accessor),
        mount_type: &entry.mount_type,
        description: &entry.description,
        options: &entry.options,
        more: Some(ShownMore {
            uuid: entry.uuid.as_str(),
            local: entry.local,
            seal_wrap: entry.seal_wrap,
            external_entropy_access: false,
            config: ShownConfig {
                default_lease_ttl: entry.config.default_lease_ttl.as_secs(),
                max_lease_ttl: entry.config.max_lease_ttl.as_secs(),
                force_no_cache: entry.config.force_no_cache,
                listing_visibility: &entry.config.listing_visibility,
                token_type: (entry.class == Class::Auth).then_some("default-service"),
            },
            plugin_version: &entry.plugin_version,
            running_plugin_version: running.map_or("", |running| &running.version),
            running_sha256: running.map_or("", |running| running.sha256()),
            deprecation_status: if external { "" } else { "supported" },
        }),
    }
}

impl<'a> Shown<'a> {
    /// What callers without a token may see.
    pub(crate) fn reduced(mounted: &'a Mounted) -> Self {
        let entry = &mounted.entry;
        Self {
            accessor: None,
            mount_type: &entry.mount_type,
            description: &entry.description,
            options: &entry.options,
            more: None,
        }
    }
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

/// The mount a path names: a secrets engine, or `auth/x` for an auth method.
fn place(path: &str) -> Result<(Class, MountPath), Error> {
    let path = MountPath::parse(path)?;
    match path.as_str().strip_prefix("auth/") {
        Some(below) if !below.is_empty() => Ok((Class::Auth, MountPath::parse(below)?)),
        _ => Ok((Class::Secret, path)),
    }
}

async fn read(call: &Call) -> Result<Answer, Error> {
    let (class, path) = place(call.captured())?;
    let table = call.open.mounts.table();
    let Some(mounted) = table.get(class, path.as_str()) else {
        return Err(Error::invalid(format!("No {} at {path}", class.noun())));
    };
    Ok(data(to_object(&shown(mounted))?))
}

async fn enable(call: &Call) -> Result<Answer, Error> {
    let input: EnableInput = call.input()?;
    if input.external_entropy_access {
        return Err(Error::unbuilt("external entropy access"));
    }
    let config = Config::read(&input.config.map(|object| object.0).unwrap_or_default())?;
    let named = |text: &String| (!text.is_empty()).then(|| text.clone());
    let plugin_name = named(&input.plugin_name).or(config.plugin_name);
    let mount_type = match (input.mount_type.as_str(), plugin_name) {
        ("", None) => return Err(Error::invalid("backend type must be specified as a string")),
        ("plugin" | "", Some(name)) => name,
        ("plugin", None) => {
            return Err(Error::invalid("plugin_name must be provided for plugin backend"));
        }
        ("generic", _) => "kv".to_owned(),
        (given, _) => given.to_owned(),
    };
    let version = named(&input.plugin_version).or(config.plugin_version);
    let options = input.options.map(|options| options.0);
    refuse_kv_version_2(&mount_type, options.as_ref())?;
    call.open
        .mounts
        .enable(NewMount {
            class: Class::Secret,
            path: MountPath::parse(call.captured())?,
            mount_type,
            plugin_version: version.as_deref().map(version_of).transpose()?.unwrap_or_default(),
            description: input.description,
            options,
            local: input.local,
            seal_wrap: input.seal_wrap,
            config: config.mount,
        })
        .await?;
    Ok(Answer::Nothing)
}

/// Version 2 is not built, and keeping one version only would lose data silently.
fn refuse_kv_version_2(
    mount_type: &str,
    options: Option<&BTreeMap<String, String>>,
) -> Result<(), Error> {
    let version = options.and_then(|options| options.get("version")).map(String::as_str);
    match (mount_type, version) {
        ("kv", Some(version)) if version != "1" => Err(Error::unbuilt("KV version 2")),
        ("kv-v2", _) => Err(Error::unbuilt("KV version 2")),
        _ => Ok(()),
    }
}

fn version_of(text: &str) -> Result<String, Error> {
    normalise(text)
        .ok_or_else(|| Error::invalid(format!("version {text:?} is not a valid semantic version")))
}

/// The `config` object of a new mount.
#[derive(Default)]
struct Config {
    mount: MountConfig,
    plugin_name: Option<String>,
    plugin_version: Option<String>,
}

impl Config {
    fn read(fields: &Fields) -> Result<Self, Error> {
        let mut config = Self::default();
        for (name, raw) in fields.iter() {
            let text = text_of(raw);
            match name {
                "default_lease_ttl" => config.mount.default_lease_ttl = lease_ttl(&text)?,
                "max_lease_ttl" => config.mount.max_lease_ttl = lease_ttl(&text)?,
                "force_no_cache" => config.mount.force_no_cache = text == "true",
                "listing_visibility" => config.mount.listing_visibility = visibility(&text)?,
                "plugin_name" if !text.is_empty() => config.plugin_name = Some(text),
                "plugin_version" if !text.is_empty() => config.plugin_version = Some(text),
                // Clients send these empty.
                _ if is_empty(raw.get()) => {}
                _ => return Err(Error::unbuilt(&format!("the mount setting {name:?}"))),
            }
        }
        check_lifetimes(config.mount.default_lease_ttl, config.mount.max_lease_ttl)?;
        Ok(config)
    }
}

fn text_of(raw: &serde_json::value::RawValue) -> String {
    serde_json::from_str(raw.get()).unwrap_or_else(|_| raw.get().to_owned())
}

fn is_empty(json: &str) -> bool {
    matches!(json.trim(), "null" | "\"\"" | "[]" | "{}" | "false" | "0")
}

/// `system`, `""` and `-1` mean the server's own.
fn lease_ttl(text: &str) -> Result<Ttl, Error> {
    if matches!(text, "system" | "" | "-1" | "null") {
        return Ok(Ttl::ZERO);
    }
    let nanos = parse_nanos(text).map_err(|error| Error::invalid(error.to_string()))?;
    let secs = u64::try_from(nanos / 1_000_000_000);
    secs.map(Ttl::from_secs).map_err(|_| Error::invalid("a lease TTL must not be negative"))
}

fn visibility(text: &str) -> Result<String, Error> {
    match text {
        "" | "hidden" | "unauth" => Ok(text.to_owned()),
        _ => Err(Error::invalid("listing_visibility must be \"unauth\", \"hidden\" or empty")),
    }
}

async fn disable(call: &Call) -> Result<Answer, Error> {
    let (class, path) = place(call.captured())?;
    let reserved =
        matches!((class, path.as_str()), (Class::Secret, "sys/" | "cubbyhole/" | "identity/"));
    if reserved {
        return Err(Error::invalid(format!("cannot unmount {:?}", path.as_str())));
    }
    if class == Class::Auth {
        let text = match path.as_str() {
            "token/" => "token credential backend cannot be disabled".to_owned(),
            _ => format!("No {} at {path}", class.noun()),
        };
        return Err(Error::invalid(text));
    }
    if let Some(entry) = call.open.mounts.taint(class, path.as_str()).await? {
        call.open.remove_mount(entry).await?;
    }
    Ok(Answer::Nothing)
}

#[derive(Serialize)]
struct Tuned<'a> {
    default_lease_ttl: u64,
    max_lease_ttl: u64,
    description: &'a str,
    force_no_cache: bool,
    options: &'a Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    listing_visibility: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    plugin_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
}

async fn read_tune(call: &Call) -> Result<Answer, Error> {
    let (class, path) = place(call.captured())?;
    let table = call.open.mounts.table();
    let Some(mounted) = table.get(class, path.as_str()) else {
        return Err(Error::invalid(format!("cannot fetch sysview for path {:?}", path.as_str())));
    };
    let entry = &mounted.entry;
    let lifetimes = entry.lifetimes(call.open.server.lifetimes);
    let tuned = Tuned {
        default_lease_ttl: lifetimes.default.as_secs(),
        max_lease_ttl: lifetimes.max.as_secs(),
        description: &entry.description,
        force_no_cache: entry.config.force_no_cache,
        options: &entry.options,
        listing_visibility: &entry.config.listing_visibility,
        plugin_version: &entry.plugin_version,
        token_type: (class == Class::Auth).then_some("default-service"),
    };
    Ok(data(to_object(&tuned)?))
}

async fn tune(call: &Call) -> Result<Answer, Error> {
    let (class, path) = place(call.captured())?;
    let input: TuneInput = call.input()?;
    let unbuilt = [
        ("audit_non_hmac_request_keys", &input.audit_non_hmac_request_keys),
        ("audit_non_hmac_response_keys", &input.audit_non_hmac_response_keys),
        ("passthrough_request_headers", &input.passthrough_request_headers),
        ("allowed_response_headers", &input.allowed_response_headers),
    ];
    if let Some((name, _)) = unbuilt.iter().find(|(_, list)| !list.0.is_empty()) {
        return Err(Error::unbuilt(&format!("the mount setting {name:?}")));
    }
    if !matches!(input.token_type.as_str(), "" | "default-service") {
        return Err(Error::unbuilt("another token type than \"default-service\""));
    }
    let lifetimes =
        [("default_lease_ttl", &input.default_lease_ttl), ("max_lease_ttl", &input.max_lease_ttl)];
    let given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    if (class, path.as_str()) == (Class::Secret, "sys/")
        && let Some((name, _)) = lifetimes.iter().find(|(_, text)| given(text))
    {
        return Err(Error::invalid(format!("cannot tune parameter {name} of sys/")));
    }
    if (class, path.as_str()) == (Class::Secret, "cubbyhole/") {
        let name = lifetimes.iter().find(|(_, text)| given(text)).map_or("description", |it| it.0);
        return Err(Error::invalid(format!("cannot tune parameter {name} of cubbyhole/")));
    }
    let server = call.open.server.lifetimes;
    let mounts = &call.open.mounts;
    if input.options.is_some() {
        let table = mounts.table();
        let mount_type = table.get(class, path.as_str()).map(|m| m.entry.mount_type.clone());
        let options = input.options.as_ref().map(|options| &options.0);
        refuse_kv_version_2(mount_type.as_deref().unwrap_or_default(), options)?;
    }
    let change = move |entry: &mut crate::mounts::MountEntry| {
        // Go's client sends what it doesn't set as an empty text.
        if let Some(text) = input.default_lease_ttl.as_ref().filter(|text| !text.is_empty()) {
            entry.config.default_lease_ttl = lease_ttl(text)?;
        }
        if let Some(text) = input.max_lease_ttl.as_ref().filter(|text| !text.is_empty()) {
            entry.config.max_lease_ttl = lease_ttl(text)?;
        }
        let (default, max) =
            (entry.config.default_lease_ttl, entry.config.max_lease_ttl.or(server.max));
        if default > max {
            let (max, default) = (max.as_secs(), default.as_secs());
            return Err(Error::invalid(format!(
                "backend max lease TTL of {max} would be less than backend default lease TTL of {default}"
            )));
        }
        if let Some(description) = input.description {
            entry.description = description;
        }
        if let Some(force) = input.force_no_cache {
            entry.config.force_no_cache = force;
        }
        if let Some(text) = &input.listing_visibility {
            entry.config.listing_visibility = visibility(text)?;
        }
        if let Some(version) = &input.plugin_version {
            let given = !version.is_empty();
            entry.plugin_version = if given { version_of(version)? } else { String::new() };
        }
        if let Some(options) = input.options {
            entry.options.get_or_insert_default().extend(options.0);
        }
        Ok(())
    };
    mounts.tune(class, path.as_str(), change).await?;
    Ok(Answer::Nothing)
}

fn to_object(value: &impl Serialize) -> Result<RawObject, Error> {
    RawObject::of(value).map_err(|error| Error::internal(error.to_string()))
}
