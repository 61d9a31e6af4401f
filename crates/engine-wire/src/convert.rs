//! Conversion of requests, responses and errors to and from protocol messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use data_encoding::BASE64;
use serde_json::value::RawValue;
use strongroom_engine::intent::INTENT_FIELD;
use strongroom_engine::receipt::{RECEIPT_FIELD, ReceiptForm};
use strongroom_engine::{
    CallerInfo, ClientCertificates, ConnectionInfo, DataResponse, EngineError, EngineRequest,
    EngineResponse, LeaseContext, LeasedResponse, MountInfo, Operation, RawResponse,
    RedirectTarget, SpecialPaths, StatusKind, StorageError,
};
use strongroom_plugin_protocol::generated::pb;
use strongroom_plugin_protocol::values::{WireError, json, time};
use strongroom_types::{Fields, Namespace, RawObject, RequestId, Timestamp, Ttl};

use crate::REFRESH_HEADER;
use crate::auth::{login_from_wire, login_to_wire, renewal_to_wire};
use crate::headers::{canonical_headers, headers_from_wire, headers_to_wire, lower_case_names};
use crate::primitives::{object_to_wire, ttl_from_nanos, ttl_to_nanos};

/// Converts a request to a message.
pub(crate) fn request_to_wire(request: &EngineRequest) -> pb::Request {
    let auth = match (&request.auth, &request.lease) {
        (Some(auth), Some(lease)) => Some(renewal_to_wire(auth, lease)),
        _ => None,
    };
    let lease = request.lease.as_ref().filter(|_| auth.is_none());
    let secret = lease.map(|lease| pb::Secret {
        lease_options: Some(pb::LeaseOptions {
            ttl: ttl_to_nanos(lease.ttl),
            renewable: lease.renewable,
            increment: ttl_to_nanos(lease.increment),
            issue_time: Some(time::to_wire(Some(lease.issued))),
            max_ttl: ttl_to_nanos(lease.max_ttl),
        }),
        internal_data: object_to_wire(lease.internal.clone()),
        lease_id: String::new(),
    });
    let caller = &request.caller;
    pb::Request {
        id: request.id.to_string(),
        operation: request.operation.as_str().to_owned(),
        path: request.path.clone(),
        data: object_to_wire(request.fields.to_object()),
        secret,
        auth,
        headers: canonical_headers(request.headers.clone()),
        client_token: caller.token_hash.clone().unwrap_or_default(),
        client_token_accessor: caller.accessor.clone(),
        display_name: caller.display_name.clone(),
        mount_point: request.mount.path.clone(),
        mount_type: request.mount.mount_type.clone(),
        mount_accessor: request.mount.accessor.clone(),
        entity_id: caller.entity_id.clone(),
        unauthenticated: caller.unauthenticated,
        connection: request.connection.as_ref().map(connection_to_wire),
        ..pb::Request::blank()
    }
}

/// The client's end of the connection. Vault's engines take certificates from the description of the
/// connection, OpenBao's from the raw list.
fn connection_to_wire(connection: &ConnectionInfo) -> pb::Connection {
    let chain = connection.certificates.as_ref().map(|shown| shown.chain.clone());
    let certificate = |asn1_data: &Bytes| pb::Certificate { asn1_data: asn1_data.clone() };
    pb::Connection {
        remote_addr: connection.address.to_string(),
        remote_port: i32::from(connection.port),
        connection_state: chain.as_ref().map(|chain| pb::ConnectionState {
            handshake_complete: true,
            peer_certificates: Some(pb::CertificateChain {
                certificates: chain.iter().map(certificate).collect(),
            }),
            ..pb::ConnectionState::default()
        }),
        peer_certificates_raw: chain.unwrap_or_default(),
        ..pb::Connection::default()
    }
}

/// The reverse of [`connection_to_wire`]; `None` without an address. What a proxy says about
/// certificates is ignored.
fn connection_from_wire(connection: pb::Connection) -> Option<ConnectionInfo> {
    let address = connection.remote_addr.parse().ok()?;
    let port = u16::try_from(connection.remote_port).unwrap_or(0);
    let described = connection.connection_state.and_then(|state| state.peer_certificates);
    let described = described.map(|chain| chain.certificates.into_iter().map(|it| it.asn1_data));
    let chain = described.map(Iterator::collect).unwrap_or(connection.peer_certificates_raw);
    let certificates = (!chain.is_empty()).then(|| Arc::new(ClientCertificates { chain }));
    Some(ConnectionInfo { address, port, certificates })
}

/// What a host can call: the operations of [`Operation`], and the periodic call.
pub(crate) enum HostCall {
    /// A request for the engine.
    Request(Box<EngineRequest>),
    /// The host's periodic call.
    Rollback,
}

