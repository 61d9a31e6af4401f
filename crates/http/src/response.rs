//! From a core response to HTTP. The JSON of an engine is copied into the envelope verbatim.

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use strongroom_core::request::WrapInfo;
use strongroom_core::{CoreResponse, ResponseEnvelope};
use strongroom_engine::{RawResponse, RedirectTarget};
use strongroom_types::fields::write_string;
use strongroom_types::{RawObject, RequestId, Secret};

use crate::Body;
use crate::body::zeroize_on_drop;

/// Builds the HTTP response: 204 without a body, the JSON envelope, or a body of its own. Every
/// response gets the default headers, `Cache-Control: no-store` among them.
pub fn to_http(answer: CoreResponse) -> Response<Body> {
    match answer {
        CoreResponse::Nothing => json_response(StatusCode::NO_CONTENT, Vec::new()),
        CoreResponse::Envelope(envelope) => envelope_response(&envelope),
        CoreResponse::WithoutEnvelope { status, body, content_type } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = json_response(status, body);
            let content_type = HeaderValue::from_static(content_type);
            response.headers_mut().insert(header::CONTENT_TYPE, content_type);
            response
        }
        CoreResponse::Raw(raw) => raw_response(raw),
        CoreResponse::Redirect(target) => redirect_response(&target),
    }
}

/// An error response: `{"errors":[...]}`, with `data` if there is any. If the status is 5xx, the id
/// of the request follows, by which operators find its lines in the log.
pub fn errors_response(
    status: StatusCode,
    texts: &[String],
    data: Option<&RawObject>,
    request_id: Option<&RequestId>,
) -> Response<Body> {
    let mut body = b"{\"errors\":".to_vec();
    write_list(&mut body, texts);
    if let Some(data) = data {
        body.extend_from_slice(b",\"data\":");
        body.extend_from_slice(data.as_bytes());
    }
    if let (Some(request_id), true) = (request_id, status.is_server_error()) {
        body.extend_from_slice(b",\"request_id\":");
        write_string(&mut body, request_id.as_str());
    }
    body.extend_from_slice(b"}\n");
    json_response(status, body)
}

fn envelope_response(envelope: &ResponseEnvelope) -> Response<Body> {
    let status = match (envelope.not_found, envelope.accepted) {
        (true, _) => StatusCode::NOT_FOUND,
        (false, true) => StatusCode::ACCEPTED,
        (false, false) => StatusCode::OK,
    };
    let mut response = json_response(status, envelope_body(envelope));
    if !envelope.headers.is_empty() {
        copy_headers(response.headers_mut(), &envelope.headers);
        prevent_rendering(response.headers_mut());
    }
    response
}

fn envelope_body(envelope: &ResponseEnvelope) -> Vec<u8> {
    let data = envelope.data.as_ref().map_or(&b"null"[..], RawObject::as_bytes);
    let auth = envelope.auth.as_ref().map_or(&b"null"[..], RawObject::as_bytes);
    let mut body = Vec::with_capacity(256 + data.len() + auth.len());
    body.extend_from_slice(b"{\"request_id\":");
    write_string(&mut body, &envelope.request_id);
    body.extend_from_slice(b",\"lease_id\":");
    write_string(&mut body, &envelope.lease_id);
    body.extend_from_slice(b",\"renewable\":");
    body.extend_from_slice(if envelope.renewable { b"true" } else { b"false" });
    body.extend_from_slice(b",\"lease_duration\":");
    body.extend_from_slice(envelope.lease_duration.as_secs().to_string().as_bytes());
    body.extend_from_slice(b",\"data\":");
    body.extend_from_slice(data);
    body.extend_from_slice(b",\"wrap_info\":");
    match &envelope.wrap_info {
        Some(info) => write_wrap_info(&mut body, info),
        None => body.extend_from_slice(b"null"),
    }
    body.extend_from_slice(b",\"warnings\":");
    if envelope.warnings.is_empty() {
        body.extend_from_slice(b"null");
    } else {
        write_list(&mut body, &envelope.warnings);
    }
    body.extend_from_slice(b",\"auth\":");
    body.extend_from_slice(auth);
    body.extend_from_slice(b",\"mount_type\":");
    write_string(&mut body, &envelope.mount_type);
    if envelope.mirrors_data_at_top_level {
        write_data_at_top_level(&mut body, envelope.data.as_ref());
    }
    body.extend_from_slice(b"}\n");
    body
}

