//! The settings of a mount that can be given as `config` when it is enabled, and changed by tuning.

use strongroom_core::error::Error;
use strongroom_core::headers;
use strongroom_engine::MountLifetimes;
use strongroom_mounts::MountConfig;
use strongroom_schema::{CommaList, Input};
use strongroom_types::{Fields, MountKind, TokenTypeSetting, Ttl};

#[derive(Input, Default)]
pub(super) struct MountSettingsInput {
    /// The TTL of leases that request none.
    default_lease_ttl: Option<String>,
    /// The maximum TTL of leases.
    max_lease_ttl: Option<String>,
    /// Stored and returned, but without effect: there is no cache to bypass.
    force_no_cache: Option<bool>,
    /// `unauth` to list the mount for unauthenticated callers; `hidden` or empty otherwise.
    listing_visibility: Option<String>,
    /// Request fields that audit devices may log without HMAC.
    audit_non_hmac_request_keys: Option<CommaList>,
    /// Response fields that audit devices may log without HMAC.
    audit_non_hmac_response_keys: Option<CommaList>,
    /// Request headers that are passed to the engine.
    passthrough_request_headers: Option<CommaList>,
    /// Response headers that the engine may set.
    allowed_response_headers: Option<CommaList>,
    /// The type of tokens that logins create: `service` or `default-service`. Auth methods only.
    token_type: Option<String>,
    /// Not supported.
    user_lockout_config: Option<JsonObject>,
    /// Not supported.
    allowed_managed_keys: Option<CommaList>,
    /// Not supported.
    delegated_auth_accessors: Option<CommaList>,
    /// Not supported.
    #[field(public)]
    identity_token_key: Option<String>,
}

/// The validated settings of a request. `None` leaves the current value unchanged.
#[derive(Default)]
pub(super) struct MountConfigUpdate {
    default_lease_ttl: Option<String>,
    max_lease_ttl: Option<String>,
    force_no_cache: Option<bool>,
    listing_visibility: Option<String>,
    audit_non_hmac_request_keys: Option<Vec<String>>,
    audit_non_hmac_response_keys: Option<Vec<String>>,
    passthrough_request_headers: Option<Vec<String>>,
    allowed_response_headers: Option<Vec<String>>,
    token_type: Option<TokenTypeSetting>,
}

impl MountSettingsInput {
    /// Validates the settings for a mount of this kind and type. Fails if a value is invalid, or a
    /// setting isn't allowed for the type or not implemented.
    pub(super) fn validate(
        self,
        kind: MountKind,
        mount_type: &str,
    ) -> Result<MountConfigUpdate, Error> {
        self.reject_unsupported(kind, mount_type)?;
        let list = |list: Option<CommaList>| list.map(|list| list.0);
        let settings = MountConfigUpdate {
            default_lease_ttl: self.default_lease_ttl.filter(|text| !text.is_empty()),
            max_lease_ttl: self.max_lease_ttl.filter(|text| !text.is_empty()),
            force_no_cache: self.force_no_cache,
            listing_visibility: self.listing_visibility,
            audit_non_hmac_request_keys: list(self.audit_non_hmac_request_keys),
            audit_non_hmac_response_keys: list(self.audit_non_hmac_response_keys),
            passthrough_request_headers: list(self.passthrough_request_headers),
            allowed_response_headers: list(self.allowed_response_headers),
            token_type: self
                .token_type
                .map(|text| parse_token_type(&text, kind, mount_type))
                .transpose()?,
        };
        if let Some(text) = &settings.listing_visibility
            && !matches!(text.as_str(), "" | "hidden" | "unauth")
        {
            return Err(Error::invalid(
                "invalid listing_visibility: must be unauth, hidden or empty",
            ));
        }
        headers::check_request_header_names(
            settings.passthrough_request_headers.as_deref().unwrap_or_default(),
        )?;
        headers::check_response_header_names(
            settings.allowed_response_headers.as_deref().unwrap_or_default(),
        )?;
        Ok(settings)
    }

    fn reject_unsupported(&self, kind: MountKind, mount_type: &str) -> Result<(), Error> {
        let listed =
            |list: &Option<CommaList>| list.as_ref().is_some_and(|list| !list.0.is_empty());
        let lockout = self.user_lockout_config.as_ref().is_some_and(|it| !it.0.is_empty());
        let lockable =
            kind == MountKind::Auth && matches!(mount_type, "approle" | "ldap" | "userpass");
        if lockout && !lockable {
            let text = format!(
                "tuning of user lockout configuration for auth type {mount_type:?} not allowed"
            );
            return Err(Error::invalid(text));
        }
        let key = self.identity_token_key.as_ref().is_some_and(|key| !key.is_empty());
        let unbuilt = [
            ("user_lockout_config", lockout),
            ("allowed_managed_keys", listed(&self.allowed_managed_keys)),
            ("delegated_auth_accessors", listed(&self.delegated_auth_accessors)),
            ("identity_token_key", key),
        ];
        match unbuilt.iter().find(|(_, given)| *given) {
            Some((name, _)) => Err(Error::not_implemented(&format!("the mount setting {name:?}"))),
            None => Ok(()),
        }
    }
}

fn parse_token_type(
    text: &str,
    kind: MountKind,
    mount_type: &str,
) -> Result<TokenTypeSetting, Error> {
    let given = !text.is_empty();
    if given && kind == MountKind::Secret {
        return Err(Error::invalid("'token_type' can only be modified on auth mounts"));
    }
    if given && mount_type == "token" {
        let text = "'token_type' cannot be set for 'token' or 'ns_token' auth mounts";
        return Err(Error::invalid(text));
    }
    TokenTypeSetting::parse(text).ok_or_else(|| Error::invalid("invalid value for 'token_type'"))
}