/// Converts a message to a request. `deadline` is the time at which the host stops waiting.
pub(crate) fn request_from_wire(
    message: pb::Request,
    deadline: Timestamp,
) -> Result<HostCall, EngineError> {
    let operation = match message.operation.as_str() {
        "create" => Operation::Create,
        "update" => Operation::Update,
        "patch" => Operation::Patch,
        "read" => Operation::Read,
        "list" => Operation::List,
        "delete" => Operation::Delete,
        "help" => Operation::Help,
        "renew" => Operation::Renew,
        "revoke" => Operation::Revoke,
        "alias-lookahead" => Operation::AliasLookahead,
        "resolve-role" => Operation::ResolveRole,
        "rollback" => return Ok(HostCall::Rollback),
        _ => return Err(EngineError::Status(StatusKind::UnsupportedOperation)),
    };
    let invalid = |_| EngineError::Status(StatusKind::InvalidRequest);
    let object = json::from_wire(message.data).map_err(invalid)?;
    let nothing = || DataResponse::new(RawObject::null());
    let login = message.auth.map(|auth| login_from_wire(auth, nothing())).transpose();
    let (auth, lease) = match login.map_err(|_| EngineError::Status(StatusKind::InvalidRequest))? {
        Some((auth, lease)) => (Some(Box::new(auth)), Some(lease)),
        None => (None, message.secret.map(lease_from_wire).transpose()?),
    };
    let id = RequestId::parse(&message.id).or_else(|_| RequestId::parse("unknown"));
    let connection = message.connection.and_then(connection_from_wire);
    let wrap_ttl =
        message.wrap_info.map(|wrap| ttl_from_nanos(wrap.ttl)).filter(|ttl| !ttl.is_zero());
    let hash = message.client_token;
    Ok(HostCall::Request(Box::new(EngineRequest {
        id: id.map_err(|_| EngineError::Status(StatusKind::InvalidRequest))?,
        operation,
        path: message.path,
        fields: object.map(|object| object.fields()).unwrap_or_default(),
        raw_body: None,
        mount: Arc::new(MountInfo {
            path: message.mount_point,
            mount_type: message.mount_type,
            accessor: message.mount_accessor,
        }),
        caller: CallerInfo {
            accessor: message.client_token_accessor,
            display_name: message.display_name,
            entity_id: message.entity_id,
            token_hash: (!hash.is_empty()).then_some(hash),
            unauthenticated: message.unauthenticated,
        },
        connection,
        headers: lower_case_names(headers_from_wire(message.headers)),
        wrap_ttl,
        lease,
        auth,
        namespace: Namespace::Root,
        deadline,
    })))
}

fn lease_from_wire(secret: pb::Secret) -> Result<LeaseContext, EngineError> {
    let invalid = || EngineError::Status(StatusKind::InvalidRequest);
    let options = secret.lease_options.unwrap_or_else(pb::LeaseOptions::blank);
    let issued = time::from_wire(options.issue_time.as_ref()).map_err(|_| invalid())?;
    let internal = json::from_wire(secret.internal_data).map_err(|_| invalid())?;
    Ok(LeaseContext {
        internal: internal.unwrap_or_else(RawObject::empty),
        issued: issued.unwrap_or(Timestamp::EPOCH),
        ttl: ttl_from_nanos(options.ttl),
        max_ttl: ttl_from_nanos(options.max_ttl),
        renewable: options.renewable,
        increment: ttl_from_nanos(options.increment),
    })
}

/// Converts a response to a message; `None` stands for an empty response.
pub(crate) fn response_to_wire(response: EngineResponse) -> Option<pb::Response> {
    match response {
        EngineResponse::Nothing => None,
        EngineResponse::Data(data) => Some(data_to_wire(data)),
        EngineResponse::Leased(leased) => {
            let secret = pb::Secret {
                lease_options: Some(pb::LeaseOptions {
                    ttl: ttl_to_nanos(leased.ttl),
                    renewable: leased.renewable,
                    max_ttl: ttl_to_nanos(leased.max_ttl),
                    ..pb::LeaseOptions::blank()
                }),
                internal_data: object_to_wire(leased.internal),
                ..pb::Secret::blank()
            };
            Some(pb::Response { secret: Some(secret), ..data_to_wire(leased.data) })
        }
        EngineResponse::Auth(mut auth) => {
            let data = std::mem::replace(&mut auth.data, DataResponse::new(RawObject::null()));
            Some(pb::Response { auth: Some(login_to_wire(*auth)), ..data_to_wire(data) })
        }
        EngineResponse::NotFound(data) => Some(raw_to_wire(&not_found_to_raw(&data))),
        EngineResponse::Raw(raw) => Some(raw_to_wire(&raw)),
        EngineResponse::Redirect(target) => Some(pb::Response {
            data: object_to_wire(RawObject::null()),
            redirect: target.as_str().to_owned(),
            ..pb::Response::blank()
        }),
    }
}