fn write_wrap_info(body: &mut Vec<u8>, info: &WrapInfo) {
    #[derive(Serialize)]
    struct WrapInfoResponse<'a> {
        token: &'a str,
        accessor: &'a str,
        ttl: u64,
        creation_time: String,
        creation_path: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        wrapped_accessor: Option<&'a str>,
    }
    let shown = WrapInfoResponse {
        token: info.token.expose_secret(),
        accessor: info.accessor.as_str(),
        ttl: info.ttl.as_secs(),
        creation_time: info.creation_time.to_rfc3339(),
        creation_path: &info.creation_path,
        wrapped_accessor: info.wrapped_accessor.as_deref(),
    };
    // Serializing strings and a number into memory cannot fail.
    let _ = serde_json::to_writer(body, &shown);
}

/// Repeats the keys of `data` at the top level, for old clients, except those that the envelope
/// itself uses.
fn write_data_at_top_level(body: &mut Vec<u8>, data: Option<&RawObject>) {
    const ENVELOPE_KEYS: [&str; 9] = [
        "request_id",
        "lease_id",
        "renewable",
        "lease_duration",
        "data",
        "wrap_info",
        "warnings",
        "auth",
        "mount_type",
    ];
    let Some(data) = data else { return };
    for (name, raw) in data.fields().iter().filter(|(name, _)| !ENVELOPE_KEYS.contains(name)) {
        body.push(b',');
        write_string(body, name);
        body.push(b':');
        body.extend_from_slice(raw.get().as_bytes());
    }
}

fn raw_response(raw: RawResponse) -> Response<Body> {
    let status = StatusCode::from_u16(raw.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json_response(status, raw.body);
    match HeaderValue::from_str(&raw.content_type) {
        Ok(content_type) if !raw.content_type.is_empty() => {
            response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        }
        _ => _ = response.headers_mut().remove(header::CONTENT_TYPE),
    }
    for (name, value) in raw.headers {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&value))
        {
            response.headers_mut().insert(name, value);
        }
    }
    prevent_rendering(response.headers_mut());
    response
}

/// A redirect, as Vault answers it: 307, because an engine doesn't say whether it is permanent. It
/// has no body, and nothing of the request but what the engine put into the target.
fn redirect_response(target: &RedirectTarget) -> Response<Body> {
    let mut response = json_response(StatusCode::TEMPORARY_REDIRECT, Vec::new());
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    match HeaderValue::from_str(target.as_str()) {
        Ok(location) => _ = headers.insert(header::LOCATION, location),
        // A target has only characters that a header may have.
        Err(_) => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
    }
    response
}

/// Content types that browsers never execute, and don't reinterpret when `nosniff` is set.
const INERT_CONTENT_TYPES: [&str; 16] = [
    "application/jose",
    "application/json",
    "application/jwt",
    "application/octet-stream",
    "application/ocsp-response",
    "application/openmetrics-text",
    "application/pem-certificate-chain",
    "application/pkcs10",
    "application/pkcs8",
    "application/pkix-cert",
    "application/pkix-crl",
    "application/vnd.api+json",
    "application/x-pem-file",
    "application/x-x509-ca-cert",
    "application/yaml",
    "text/plain",
];

/// Keeps browsers from rendering an engine's response as if this server had written it, whatever
/// headers the engine set: content sniffing and scripts are disabled, and a type that isn't known
/// to be inert is downloaded instead of shown.
fn prevent_rendering(headers: &mut HeaderMap) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox"),
    );
    let types: Vec<_> = headers.get_all(header::CONTENT_TYPE).iter().collect();
    let inert = matches!(types.as_slice(), [only] if is_inert(only));
    let mut dispositions = headers.get_all(header::CONTENT_DISPOSITION).iter();
    // The engine may choose the file name.
    let saved = dispositions.next().is_some_and(is_attachment) && dispositions.next().is_none();
    if !inert && !saved {
        let attachment = HeaderValue::from_static("attachment");
        headers.insert(header::CONTENT_DISPOSITION, attachment);
    }
}

fn is_inert(content_type: &HeaderValue) -> bool {
    let Ok(text) = content_type.to_str() else { return false };
    // With two types in one value, browsers differ in which one they use.
    if text.contains(',') {
        return false;
    }
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    INERT_CONTENT_TYPES.contains(&essence.as_str())
}