impl MountConfigUpdate {
    /// The settings of a new mount, with defaults for those that weren't given. Fails if the
    /// default lease TTL exceeds the maximum.
    pub(super) fn into_new_config(self, server: MountLifetimes) -> Result<MountConfig, Error> {
        let mut config = MountConfig::default();
        let unreadable = |which: &str, error: &Error| {
            Error::invalid(format!("unable to parse {which} TTL: {error}"))
        };
        let (default, max) = (&self.default_lease_ttl, &self.max_lease_ttl);
        if let Some(Err(error)) = default.as_deref().map(parse_lease_ttl) {
            return Err(unreadable("default", &error));
        }
        if let Some(Err(error)) = max.as_deref().map(parse_lease_ttl) {
            return Err(unreadable("max", &error));
        }
        self.write_into(&mut config)?;
        let (default, max) = (config.default_lease_ttl, config.max_lease_ttl);
        if !max.is_zero() && default > max {
            return Err(Error::invalid("given default lease TTL greater than given max lease TTL"));
        }
        if max.is_zero() && default > server.max {
            let max = server.max.as_secs();
            return Err(Error::invalid(format!(
                "given default lease TTL greater than system max lease TTL of {max}"
            )));
        }
        Ok(config)
    }

    /// Applies the given settings to an existing mount. Fails if the resulting default lease TTL
    /// exceeds the maximum.
    pub(super) fn apply_tune(
        self,
        config: &mut MountConfig,
        server: MountLifetimes,
    ) -> Result<(), Error> {
        self.write_into(config)?;
        let (default, max) =
            (config.default_lease_ttl, config.max_lease_ttl.nonzero_or(server.max));
        if default > max {
            let (max, default) = (max.as_secs(), default.as_secs());
            return Err(Error::invalid(format!(
                "backend max lease TTL of {max} would be less than backend default lease TTL of {default}"
            )));
        }
        Ok(())
    }

    fn write_into(self, config: &mut MountConfig) -> Result<(), Error> {
        // Go's client sends unset TTLs as empty strings; `validate` has turned those into `None`.
        if let Some(text) = self.default_lease_ttl {
            config.default_lease_ttl = parse_lease_ttl(&text)?;
        }
        if let Some(text) = self.max_lease_ttl {
            config.max_lease_ttl = parse_lease_ttl(&text)?;
        }
        set_if_given(&mut config.force_no_cache, self.force_no_cache);
        set_if_given(&mut config.listing_visibility, self.listing_visibility);
        set_if_given(&mut config.audit_non_hmac_request_keys, self.audit_non_hmac_request_keys);
        set_if_given(&mut config.audit_non_hmac_response_keys, self.audit_non_hmac_response_keys);
        set_if_given(&mut config.passthrough_request_headers, self.passthrough_request_headers);
        set_if_given(&mut config.allowed_response_headers, self.allowed_response_headers);
        set_if_given(&mut config.token_type, self.token_type);
        Ok(())
    }
}

fn set_if_given<T>(known: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *known = given;
    }
}

/// Parses a lease TTL. `system` and `-1` select the server's own setting, stored as zero.
fn parse_lease_ttl(text: &str) -> Result<Ttl, Error> {
    if matches!(text, "system" | "-1") {
        return Ok(Ttl::ZERO);
    }
    Ttl::parse(text).map_err(|error| Error::invalid(error.to_string()))
}

/// The `config` object of a request that enables a mount: settings, and the plug-in to run.
#[derive(Default)]
pub(super) struct EnableConfigInput {
    pub(super) settings: MountSettingsInput,
    pub(super) plugin_name: Option<String>,
    pub(super) plugin_version: Option<String>,
}

#[derive(Input)]
struct PluginInput {
    plugin_name: String,
    plugin_version: String,
}

impl EnableConfigInput {
    pub(super) fn from_fields(fields: &Fields) -> Result<Self, Error> {
        let known = || MountSettingsInput::FIELDS.iter().chain(PluginInput::FIELDS);
        for (name, raw) in fields.iter() {
            // Clients send empty values for settings they don't use; only refuse unknown ones with
            // a value.
            if known().all(|field| field.name != name) && !is_empty_json(raw.get()) {
                return Err(Error::not_implemented(&format!("the mount setting {name:?}")));
            }
        }
        let plugin = PluginInput::from_fields(fields)?;
        let named = |text: String| (!text.is_empty()).then_some(text);
        Ok(Self {
            settings: MountSettingsInput::from_fields(fields)?,
            plugin_name: named(plugin.plugin_name),
            plugin_version: named(plugin.plugin_version),
        })
    }
}

fn is_empty_json(json: &str) -> bool {
    matches!(json.trim(), "null" | "\"\"" | "[]" | "{}" | "false" | "0")
}

/// An input field whose value is a JSON object.
pub(super) struct JsonObject(pub(super) Fields);

impl strongroom_schema::field::Field for JsonObject {
    const KIND: strongroom_schema::field::FieldKind =
        strongroom_schema::field::FieldKind::KeyValues;

    fn value_if_absent() -> Option<Self> {
        None
    }

    fn read(
        raw: &serde_json::value::RawValue,
    ) -> Result<Self, strongroom_schema::field::InvalidValue> {
        let fields = Fields::from_trusted(raw.get().as_bytes());
        fields.map(Self).map_err(|_| strongroom_schema::field::InvalidValue("an object"))
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(self.0.to_object().as_bytes());
        true
    }
}