/// The protocol has no "not found" with data. Like Vault's own engines, this sends a raw response
/// with the complete envelope in its body, which every host passes on.
fn not_found_to_raw(data: &DataResponse) -> RawResponse {
    let mut envelope = Fields::new();
    envelope.set("request_id", &"");
    envelope.set("lease_id", &"");
    envelope.set("renewable", &false);
    envelope.set("lease_duration", &0);
    match serde_json::from_slice::<Box<RawValue>>(data.object.as_bytes()) {
        Ok(object) => envelope.set_raw("data", object),
        Err(_) => envelope.set("data", &None::<()>),
    }
    envelope.set("wrap_info", &None::<()>);
    envelope.set("warnings", &Some(&data.warnings).filter(|warnings| !warnings.is_empty()));
    envelope.set("auth", &None::<()>);
    RawResponse {
        status: 404,
        content_type: "application/json".to_owned(),
        body: envelope.to_object().into_bytes().to_vec(),
        headers: BTreeMap::new(),
    }
}

/// The reverse conversion, for engines of every SDK: only then does the response get its request
/// id.
fn not_found_from_raw(raw: &RawResponse) -> Option<DataResponse> {
    if raw.status != 404 || raw.content_type != "application/json" {
        return None;
    }
    let envelope = Fields::from_trusted(&raw.body).ok()?;
    let keys = ["request_id", "lease_id", "data", "warnings", "auth", "wrap_info"];
    let is_null = |name| envelope.get(name).is_none_or(|raw| raw.get() == "null");
    if !keys.iter().all(|key| envelope.contains(key)) || !is_null("auth") || !is_null("wrap_info") {
        return None;
    }
    let object = match envelope.get("data").map(RawValue::get) {
        Some("null") | None => RawObject::null(),
        Some(json) => RawObject::from_json(json.to_owned()).ok()?,
    };
    let warnings = envelope.get("warnings").and_then(|raw| serde_json::from_str(raw.get()).ok());
    Some(DataResponse {
        warnings: warnings.flatten().unwrap_or_default(),
        ..DataResponse::new(object)
    })
}

fn data_to_wire(data: DataResponse) -> pb::Response {
    let mut headers = headers_to_wire(data.headers);
    if let Some(refresh) = data.refresh {
        let header = vec![refresh.as_secs().to_string()];
        headers.insert(REFRESH_HEADER.to_owned(), pb::Header { header });
    }
    pb::Response {
        data: object_to_wire(data.object),
        warnings: data.warnings,
        headers,
        wrap_info: data.wrap_ttl.map(|ttl| pb::ResponseWrapInfo {
            ttl: ttl_to_nanos(ttl),
            ..pb::ResponseWrapInfo::blank()
        }),
        ..pb::Response::blank()
    }
}

/// Removes the header that carries [`DataResponse::refresh`], and returns its value.
fn refresh_from_wire(headers: &mut BTreeMap<String, pb::Header>) -> Option<Ttl> {
    let secs = headers.remove(REFRESH_HEADER)?.header.first()?.parse().ok()?;
    Some(Ttl::from_secs(secs))
}

/// Keys of a raw response's data, and the HTTP headers that some of them stand for.
const RAW_STATUS: &str = "http_status_code";
const RAW_TYPE: &str = "http_content_type";
const RAW_BODY: &str = "http_raw_body";
const RAW_HEADERS: [(&str, &str); 3] = [
    ("http_raw_cache_control", "cache-control"),
    ("http_raw_pragma", "pragma"),
    ("http_www_authenticate", "www-authenticate"),
];

fn raw_to_wire(raw: &RawResponse) -> pb::Response {
    let mut fields = Fields::new();
    fields.set(RAW_STATUS, &raw.status);
    fields.set(RAW_TYPE, &raw.content_type);
    // Always encoded: a host decodes every body that happens to be valid base64.
    fields.set(RAW_BODY, &BASE64.encode(&raw.body));
    for (key, header) in RAW_HEADERS {
        if let Some(value) = raw.headers.get(header) {
            fields.set(key, value);
        }
    }
    let own = |name: &String| RAW_HEADERS.iter().any(|(_, header)| header == name);
    let others = raw.headers.iter().filter(|(name, _)| !own(name));
    let others = others.map(|(name, value)| (name.clone(), vec![value.clone()])).collect();
    let headers = headers_to_wire(others);
    pb::Response { data: object_to_wire(fields.to_object()), headers, ..pb::Response::blank() }
}

