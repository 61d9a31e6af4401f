//! [`Client`]: reads, writes, lists and deletes at any path of the API.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Method, Proxy, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use strongroom_types::{Fields, Secret};

use crate::config::{ClientConfig, ServerAddress};
use crate::dry_run::DryRun;
use crate::error::Error;
use crate::response::SecretResponse;
use crate::send::{ApiRequest, ClientInner, JSON_CONTENT_TYPE, RawHttpResponse, TOKEN_HEADER};
use crate::tls::{self, TlsServerName};

/// Sends requests to one server with one token. Cheap to clone; clones share their connections.
///
/// Dropping the future of a request does not cancel it on the server: a request that was already
/// sent may still be carried out.
#[derive(Clone)]
pub struct Client {
    inner: Arc<ClientInner>,
    headers: HeaderMap,
    dry_run: Option<DryRun>,
}

/// Query parameters of a URL, as names and values; a name may be repeated.
pub type Query = [(String, String)];

/// Which part of a long list to return. The default asks for the whole list.
#[derive(Clone, Debug, Default)]
pub struct ListPage {
    /// Only keys after this one are returned; empty to begin with the first key.
    pub after: String,
    /// The maximum number of keys to return; `None` for no limit.
    pub limit: Option<u32>,
}

impl Client {
    /// Creates a client. Certificate files are read now; no connection is opened yet.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the address, a header, the proxy or a certificate can't be used.
    pub fn new(config: ClientConfig) -> Result<Self, Error> {
        let address = ServerAddress::parse(&config.address)?;
        let other_name = match &config.tls.server_name {
            Some(name) if address.base_url.scheme() == "https" => {
                Some(TlsServerName::new(&address.base_url, name)?)
            }
            _ => None,
        };
        let headers = request_headers(&config, other_name.as_ref())?;
        let base = other_name.as_ref().map_or(&address.base_url, |name| &name.base_url).clone();
        let http = build_http_client(&config, &address, other_name)?;
        let link = ClientInner {
            http,
            address,
            timeout: config.timeout,
            max_retries: config.max_retries,
            follow_redirect: config.follow_redirect,
            max_response_bytes: config.max_response_bytes,
            clock: config.clock,
            entropy: config.entropy,
            base_url: base,
        };
        Ok(Self { inner: Arc::new(link), headers, dry_run: None })
    }

    /// Returns a copy of the client that sends another token, or none at all.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the token contains characters that can't be sent in a header.
    pub fn with_token(&self, token: Option<&Secret<String>>) -> Result<Self, Error> {
        let mut headers = self.headers.clone();
        set_token(&mut headers, token)?;
        Ok(Self { headers, ..self.clone() })
    }

    /// Returns a copy of the client that does not ask for response wrapping.
    #[must_use]
    pub fn without_wrapping(&self) -> Self {
        self.without_header("x-vault-wrap-ttl")
    }

    /// Returns a copy of the client that works in the root namespace (it sends no namespace
    /// header).
    #[must_use]
    pub fn without_namespace(&self) -> Self {
        self.without_header("x-vault-namespace")
    }

    fn without_header(&self, name: &str) -> Self {
        let mut headers = self.headers.clone();
        headers.remove(name);
        Self { headers, ..self.clone() }
    }

    /// Returns a copy of the client that records its first request in `rehearsal` and sends
    /// nothing. Each of its requests fails with [`Error::NotSent`].
    #[must_use]
    pub fn with_dry_run(&self, rehearsal: &DryRun) -> Self {
        Self { dry_run: Some(rehearsal.clone()), ..self.clone() }
    }

    /// Returns a copy of the client that does send its requests. A dry run uses it for look-ups
    /// that are needed to build the recorded request.
    #[must_use]
    pub fn without_dry_run(&self) -> Self {
        Self { dry_run: None, ..self.clone() }
    }

    /// Whether the client sends this token; with `None`, whether it sends any token.
    pub(crate) fn has_token(&self, token: Option<&Secret<String>>) -> bool {
        match (self.headers.get(TOKEN_HEADER), token) {
            (Some(own), Some(token)) => token.ct_eq(own.as_bytes()),
            (own, None) => own.is_some(),
            (None, Some(_)) => false,
        }
    }

