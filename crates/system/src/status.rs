//! The paths that are served whether the server is sealed or not: init, seal-status, unseal,
//! health, leader. None requires a token, and their responses do not use the standard envelope.

use serde::Serialize;
use strongroom_barrier::SealConfig;
use strongroom_core::core::{Core, SealedPaths};
use strongroom_core::error::Error;
use strongroom_core::refusal_log::RefusalKind;
use strongroom_core::request::{CoreResponse, Verb};
use strongroom_core::stages::AdmittedRequest;
use strongroom_schema::field::FieldSpec;
use strongroom_schema::{CommaList, Input};
use strongroom_types::clock::BoxFuture;
use strongroom_types::{Fields, Secret, Wipe, parse_bool};

/// A path of this module, as `help` and the OpenAPI document show it.
pub(crate) struct StatusPath {
    /// The path below `sys/`.
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) fields: &'static [FieldSpec],
    pub(crate) reads: bool,
    pub(crate) writes: bool,
}

/// All paths that this module handles.
pub(crate) const STATUS_PATHS: [StatusPath; 5] = [
    StatusPath {
        name: "init",
        help: "Returns whether the server is initialized, or initializes it.",
        fields: InitInput::FIELDS,
        reads: true,
        writes: true,
    },
    StatusPath {
        name: "seal-status",
        help: "Returns whether the server is sealed, and the progress of an unseal.",
        fields: &[],
        reads: true,
        writes: false,
    },
    StatusPath {
        name: "unseal",
        help: "Submits one key share. The server unseals when the threshold is reached.",
        fields: UnsealInput::FIELDS,
        reads: false,
        writes: true,
    },
    StatusPath {
        name: "health",
        help: "Returns the health of the server as the HTTP status of the response.",
        fields: &[],
        reads: true,
        writes: false,
    },
    StatusPath {
        name: "leader",
        help: "Returns the active node; always empty without high availability.",
        fields: &[],
        reads: true,
        writes: false,
    },
];

/// Serves [`STATUS_PATHS`].
pub(crate) struct StatusPaths;

impl SealedPaths for StatusPaths {
    fn serves(&self, path: &str) -> bool {
        let name = path.strip_prefix("sys/");
        name.is_some_and(|name| STATUS_PATHS.iter().any(|path| path.name == name))
    }

    fn handle<'a>(
        &'a self,
        core: &'a Core,
        request: AdmittedRequest,
    ) -> BoxFuture<'a, Result<CoreResponse, Error>> {
        Box::pin(handle_status_request(core, request))
    }
}

async fn handle_status_request(
    core: &Core,
    request: AdmittedRequest,
) -> Result<CoreResponse, Error> {
    match (request.path.as_str(), request.verb) {
        ("sys/init", Verb::Read) => {
            let initialized = core.seal_config().await?.is_some();
            Ok(CoreResponse::json(200, &SysInitStatusResponse { initialized }))
        }
        ("sys/init", Verb::Write) => {
            let done = handle_init(core, &request.fields).await;
            match &done {
                Ok(_) => {
                    tracing::info!(address = ?request.remote_address(), "the server was initialised");
                }
                Err(error) => log_refusal(core, &request, RefusalKind::Initialisation, error),
            }
            done
        }
        ("sys/seal-status", Verb::Read) => seal_status_response(core).await,
        ("sys/unseal", Verb::Write) => {
            let done = handle_unseal(core, &request.fields).await;
            if let Err(error) = &done {
                log_refusal(core, &request, RefusalKind::Unseal, error);
            }
            // The fields contain a key share.
            request.fields.wipe();
            done
        }
        ("sys/health", Verb::Read) => handle_health(core, &request.fields).await,
        ("sys/leader", Verb::Read) => Ok(CoreResponse::json(
            200,
            &SysLeaderResponse { active_time: ZERO_TIME, ..SysLeaderResponse::default() },
        )),
        _ => Err(Error::unsupported_operation()),
    }
}