/// Converts a reply to a response or an engine's error.
pub(crate) fn reply_from_wire(
    response: Option<pb::Response>,
    error: Option<pb::ProtoError>,
) -> Result<EngineResponse, EngineError> {
    if let Some(error) = error {
        return Err(add_response_to_error(error_from_wire(error), response));
    }
    let Some(mut response) = response else { return Ok(EngineResponse::Nothing) };
    // A token in it is ignored: only the host wraps responses.
    let wrap_ttl = response.wrap_info.map(|wrap| ttl_from_nanos(wrap.ttl));
    let wrap_ttl = wrap_ttl.filter(|ttl| !ttl.is_zero());
    let broken = |_| EngineError::internal("the engine's answer is not a JSON object");
    let object = json::from_wire(response.data).map_err(broken)?;
    let fields = object.as_ref().map(RawObject::fields).unwrap_or_default();
    // An error counts more than a redirect, and a redirect more than a raw answer, as in servers of
    // Go's SDK.
    if !response.redirect.is_empty() {
        if let Some(error) = error_response(&fields) {
            return Err(error);
        }
        if wrap_ttl.is_some() {
            return Err(EngineError::internal("the engine asks to wrap a redirect"));
        }
        if response.secret.is_some() || response.auth.is_some() {
            return Err(EngineError::internal("a redirect can't carry a lease or a login"));
        }
        let target = RedirectTarget::parse(response.redirect);
        let target = target.map_err(|error| EngineError::internal(error.to_string()))?;
        return Ok(EngineResponse::Redirect(target.of_plugin()));
    }
    if fields.contains(RAW_STATUS) {
        if response.secret.is_some() || response.auth.is_some() {
            return Err(EngineError::internal("a raw answer can't carry a lease or a login"));
        }
        if wrap_ttl.is_some() {
            return Err(EngineError::internal("the engine asks to wrap a raw answer"));
        }
        return raw_from_wire(&fields, response.headers);
    }
    if let Some(error) = error_response(&fields) {
        return Err(error);
    }
    let data = DataResponse {
        warnings: response.warnings,
        refresh: refresh_from_wire(&mut response.headers),
        headers: headers_from_wire(response.headers),
        wrap_ttl,
        ..DataResponse::new(object.unwrap_or_else(RawObject::null))
    };
    match (response.auth, response.secret) {
        (Some(auth), None) => Ok(EngineResponse::Auth(Box::new(login_from_wire(auth, data)?.0))),
        (Some(_), Some(_)) => Err(EngineError::internal("an answer can't be a lease and a login")),
        (None, None) => Ok(EngineResponse::Data(data)),
        (None, Some(secret)) => {
            let options = secret.lease_options.unwrap_or_else(pb::LeaseOptions::blank);
            let internal = json::from_wire(secret.internal_data).map_err(broken)?;
            let internal = internal.unwrap_or_else(RawObject::empty);
            let stored = internal.fields();
            let intent = stored.text(INTENT_FIELD);
            let receipt = stored.text(RECEIPT_FIELD).and_then(|form| ReceiptForm::parse(&form));
            Ok(EngineResponse::Leased(LeasedResponse {
                data,
                internal,
                ttl: ttl_from_nanos(options.ttl),
                max_ttl: ttl_from_nanos(options.max_ttl),
                renewable: options.renewable,
                // Other engines need the client's data back.
                keep_data: intent.is_none() && receipt.is_none(),
                seal_wrap: receipt == Some(ReceiptForm::Sealed),
                intent,
            }))
        }
    }
}

/// The text by which hosts recognise a refused login.
const INVALID_CREDENTIALS: &str = "invalid credentials";

/// Recognises `{"error": text}`, alone or with `data`, as a user error.
fn error_response(fields: &Fields) -> Option<EngineError> {
    let message = fields.text("error")?;
    let data = fields.get("data").filter(|raw| raw.get() != "null");
    let others = fields.len() - 1 - usize::from(fields.contains("data"));
    if others > 0 {
        return None;
    }
    let data = data.and_then(|raw| RawObject::from_json(raw.get().to_owned()).ok());
    Some(EngineError::User { message, data })
}