fn is_attachment(disposition: &HeaderValue) -> bool {
    let text = disposition.to_str().unwrap_or_default();
    let kind = text.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("attachment")
}

/// A JSON response with the default headers. The body may hold a secret, so it is zeroized after
/// sending.
fn json_response(status: StatusCode, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::new(zeroize_on_drop(Secret::new(body))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(
        header::STRICT_TRANSPORT_SECURITY,
        HeaderValue::from_static("max-age=31536000; includeSubDomains"),
    );
    response
}

fn copy_headers(to: &mut HeaderMap, from: &std::collections::BTreeMap<String, Vec<String>>) {
    for (name, values) in from {
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { continue };
        for value in values.iter().filter_map(|value| HeaderValue::from_str(value).ok()) {
            to.append(name.clone(), value);
        }
    }
}

fn write_list(out: &mut Vec<u8>, texts: &[String]) {
    out.push(b'[');
    for (index, text) in texts.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(out, text);
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use strongroom_types::{Accessor, Fields, Secret, Timestamp, Ttl};

    use super::*;

    fn body_text(envelope: &ResponseEnvelope) -> String {
        String::from_utf8(envelope_body(envelope)).unwrap()
    }

    #[test]
    fn all_keys_are_there_and_null_when_empty() {
        let text = body_text(&ResponseEnvelope::default());
        assert_eq!(
            text,
            "{\"request_id\":\"\",\"lease_id\":\"\",\"renewable\":false,\"lease_duration\":0,\
             \"data\":null,\"wrap_info\":null,\"warnings\":null,\"auth\":null,\"mount_type\":\"\"}\n"
        );
    }

    #[test]
    fn data_is_copied_verbatim_and_repeated_at_top_level() {
        let mut fields = Fields::new();
        fields.set_raw("n", serde_json::from_str("1.10").unwrap());
        fields.set("renewable", &"mine");
        let envelope = ResponseEnvelope {
            data: Some(fields.to_object()),
            mirrors_data_at_top_level: true,
            lease_duration: Ttl::from_secs(5),
            warnings: vec!["care".into()],
            ..ResponseEnvelope::default()
        };
        let text = body_text(&envelope);
        assert!(
            text.contains(r#""lease_duration":5,"data":{"n":1.10,"renewable":"mine"}"#),
            "{text}"
        );
        assert!(text.ends_with("\"mount_type\":\"\",\"n\":1.10}\n"), "{text}");
        assert!(text.contains(r#""warnings":["care"]"#));
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
    }

    #[test]
    fn a_wrapped_response_has_only_wrap_info() {
        let info = |wrapped_accessor: Option<&str>| WrapInfo {
            token: Secret::from_text("hvs.t"),
            accessor: Accessor::parse("a1").unwrap(),
            ttl: Ttl::from_secs(60),
            creation_time: Timestamp::EPOCH,
            creation_path: "kv/\"a".to_owned(),
            wrapped_accessor: wrapped_accessor.map(str::to_owned),
        };
        let wrapped = |info| ResponseEnvelope {
            wrap_info: Some(Box::new(info)),
            ..ResponseEnvelope::default()
        };
        let text = body_text(&wrapped(info(None)));
        assert_eq!(
            text,
            "{\"request_id\":\"\",\"lease_id\":\"\",\"renewable\":false,\"lease_duration\":0,\
             \"data\":null,\"wrap_info\":{\"token\":\"hvs.t\",\"accessor\":\"a1\",\"ttl\":60,\
             \"creation_time\":\"1970-01-01T00:00:00Z\",\"creation_path\":\"kv/\\\"a\"},\
             \"warnings\":null,\"auth\":null,\"mount_type\":\"\"}\n"
        );
        let text = body_text(&wrapped(info(Some("a2"))));
        assert!(text.contains(r#","wrapped_accessor":"a2"},"warnings":null"#), "{text}");
        assert!(!format!("{:?}", wrapped(info(None))).contains("hvs.t"));
    }

    #[test]
    fn a_404_keeps_its_envelope() {
        let envelope = ResponseEnvelope {
            not_found: true,
            warnings: vec!["look there".into()],
            ..ResponseEnvelope::default()
        };
        let response = envelope_response(&envelope);
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert!(
            body_text(&envelope)
                .contains(r#""data":null,"wrap_info":null,"warnings":["look there"]"#)
        );
    }

    #[test]
    fn vault_2_2_2_raw_answers_never_render() {
        let answered = |content_type: &str, headers: &[(&str, &str)]| {
            let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into()));
            let raw = RawResponse {
                status: 200,
                content_type: content_type.to_owned(),
                body: b"<script>alert(1)</script>".to_vec(),
                headers: headers.collect(),
            };
            let response = to_http(CoreResponse::Raw(raw));
            let headers = response.headers().clone();
            let all = headers.get_all(header::X_CONTENT_TYPE_OPTIONS).iter();
            assert_eq!(all.collect::<Vec<_>>(), ["nosniff"], "{content_type}");
            let all: Vec<_> = headers.get_all(header::CONTENT_SECURITY_POLICY).iter().collect();
            assert!(
                matches!(all.as_slice(), [only] if only.to_str().unwrap().contains("sandbox")),
                "{content_type}: {all:?}"
            );
            let all = headers.get_all(header::CONTENT_DISPOSITION).iter();
            all.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        for active in [
            "text/html",
            "TEXT/HTML; charset=utf-8",
            "application/xhtml+xml",
            "image/svg+xml",
            "text/xml",
            "application/xml",
            "application/javascript",
            "text/javascript",
            "text/css",
            "application/pdf",
            "multipart/x-mixed-replace; boundary=a",
            // Types that make browsers sniff.
            "",
            "*/*",
            "unknown/unknown",
            "text",
            "text/plain, text/html",
        ] {
            assert_eq!(answered(active, &[]), ["attachment"], "{active}");
            let inline = [("Content-Disposition", "inline")];
            assert_eq!(answered(active, &inline), ["attachment"], "{active}");
        }
        for inert in ["application/json", "text/plain; charset=utf-8", "application/pkix-cert"] {
            assert!(answered(inert, &[]).is_empty(), "{inert}");
        }
        // The engine's own headers weaken none of this.
        let own = [
            ("content-type", "text/html"),
            ("X-Content-Type-Options", "none"),
            ("Content-Security-Policy", "default-src *"),
        ];
        assert_eq!(answered("application/json", &own), ["attachment"]);
        let named = [("Content-Disposition", "Attachment; filename=\"a.html\"")];
        assert_eq!(answered("text/html", &named), ["Attachment; filename=\"a.html\""]);
    }

    /// An engine may set headers beside its data, including the content type.
    #[test]
    fn vault_2_2_2_enveloped_answers_never_render_either() {
        let answered = |own: &[(&str, &[&str])]| {
            let values = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
            let headers = own.iter().map(|(name, all)| ((*name).to_owned(), values(all)));
            let envelope =
                ResponseEnvelope { headers: headers.collect(), ..ResponseEnvelope::default() };
            let response = to_http(CoreResponse::Envelope(Box::new(envelope)));
            let all = |name| {
                let all = response.headers().get_all(name).iter();
                all.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
            };
            let policy = all(header::CONTENT_SECURITY_POLICY);
            assert!(policy.len() == 1 && policy[0].contains("sandbox"), "{own:?}: {policy:?}");
            assert_eq!(all(header::X_CONTENT_TYPE_OPTIONS), ["nosniff"], "{own:?}");
            all(header::CONTENT_DISPOSITION)
        };
        assert!(answered(&[("x-own", &["1"])]).is_empty(), "it is JSON");
        let weak: [(&str, &[&str]); 2] = [
            ("X-Content-Type-Options", &["none"]),
            ("Content-Security-Policy", &["default-src *", "sandbox allow-scripts"]),
        ];
        assert!(answered(&weak).is_empty());
        assert_eq!(answered(&[("Content-Type", &["text/html"])]), ["attachment"]);
        let inline: [(&str, &[&str]); 2] =
            [("Content-Type", &["image/svg+xml"]), ("Content-Disposition", &["inline"])];
        assert_eq!(answered(&inline), ["attachment"]);
        // Without headers set by an engine, the envelope is always JSON and needs no protection.
        let plain = to_http(CoreResponse::Envelope(Box::default()));
        assert!(plain.headers().get(header::CONTENT_SECURITY_POLICY).is_none());
    }

    #[test]
    fn errors_are_a_list_with_no_store() {
        let response =
            errors_response(StatusCode::FORBIDDEN, &["permission denied".into()], None, None);
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    }
}