    /// Reads a path. `None` if the server answers 404 without data or warnings.
    ///
    /// # Errors
    ///
    /// [`Error::Api`] if the server refuses the request; other kinds if it could not be sent or its
    /// response could not be read.
    pub async fn read(&self, path: &str, query: &Query) -> Result<Option<SecretResponse>, Error> {
        let mut call = self.new_request(Method::GET, path, query)?;
        let reply = self.send_or_record(&mut call).await?;
        parse_optional(reply, &call)
    }

    /// Reads a path and returns the response body unparsed. Here a 404 is an [`Error::Api`].
    ///
    /// # Errors
    ///
    /// As for [`Client::read`], but the body may be anything.
    pub async fn read_raw(&self, path: &str, query: &Query) -> Result<Bytes, Error> {
        let mut call = self.new_request(Method::GET, path, query)?;
        Ok(self.send_or_record(&mut call).await?.error_for_status(&call)?.body)
    }

    /// Lists the keys below a path. `None` if the server answers 404 without data or warnings.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`].
    pub async fn list(&self, path: &str, page: &ListPage) -> Result<Option<SecretResponse>, Error> {
        let mut query = vec![("list".to_owned(), "true".to_owned())];
        if !page.after.is_empty() || page.limit.is_some() {
            query.push(("after".to_owned(), page.after.clone()));
            query.extend(page.limit.map(|limit| ("limit".to_owned(), limit.to_string())));
        }
        let mut call = self.new_request(Method::GET, path, &query)?;
        let reply = self.send_or_record(&mut call).await?;
        parse_optional(reply, &call)
    }

    /// Writes fields to a path with PUT. `None` if the response has no content.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`]; a 404 is an [`Error::Api`].
    pub async fn write(
        &self,
        path: &str,
        fields: &Fields,
    ) -> Result<Option<SecretResponse>, Error> {
        let body = fields.to_object().into_bytes();
        let reply = self.send(Method::PUT, path, &[], Some(body)).await?;
        SecretResponse::parse(&reply.body)
    }

    /// Changes some of the fields at a path with a JSON merge patch (RFC 7396): `null` removes a
    /// field. `None` if the response has no content.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`]; a 404 is an [`Error::Api`].
    pub async fn patch(
        &self,
        path: &str,
        fields: &Fields,
    ) -> Result<Option<SecretResponse>, Error> {
        let mut call = self.new_request(Method::PATCH, path, &[])?;
        call.body = Some(fields.to_object().into_bytes());
        call.content_type = MERGE_PATCH_CONTENT_TYPE;
        let reply = self.send_or_record(&mut call).await?.error_for_status(&call)?;
        SecretResponse::parse(&reply.body)
    }

    /// Deletes a path. `None` if the response has no content.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`]; a 404 is an [`Error::Api`].
    pub async fn delete(&self, path: &str, query: &Query) -> Result<Option<SecretResponse>, Error> {
        let reply = self.send(Method::DELETE, path, query, None).await?;
        SecretResponse::parse(&reply.body)
    }

    /// Sends a request; an error status becomes [`Error::Api`].
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        query: &Query,
        body: Option<Bytes>,
    ) -> Result<RawHttpResponse, Error> {
        let mut call = self.new_request(method, path, query)?;
        call.body = body;
        self.send_or_record(&mut call).await?.error_for_status(&call)
    }

    /// Sends a request, or records it if this client does a dry run.
    async fn send_or_record(&self, call: &mut ApiRequest) -> Result<RawHttpResponse, Error> {
        match &self.dry_run {
            Some(rehearsal) => {
                rehearsal.record(call);
                Err(Error::NotSent)
            }
            None => self.inner.send(call).await,
        }
    }

    /// Sends a JSON document with PUT; an error status becomes [`Error::Api`].
    pub(crate) async fn put_json(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<RawHttpResponse, Error> {
        self.send(Method::PUT, path, &[], Some(to_json(body)?)).await
    }

    /// Sends a document and reads the response envelope; an empty response is an error.
    pub(crate) async fn put_for_response(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<SecretResponse, Error> {
        let reply = self.put_json(path, body).await?;
        SecretResponse::parse(&reply.body)?.ok_or(Error::InvalidResponse("it is empty"))
    }

    /// Reads a response that is a bare document, without the usual envelope.
    pub(crate) async fn get_document<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        parse_document(&self.send(Method::GET, path, &[], None).await?)
    }

    /// Sends a document and reads a response that is a bare document, without the usual envelope.
    pub(crate) async fn put_for_document<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Error> {
        parse_document(&self.put_json(path, body).await?)
    }

    fn new_request(&self, method: Method, path: &str, query: &Query) -> Result<ApiRequest, Error> {
        let url = request_url(&self.inner.base_url, path, query)?;
        let headers = self.headers.clone();
        Ok(ApiRequest { method, url, headers, body: None, content_type: JSON_CONTENT_TYPE })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.inner.address.base_url.as_str();
        f.debug_struct("Client").field("address", &address).finish_non_exhaustive()
    }
}