fn raw_from_wire(
    fields: &Fields,
    others: BTreeMap<String, pb::Header>,
) -> Result<EngineResponse, EngineError> {
    let status = fields.get(RAW_STATUS).and_then(|raw| raw.get().trim_matches('"').parse().ok());
    let status = status
        .filter(|status| (200..600).contains(status))
        .ok_or_else(|| EngineError::internal("the engine chose an impossible HTTP status"))?;
    let body = fields.text(RAW_BODY).unwrap_or_default();
    let headers = RAW_HEADERS.into_iter().filter_map(|(key, header)| {
        let value = fields.text(key).filter(|value| !value.is_empty())?;
        Some((header.to_owned(), value))
    });
    let others = others.into_iter().filter(|(_, values)| !values.header.is_empty());
    let others =
        others.map(|(name, pb::Header { header })| (name.to_ascii_lowercase(), header.join(", ")));
    let raw = RawResponse {
        status,
        content_type: fields.text(RAW_TYPE).unwrap_or_default(),
        // Bytes are sent as base64; anything that isn't valid base64 is taken as it is.
        body: BASE64.decode(body.as_bytes()).unwrap_or_else(|_| body.into_bytes()),
        headers: others.chain(headers).collect(),
    };
    Ok(not_found_from_raw(&raw).map_or(EngineResponse::Raw(raw), EngineResponse::NotFound))
}

/// Converts an engine's error to a message. User errors are sent as a response instead.
pub(crate) fn error_to_wire(error: EngineError) -> (Option<pb::Response>, Option<pb::ProtoError>) {
    let wire = match error {
        EngineError::User { message, data } => {
            return (Some(error_response_to_wire(&message, data)), None);
        }
        EngineError::InvalidCredentials { message } => {
            let error = WireError::Unknown(INVALID_CREDENTIALS.to_owned()).to_wire();
            return (Some(error_response_to_wire(&message, None)), Some(error));
        }
        EngineError::Status(kind) => match kind {
            StatusKind::BadRequest => WireError::BadRequest(kind.as_str().to_owned()),
            StatusKind::UnsupportedOperation => WireError::UnsupportedOperation,
            StatusKind::UnsupportedPath => WireError::UnsupportedPath,
            StatusKind::InvalidRequest => WireError::InvalidRequest,
            StatusKind::PermissionDenied => WireError::PermissionDenied,
            StatusKind::Unrecoverable => WireError::Unrecoverable,
            // Servers recognise these by their text.
            StatusKind::UpstreamRateLimited | StatusKind::ReadOnly => {
                WireError::Unknown(kind.as_str().to_owned())
            }
        },
        EngineError::Coded { status, message } => WireError::Coded { code: status, message },
        other => WireError::Internal(other.to_string()),
    };
    (None, Some(wire.to_wire()))
}

/// The response `{"error": message}`, with `data` beside it if there is some.
fn error_response_to_wire(message: &str, data: Option<RawObject>) -> pb::Response {
    let mut fields = Fields::new();
    fields.set("error", &message);
    if let Some(data) = data
        && let Ok(raw) = serde_json::from_slice(data.as_bytes())
    {
        fields.set_raw("data", raw);
    }
    pb::Response { data: object_to_wire(fields.to_object()), ..pb::Response::blank() }
}

/// Converts an error that a backend returned. Some texts have an HTTP status of their own.
pub(crate) fn error_from_wire(error: pb::ProtoError) -> EngineError {
    let wire = WireError::from_wire(error);
    match wire {
        WireError::Coded { code, message } => EngineError::Coded { status: code, message },
        WireError::BadRequest(message) => EngineError::Coded { status: 400, message },
        WireError::UnsupportedOperation => StatusKind::UnsupportedOperation.into(),
        WireError::UnsupportedPath => StatusKind::UnsupportedPath.into(),
        WireError::InvalidRequest => StatusKind::InvalidRequest.into(),
        WireError::PermissionDenied => StatusKind::PermissionDenied.into(),
        WireError::Unrecoverable => StatusKind::Unrecoverable.into(),
        other => match other.to_string().as_str() {
            "permission denied" => StatusKind::PermissionDenied.into(),
            "unsupported operation" => StatusKind::UnsupportedOperation.into(),
            "unsupported path" => StatusKind::UnsupportedPath.into(),
            "invalid request" => StatusKind::InvalidRequest.into(),
            INVALID_CREDENTIALS => {
                EngineError::InvalidCredentials { message: INVALID_CREDENTIALS.to_owned() }
            }
            "upstream rate limited" => StatusKind::UpstreamRateLimited.into(),
            "rate limit quota exceeded" | "lease count quota exceeded" => {
                EngineError::Coded { status: 429, message: other.to_string() }
            }
            "functionality on this path has been removed" => {
                EngineError::Coded { status: 404, message: other.to_string() }
            }
            // Engines pass on storage errors, with or without additional text.
            text if StorageError::too_large_from_text(text).is_some() => {
                EngineError::too_large(text)
            }
            text => EngineError::internal(text),
        },
    }
}