fn log_refusal(core: &Core, request: &AdmittedRequest, refusal: RefusalKind, error: &Error) {
    core.refusal_log().log_refusal(refusal, &request.request_origin(None), &error.to_string());
}

#[derive(Serialize)]
struct SysInitStatusResponse {
    initialized: bool,
}

/// The key shares to generate.
#[derive(Input)]
struct InitInput {
    /// The number of key shares to generate.
    secret_shares: u64,
    /// The number of key shares that are required to unseal.
    secret_threshold: u64,
    /// PGP keys to encrypt the key shares with. Not supported.
    pgp_keys: CommaList,
    /// PGP key to encrypt the root token with. Not supported.
    #[field(public)]
    root_token_pgp_key: String,
    /// For auto-unseal. Not supported.
    recovery_shares: u64,
    /// For auto-unseal. Not supported.
    recovery_threshold: u64,
    /// For auto-unseal. Not supported.
    recovery_pgp_keys: CommaList,
    /// For auto-unseal. Not supported.
    stored_shares: u64,
}

#[derive(Serialize)]
struct SysInitResponse<'a> {
    keys: Vec<String>,
    keys_base64: Vec<String>,
    root_token: &'a str,
}

async fn handle_init(core: &Core, fields: &Fields) -> Result<CoreResponse, Error> {
    let input = InitInput::from_fields(fields)?;
    if !input.pgp_keys.0.is_empty() || !input.root_token_pgp_key.is_empty() {
        return Err(Error::not_implemented("encrypting key shares with PGP"));
    }
    let recovery = [
        ("recovery_shares", input.recovery_shares != 0),
        ("recovery_threshold", input.recovery_threshold != 0),
        ("recovery_pgp_keys", !input.recovery_pgp_keys.0.is_empty()),
        ("stored_shares", input.stored_shares > 1),
    ];
    let given: Vec<_> =
        recovery.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
    if !given.is_empty() {
        let text = format!("parameters {} not applicable to seal type shamir", given.join(","));
        return Err(Error::invalid(text));
    }
    let config = SealConfig::new(input.secret_shares, input.secret_threshold)
        .map_err(|error| Error::invalid(error.to_string()))?;
    let made = core.initialise(config, None).await?;
    let encode = |encoding: &data_encoding::Encoding| {
        made.shares.iter().map(|share| encoding.encode(share.expose_secret())).collect()
    };
    let answer = SysInitResponse {
        keys: encode(&data_encoding::HEXLOWER),
        keys_base64: encode(&data_encoding::BASE64),
        root_token: made.root_token.expose_secret(),
    };
    // Allocated with its final capacity: a buffer that grows would leave copies of key shares in
    // freed memory.
    let shares = answer.keys.iter().chain(&answer.keys_base64);
    let mut body = Vec::with_capacity(256 + shares.map(|share| share.len() + 4).sum::<usize>());
    // Serialising strings into memory cannot fail.
    let _ = serde_json::to_writer(&mut body, &answer);
    answer.keys.into_iter().chain(answer.keys_base64).for_each(|mut share| share.wipe());
    Ok(CoreResponse::WithoutEnvelope { status: 200, body, content_type: "application/json" })
}

#[derive(Serialize)]
struct SysSealStatusResponse {
    #[serde(rename = "type")]
    seal_type: &'static str,
    initialized: bool,
    sealed: bool,
    t: u8,
    n: u8,
    progress: usize,
    nonce: String,
    version: String,
    build_date: String,
    commit_date: String,
    migration: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_id: Option<String>,
    recovery_seal: bool,
    storage_type: String,
}