fn build_http_client(
    config: &ClientConfig,
    address: &ServerAddress,
    other_name: Option<TlsServerName>,
) -> Result<reqwest::Client, Error> {
    let mut builder = reqwest::Client::builder()
        .http1_only()
        .redirect(Policy::none())
        .referer(false)
        .timeout(config.timeout)
        .user_agent(concat!("strongroom/", env!("CARGO_PKG_VERSION")));
    match &config.proxy {
        Some(_) if other_name.is_some() => {
            let text = "a TLS server name can't be used together with a proxy";
            return Err(Error::Config(text.to_owned()));
        }
        Some(proxy) => {
            let proxy = Proxy::all(proxy).map_err(|_| unusable_setting("the proxy's address"))?;
            builder = builder.proxy(proxy);
        }
        // Connections to this machine don't use the proxy that environment variables name.
        None if address.is_local() || other_name.is_some() => builder = builder.no_proxy(),
        None => {}
    }
    if let Some(name) = other_name {
        builder = builder.dns_resolver(name.resolver);
    }
    if let Some(socket) = &address.socket {
        builder = builder.unix_socket(socket.clone());
    }
    let builder = tls::configure_tls(builder, &config.tls)?;
    // Every setting was checked above, so only loading the system's certificate store can fail.
    builder.build().map_err(|_| {
        let text = "TLS can't be set up: the system's trusted certificates can't be read";
        Error::Config(text.to_owned())
    })
}

fn request_headers(
    config: &ClientConfig,
    other_name: Option<&TlsServerName>,
) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    headers.insert("x-vault-request", HeaderValue::from_static("true"));
    if let Some(name) = other_name {
        headers.insert(HOST, name.host.clone());
    }
    for (name, value) in &config.headers {
        if name.to_ascii_lowercase().starts_with("x-vault-") {
            let text = format!("the header {name} can't be set: this client sets those itself");
            return Err(Error::Config(text));
        }
        let name =
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| unusable_setting("a header"))?;
        headers.append(name, sensitive_header(value, "a header")?);
    }
    if let Some(namespace) = &config.namespace {
        headers.insert("x-vault-namespace", sensitive_header(namespace, "the namespace")?);
    }
    if let Some(ttl) = &config.wrap_ttl {
        headers.insert("x-vault-wrap-ttl", sensitive_header(ttl, "the wrap TTL")?);
    }
    for value in &config.mfa {
        headers.append("x-vault-mfa", sensitive_header(value.expose_secret(), "an MFA value")?);
    }
    if config.policy_override {
        headers.insert("x-vault-policy-override", HeaderValue::from_static("true"));
    }
    set_token(&mut headers, config.token.as_ref())?;
    Ok(headers)
}

fn set_token(headers: &mut HeaderMap, token: Option<&Secret<String>>) -> Result<(), Error> {
    headers.remove(TOKEN_HEADER);
    let Some(token) = token.map(Secret::expose_secret).filter(|token| !token.is_empty()) else {
        return Ok(());
    };
    if !token.chars().all(|c| !c.is_control() && (c == ' ' || !c.is_whitespace())) {
        let text = "the token has line ends or control characters in it and can't be sent";
        return Err(Error::Config(text.to_owned()));
    }
    headers.insert(TOKEN_HEADER, sensitive_header(token, "the token")?);
    Ok(())
}

const MERGE_PATCH_CONTENT_TYPE: &str = "application/merge-patch+json";

/// A header value that is marked as sensitive, so that it doesn't appear in logs.
fn sensitive_header(value: &str, what: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(value).map_err(|_| unusable_setting(what))?;
    value.set_sensitive(true);
    Ok(value)
}

fn unusable_setting(what: &str) -> Error {
    Error::Config(format!("{what} can't be used as it is"))
}