/// What a response beside the error changes: an internal error counts as a user error, and a refused
/// login has the text of the error response.
fn add_response_to_error(error: EngineError, response: Option<pb::Response>) -> EngineError {
    let Some(response) = response else { return error };
    match error {
        EngineError::Internal { message, .. } => EngineError::Coded { status: 400, message },
        EngineError::InvalidCredentials { message } => {
            let object = json::from_wire(response.data).ok().flatten();
            match object.and_then(|object| error_response(&object.fields())) {
                Some(EngineError::User { message, .. }) => {
                    EngineError::InvalidCredentials { message }
                }
                _ => EngineError::InvalidCredentials { message },
            }
        }
        error => error,
    }
}

pub(crate) fn special_to_wire(special: SpecialPaths) -> pb::Paths {
    pb::Paths {
        root: special.root,
        unauthenticated: special.unauthenticated,
        local_storage: special.local_storage,
        seal_wrap_storage: special.seal_wrap_storage,
        binary: special.binary,
        ..pb::Paths::default()
    }
}

/// A plug-in's special paths, without `binary`: the protocol can't carry a raw body. As under Vault,
/// the bodies of these paths are parsed as JSON like all others.
pub(crate) fn special_from_wire(paths: pb::Paths) -> SpecialPaths {
    SpecialPaths {
        root: paths.root,
        unauthenticated: paths.unauthenticated,
        binary: Vec::new(),
        local_storage: paths.local_storage,
        seal_wrap_storage: paths.seal_wrap_storage,
    }
}