async fn seal_status_response(core: &Core) -> Result<CoreResponse, Error> {
    let config = core.seal_config().await?;
    let (progress, nonce) = core.unseal_progress();
    let cluster = core.unsealed().ok().map(|open| open.server_info.cluster.clone());
    let settings = core.settings();
    Ok(CoreResponse::json(
        200,
        &SysSealStatusResponse {
            seal_type: "shamir",
            initialized: config.is_some(),
            sealed: cluster.is_none(),
            t: config.map_or(0, |config| config.threshold),
            n: config.map_or(0, |config| config.shares),
            progress,
            nonce,
            version: settings.version.clone(),
            build_date: settings.build_date.clone(),
            commit_date: settings.build_date.clone(),
            migration: false,
            cluster_name: cluster.as_ref().map(|cluster| cluster.name.clone()),
            cluster_id: cluster.map(|cluster| cluster.id),
            recovery_seal: false,
            storage_type: settings.storage_type.clone(),
        },
    ))
}

/// One key share, or a reset.
#[derive(Input)]
struct UnsealInput {
    /// One key share, in hex or base64.
    key: Option<Secret<String>>,
    /// Discard the key shares submitted so far.
    reset: bool,
    /// Migrate to another seal. Not supported.
    migrate: bool,
}

async fn handle_unseal(core: &Core, fields: &Fields) -> Result<CoreResponse, Error> {
    let fields = with_lower_case_names(fields);
    let input = UnsealInput::from_fields(&fields);
    fields.wipe();
    let input = input?;
    if core.seal_config().await?.is_none() {
        return Err(Error::invalid("Vault is not initialized"));
    }
    if input.migrate {
        return Err(Error::not_implemented("seal migration"));
    }
    if input.reset {
        if !core.is_sealed() {
            return Err(Error::invalid("vault is unsealed"));
        }
        core.reset_unseal_attempt();
        return seal_status_response(core).await;
    }
    let Some(key) = input.key.filter(|key| !key.expose_secret().is_empty()) else {
        return Err(Error::invalid(
            "'key' must be specified in request body as JSON, or 'reset' set to true",
        ));
    };
    let share = decode_share(&key)?;
    if core.is_sealed() {
        core.unseal(share).await?;
    }
    seal_status_response(core).await
}

/// Old clients send `Key` and `Reset`.
fn with_lower_case_names(fields: &Fields) -> Fields {
    fields.iter().map(|(name, raw)| (name.to_lowercase(), raw.to_owned())).collect()
}

/// Decodes a key share from hex, or from base64 if the hex decoding gives no share of valid length.
fn decode_share(text: &Secret<String>) -> Result<Secret<Vec<u8>>, Error> {
    const SHORTEST: usize = 16;
    const LONGEST: usize = 33;
    let text = text.expose_secret().trim();
    let hex = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok().map(Secret::new);
    let fits =
        |share: &Secret<Vec<u8>>| (SHORTEST..=LONGEST).contains(&share.expose_secret().len());
    let base64 = || data_encoding::BASE64.decode(text.as_bytes()).ok().map(Secret::new);
    let share = match hex {
        Some(share) if fits(&share) => Some(share),
        other => base64().or(other),
    };
    let Some(share) = share else {
        return Err(Error::invalid("'key' must be a valid hex or base64 string"));
    };
    match share.expose_secret().len() {
        0..SHORTEST => Err(Error::invalid("invalid key: key is shorter than minimum 16 bytes")),
        SHORTEST..=LONGEST => Ok(share),
        _ => Err(Error::invalid("invalid key: key is longer than maximum 33 bytes")),
    }
}

#[derive(Serialize)]
struct SysHealthResponse {
    initialized: bool,
    sealed: bool,
    standby: bool,
    performance_standby: bool,
    replication_performance_mode: &'static str,
    replication_dr_mode: &'static str,
    server_time_utc: i64,
    version: String,
    enterprise: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_id: Option<String>,
    echo_duration_ms: u64,
    clock_skew_ms: u64,
    replication_primary_canary_age_ms: u64,
}