/// The URL of an API path, percent-encoded so that the server receives the path as it was given.
fn request_url(base: &Url, path: &str, query: &Query) -> Result<Url, Error> {
    let mut segments = Vec::new();
    for segment in base.path().split('/') {
        segments.push(segment.to_owned());
    }
    segments.push("v1".to_owned());
    for segment in path.split('/') {
        match segment {
            "." => {}
            ".." => return Err(Error::Config("a path can't have \"..\" in it".to_owned())),
            other => segments.push(utf8_percent_encode(other, ESCAPED_IN_SEGMENT).to_string()),
        }
    }
    segments.retain(|segment| !segment.is_empty());
    let mut url = base.clone();
    url.set_path(&segments.join("/"));
    if !query.is_empty() {
        let mut pairs: Vec<_> = query.iter().collect();
        pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut encoded = form_urlencoded::Serializer::new(String::new());
        encoded.extend_pairs(pairs);
        url.set_query(Some(&encoded.finish()));
    }
    Ok(url)
}

/// The characters that are percent-encoded in a path segment (RFC 3986, section 3.3).
const ESCAPED_IN_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b',')
    .remove(b':')
    .remove(b';')
    .remove(b'=')
    .remove(b'@');

pub(crate) fn to_json(body: &impl Serialize) -> Result<Bytes, Error> {
    let body = serde_json::to_vec(body).map_err(|_| unusable_setting("what is to be sent"))?;
    Ok(body.into())
}

fn parse_document<T: DeserializeOwned>(reply: &RawHttpResponse) -> Result<T, Error> {
    // serde's error text may quote the response, so it is dropped.
    serde_json::from_slice(&reply.body)
        .map_err(|_| Error::InvalidResponse("it isn't the JSON document that it should be"))
}

/// Parses a response that may be a 404: it counts as content if it has data or warnings, and is
/// `None` otherwise.
fn parse_optional(
    reply: RawHttpResponse,
    call: &ApiRequest,
) -> Result<Option<SecretResponse>, Error> {
    if reply.status == 404
        && let Ok(answer) = SecretResponse::parse(&reply.body)
    {
        return Ok(answer.filter(SecretResponse::has_content));
    }
    SecretResponse::parse(&reply.error_for_status(call)?.body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url_text(base: &str, path: &str, query: &[(&str, &str)]) -> String {
        let own = |text: &&str| (*text).to_owned();
        let query: Vec<_> = query.iter().map(|(k, v)| (own(k), own(v))).collect();
        request_url(&Url::parse(base).unwrap(), path, &query).unwrap().to_string()
    }

    #[test]
    fn paths_are_cleaned_and_encoded() {
        for (path, expected) in [
            ("kv/a", "http://h/v1/kv/a"),
            ("/kv//a/", "http://h/v1/kv/a"),
            ("kv/a b?c#d%2e", "http://h/v1/kv/a%20b%3Fc%23d%252e"),
            ("kv/ä:=@,;+&$", "http://h/v1/kv/%C3%A4:=@,;+&$"),
            ("kv/./%2e%2e/a", "http://h/v1/kv/%252e%252e/a"),
        ] {
            assert_eq!(url_text("http://h", path, &[]), expected);
        }
        assert_eq!(url_text("http://h/vault/", "sys/init", &[]), "http://h/vault/v1/sys/init");
    }

    #[test]
    fn parameters_are_sorted_and_encoded() {
        let query = [("b", "1 2"), ("a", "x&y"), ("b", "3")];
        assert_eq!(url_text("http://h", "p", &query), "http://h/v1/p?a=x%26y&b=1+2&b=3");
    }

    #[test]
    fn parent_segments_are_refused() {
        assert!(request_url(&Url::parse("http://h").unwrap(), "kv/../sys", &[]).is_err());
    }

    #[test]
    fn invalid_tokens_are_not_quoted() {
        let mut headers = HeaderMap::new();
        for token in ["hunter2\n", "hunt\u{7f}er2", "\thunter2"] {
            let error = set_token(&mut headers, Some(&Secret::from_text(token))).unwrap_err();
            assert!(error.to_string().contains("control characters"), "{error}");
            assert!(!error.to_string().contains("hunt"), "{error}");
        }
        set_token(&mut headers, Some(&Secret::from_text("hunter2"))).unwrap();
        assert!(!format!("{headers:?}").contains("hunter2"));
        set_token(&mut headers, None).unwrap();
        assert!(headers.get(TOKEN_HEADER).is_none());
    }

    #[test]
    fn vault_headers_cannot_be_set() {
        let config = ClientConfig {
            headers: vec![("x-vAult-Token".to_owned(), "x".to_owned())],
            ..ClientConfig::default()
        };
        assert!(Client::new(config).unwrap_err().to_string().contains("sets those itself"));
    }
}