/// Recognises a storage error by the text that peers use for it.
pub(crate) fn storage_error_from_text(text: String) -> StorageError {
    let known = [
        StorageError::Setup,
        StorageError::ReadOnly,
        StorageError::Closed,
        StorageError::InvalidKey,
    ];
    match known.into_iter().find(|error| error.to_string() == text) {
        Some(error) => error,
        None => StorageError::too_large_from_text(&text)
            .or_else(|| StorageError::damaged_from_text(&text))
            .unwrap_or(StorageError::Failed(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data_response(data: &str) -> pb::Response {
        pb::Response { data: data.to_owned(), ..pb::Response::blank() }
    }

    fn debug_prefix(error: &EngineError) -> String {
        format!("{error:?}").chars().take(60).collect()
    }

    #[test]
    fn nothing_empty_and_null_are_distinct() {
        assert!(matches!(reply_from_wire(None, None), Ok(EngineResponse::Nothing)));
        let Ok(EngineResponse::Data(data)) = reply_from_wire(Some(data_response("{}")), None)
        else {
            panic!()
        };
        assert_eq!(data.object.as_bytes(), b"{}");
        let Ok(EngineResponse::Data(data)) = reply_from_wire(Some(data_response("null")), None)
        else {
            panic!()
        };
        assert_eq!(data.object.as_bytes(), b"null");
    }

    #[test]
    fn an_error_response_has_error_alone_or_with_data() {
        let user = |data: &str| {
            matches!(
                reply_from_wire(Some(data_response(data)), None),
                Err(EngineError::User { .. })
            )
        };
        assert!(user(r#"{"error":"x"}"#));
        assert!(user(r#"{"error":"x","data":{"a":1}}"#));
        assert!(!user(r#"{"error":"x","other":1}"#));
        assert!(!user(r#"{"error":1}"#));
    }

    #[test]
    fn the_wish_for_wrapping_round_trips_and_is_never_lost() {
        let wrap_ttl = Some(Ttl::from_secs(90));
        let data = DataResponse { wrap_ttl, ..DataResponse::new(RawObject::empty()) };
        let message = response_to_wire(EngineResponse::Data(data)).unwrap();
        let info = message.wrap_info.clone().unwrap();
        assert_eq!((info.ttl, info.creation_time), (90_000_000_000, Some(time::UNSET)));
        let back = |data: &str, redirect: &str| {
            let (data, redirect) = (data.to_owned(), redirect.to_owned());
            reply_from_wire(Some(pb::Response { data, redirect, ..message.clone() }), None)
        };
        let Ok(EngineResponse::Data(data)) = back("{}", "") else { panic!() };
        assert_eq!(data.wrap_ttl, wrap_ttl);
        assert!(back("{}", "https://a/").is_err());
        assert!(back(r#"{"http_status_code":200,"http_content_type":"a/b"}"#, "").is_err());
    }

    #[test]
    fn a_plug_in_gets_no_raw_bodies_whatever_it_declares() {
        let binary = vec!["upload".to_owned()];
        let paths = pb::Paths { binary, ..pb::Paths::default() };
        assert!(special_from_wire(paths).binary.is_empty());
    }

    #[test]
    fn redirects_round_trip_and_are_checked() {
        let target = RedirectTarget::parse("https://idp.example.com/?state=1").unwrap();
        let message = response_to_wire(EngineResponse::Redirect(target.clone()));
        let Ok(EngineResponse::Redirect(back)) = reply_from_wire(message, None) else { panic!() };
        assert!(back.is_of_plugin() && !target.is_of_plugin());
        assert_eq!(back, target.of_plugin());
        let redirect = |url: &str, data: &str| pb::Response {
            redirect: url.to_owned(),
            ..data_response(data)
        };
        for url in ["https://a/\r\nX: y", "javascript:alert(1)", "/relative"] {
            let error = reply_from_wire(Some(redirect(url, "null")), None).unwrap_err();
            assert!(matches!(error, EngineError::Internal { .. }), "{error:?}");
        }
        let secret = Some(pb::Secret::blank());
        let leased = pb::Response { secret, ..redirect("https://a/", "null") };
        assert!(reply_from_wire(Some(leased), None).is_err(), "nobody would get its lease id");
        let refused = reply_from_wire(Some(redirect("https://a/", r#"{"error":"x"}"#)), None);
        assert!(matches!(refused, Err(EngineError::User { .. })), "{refused:?}");
        let raw = redirect("https://a/", r#"{"http_status_code":200}"#);
        assert!(matches!(reply_from_wire(Some(raw), None), Ok(EngineResponse::Redirect(_))));
    }

    #[test]
    fn user_errors_round_trip() {
        let error = EngineError::User {
            message: "say \"please\"".to_owned(),
            data: Some(RawObject::from_json("{\"a\":1}").unwrap()),
        };
        let (response, wire) = error_to_wire(error);
        let back = reply_from_wire(response, wire).unwrap_err();
        let EngineError::User { message, data } = back else { panic!() };
        assert_eq!(
            (message.as_str(), data.unwrap().as_bytes()),
            ("say \"please\"", &b"{\"a\":1}"[..])
        );
    }

    #[test]
    fn refused_logins_round_trip_with_their_text() {
        let message = "invalid username or password".to_owned();
        let (response, wire) = error_to_wire(EngineError::InvalidCredentials { message });
        // Hosts of Go's SDK match on this text.
        assert_eq!(wire.as_ref().map(|error| error.err_msg.as_str()), Some("invalid credentials"));
        let back = reply_from_wire(response, wire.clone()).unwrap_err();
        let EngineError::InvalidCredentials { message } = back else { panic!("{back:?}") };
        assert_eq!(message, "invalid username or password");
        let back = reply_from_wire(None, wire).unwrap_err();
        let EngineError::InvalidCredentials { message } = back else { panic!("{back:?}") };
        assert_eq!(message, "invalid credentials");
    }

    #[test]
    fn error_kinds_round_trip() {
        for kind in [
            StatusKind::UnsupportedOperation,
            StatusKind::UnsupportedPath,
            StatusKind::InvalidRequest,
            StatusKind::PermissionDenied,
            StatusKind::Unrecoverable,
            StatusKind::UpstreamRateLimited,
        ] {
            let (response, wire) = error_to_wire(kind.into());
            let back = reply_from_wire(response, wire).unwrap_err();
            assert_eq!(debug_prefix(&back), debug_prefix(&kind.into()));
        }
        let (response, wire) =
            error_to_wire(EngineError::Coded { status: 451, message: "no".into() });
        let back = reply_from_wire(response, wire).unwrap_err();
        assert!(matches!(back, EngineError::Coded { status: 451, .. }));
    }

    #[test]
    fn raw_responses_round_trip() {
        for body in [&b"plain text"[..], b"aGVsbG8=", &[0, 159, 255], b""] {
            let raw = RawResponse {
                status: 418,
                content_type: "text/plain".to_owned(),
                body: body.to_vec(),
                headers: [("pragma".to_owned(), "x".to_owned())].into(),
            };
            let wire = response_to_wire(EngineResponse::Raw(raw.clone()));
            let Ok(EngineResponse::Raw(back)) = reply_from_wire(wire, None) else { panic!() };
            assert_eq!(back, raw);
        }
        let impossible = data_response(r#"{"http_status_code":99,"http_content_type":"a"}"#);
        assert!(reply_from_wire(Some(impossible), None).is_err());
    }

    #[test]
    fn not_found_with_data_round_trips() {
        for (object, warnings) in
            [(r#"{"n":1.10}"#, vec![]), ("null", vec!["look there".to_owned()])]
        {
            let object = RawObject::from_own_json(object);
            let data = DataResponse { warnings, ..DataResponse::new(object) };
            let wire = response_to_wire(EngineResponse::NotFound(data.clone()));
            let Ok(EngineResponse::NotFound(back)) = reply_from_wire(wire, None) else { panic!() };
            assert_eq!((back.object, back.warnings), (data.object, data.warnings));
        }
        let raw = |status, body: &str| RawResponse {
            status,
            content_type: "application/json".to_owned(),
            body: body.into(),
            headers: BTreeMap::new(),
        };
        let envelope =
            String::from_utf8(not_found_to_raw(&DataResponse::new(RawObject::null())).body)
                .unwrap();
        assert!(not_found_from_raw(&raw(404, &envelope)).is_some());
        for (status, body) in [
            (400, envelope.as_str()),
            (404, "{}"),
            (404, ""),
            (404, r#"{"data":{},"warnings":null}"#),
            (404, &envelope.replace(r#""auth":null"#, r#""auth":{}"#)),
        ] {
            assert!(not_found_from_raw(&raw(status, body)).is_none(), "{status} {body}");
        }
    }

    #[test]
    fn refresh_ttl_round_trips() {
        for refresh in [None, Some(Ttl::from_secs(90))] {
            let data = DataResponse { refresh, ..DataResponse::new(RawObject::empty()) };
            let wire = response_to_wire(EngineResponse::Data(data));
            let Ok(EngineResponse::Data(back)) = reply_from_wire(wire, None) else { panic!() };
            assert_eq!((back.refresh, back.headers.len()), (refresh, 0));
        }
    }

    #[test]
    fn leases_round_trip_with_data_for_foreign_engines() {
        for (internal, kept, sealed) in [
            ("{}", true, false),
            (r#"{"strongroom_intent":"u"}"#, false, false),
            (r#"{"strongroom_receipt":"plain"}"#, false, false),
            (r#"{"strongroom_receipt":"sealed"}"#, false, true),
        ] {
            let leased = LeasedResponse {
                data: DataResponse::new(RawObject::from_json("{\"key\":\"v\"}").unwrap()),
                internal: RawObject::from_json(internal).unwrap(),
                ttl: Ttl::from_secs(60),
                max_ttl: Ttl::from_secs(600),
                renewable: true,
                intent: None,
                keep_data: false,
                seal_wrap: false,
            };
            let wire = response_to_wire(EngineResponse::Leased(leased));
            let Ok(EngineResponse::Leased(back)) = reply_from_wire(wire, None) else { panic!() };
            assert_eq!(
                (back.ttl, back.max_ttl, back.renewable),
                (Ttl::from_secs(60), Ttl::from_secs(600), true)
            );
            assert_eq!((back.keep_data, back.seal_wrap), (kept, sealed));
            assert_eq!(back.intent.is_some(), internal.contains(INTENT_FIELD));
        }
    }

    #[test]
    fn requests_round_trip() {
        let mut fields = Fields::new();
        fields.set("n", &12_345_678_901_234_567_890_u64);
        let request = EngineRequest {
            id: RequestId::parse("r1").unwrap(),
            operation: Operation::Renew,
            path: "creds/dev".to_owned(),
            fields,
            raw_body: None,
            mount: Arc::new(MountInfo {
                path: "custom/".to_owned(),
                mount_type: "t".to_owned(),
                accessor: "t_1".to_owned(),
            }),
            caller: CallerInfo { display_name: "token-ci".to_owned(), ..CallerInfo::default() },
            connection: Some(ConnectionInfo {
                certificates: Some(Arc::new(ClientCertificates {
                    chain: vec![Bytes::from_static(&[1]), Bytes::from_static(&[2])],
                })),
                ..ConnectionInfo::new("127.0.0.1".parse().unwrap(), 7)
            }),
            headers: [("x-some-thing".to_owned(), vec!["v".to_owned()])].into(),
            wrap_ttl: None,
            lease: Some(LeaseContext {
                internal: RawObject::from_json("{\"id\":1}").unwrap(),
                issued: Timestamp::from_secs(5),
                ttl: Ttl::from_secs(1),
                max_ttl: Ttl::from_secs(2),
                renewable: true,
                increment: Ttl::from_secs(3),
            }),
            auth: None,
            namespace: Namespace::Root,
            deadline: Timestamp::from_secs(9),
        };
        let wire = request_to_wire(&request);
        assert!(wire.headers.contains_key("X-Some-Thing"), "as Go spells it");
        let Ok(HostCall::Request(back)) = request_from_wire(wire, Timestamp::from_secs(9)) else {
            panic!()
        };
        assert_eq!(format!("{:?}", *back), format!("{request:?}"));
        assert_eq!(back.fields.get("n").unwrap().get(), "12345678901234567890");
        assert_eq!(back.lease.unwrap().internal.as_bytes(), b"{\"id\":1}");
    }
}