async fn handle_health(core: &Core, query: &Fields) -> Result<CoreResponse, Error> {
    let code = |name: &str, usual: u16| match query.text(name) {
        None => Ok(usual),
        Some(text) => text
            .parse::<u16>()
            .ok()
            .filter(|code| (100..1000).contains(code))
            .ok_or_else(|| Error::without_message(strongroom_types::ErrorKind::Invalid)),
    };
    for name in ["standbyok", "perfstandbyok"] {
        check_bool(query, name)?;
    }
    let (active, sealed_code) = (code("activecode", 200)?, code("sealedcode", 503)?);
    let (uninitialised, _) = (code("uninitcode", 501)?, code("standbycode", 429)?);
    let initialized = core.seal_config().await?.is_some();
    let open = core.unsealed().ok();
    let status = match (&open, initialized) {
        (_, false) => uninitialised,
        (None, true) => sealed_code,
        (Some(_), true) => active,
    };
    let mode = if open.is_some() { "disabled" } else { "unknown" };
    let cluster = open.as_ref().map(|open| open.server_info.cluster.clone());
    let health = SysHealthResponse {
        initialized,
        sealed: open.is_none(),
        standby: open.is_none(),
        performance_standby: false,
        replication_performance_mode: mode,
        replication_dr_mode: mode,
        server_time_utc: core.now().as_secs(),
        version: core.settings().version.clone(),
        enterprise: false,
        cluster_name: cluster.as_ref().map(|cluster| cluster.name.clone()),
        cluster_id: cluster.map(|cluster| cluster.id),
        echo_duration_ms: 0,
        clock_skew_ms: 0,
        replication_primary_canary_age_ms: 0,
    };
    Ok(CoreResponse::json(status, &health))
}

/// Checks a boolean query parameter: an empty value is accepted, anything else must be a boolean in
/// Go's syntax.
fn check_bool(query: &Fields, name: &str) -> Result<(), Error> {
    match query.text(name) {
        Some(text) if !text.is_empty() && parse_bool(&text).is_none() => {
            Err(Error::without_message(strongroom_types::ErrorKind::Invalid))
        }
        _ => Ok(()),
    }
}

/// The zero time in Go's format; Go clients cannot parse an empty string.
const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// The response of a server without high availability; clients expect all keys to be present.
#[derive(Default, Serialize)]
struct SysLeaderResponse {
    ha_enabled: bool,
    is_self: bool,
    active_time: &'static str,
    leader_address: &'static str,
    leader_cluster_address: &'static str,
    performance_standby: bool,
    performance_standby_last_remote_wal: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded_share_len(text: &str) -> Result<usize, String> {
        match decode_share(&Secret::from_text(text)) {
            Ok(share) => Ok(share.expose_secret().len()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn key_shares_decode_from_hex_or_base64() {
        assert_eq!(decoded_share_len(&"ab".repeat(33)), Ok(33));
        assert_eq!(decoded_share_len(&"AB".repeat(32)), Ok(32));
        assert_eq!(decoded_share_len(&data_encoding::BASE64.encode(&[7; 33])), Ok(33));
        assert_eq!(decoded_share_len(&data_encoding::BASE64.encode(&[7; 32])), Ok(32));
        // 44 characters that are both valid hex and valid base64.
        assert_eq!(decoded_share_len(&"a".repeat(44)), Ok(22));
    }

    #[test]
    fn malformed_key_shares_get_the_reference_messages() {
        assert_eq!(
            decoded_share_len("zz!"),
            Err("'key' must be a valid hex or base64 string".into())
        );
        assert_eq!(
            decoded_share_len("abcd"),
            Err("invalid key: key is shorter than minimum 16 bytes".into())
        );
        let long = data_encoding::BASE64.encode(&[7; 40]);
        assert_eq!(
            decoded_share_len(&long),
            Err("invalid key: key is longer than maximum 33 bytes".into())
        );
    }
}
