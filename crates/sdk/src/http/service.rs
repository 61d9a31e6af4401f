//! [`HttpService`]: an outside system at one address, for one operation.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use http::header::{AUTHORIZATION, HeaderName};
use http::{HeaderMap, HeaderValue};
use strongroom_types::{Clock, Secret, Timestamp};

use super::client::HttpClient;
use super::headers::secret_header_value;
use super::tls::TlsSettings;
use crate::{BaseUrl, Context};

/// An outside system at the address that the engine's configuration names, with the credentials
/// for it. Create one per operation with [`HttpClient::service`]; it costs nothing.
///
/// ```no_run
/// use strongroom_sdk::http::{HttpClient, HttpService};
/// use strongroom_sdk::{BaseUrl, Context, DurationSecs, Secret};
///
/// struct Config {
///     url: BaseUrl,
///     key: Secret<String>,
///     request_timeout: DurationSecs,
/// }
///
/// fn service<'a>(http: &'a HttpClient, context: &Context, config: &Config) -> HttpService<'a> {
///     http.service(context, &config.url)
///         .bearer_token(&config.key)
///         .attempt_time(config.request_timeout.0.as_duration())
/// }
/// ```
#[derive(Clone)]
pub struct HttpService<'a> {
    pub(super) client: &'a HttpClient,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) deadline: Timestamp,
    pub(super) base: BaseUrl,
    pub(super) attempt_time: Duration,
    pub(super) tls: TlsSettings<'a>,
    pub(super) headers: HeaderMap,
    /// Why no request can be sent; each one then fails with this.
    pub(super) problem: Option<&'static str>,
}

/// The reason for a header that can't be sent, in errors.
pub(super) const BAD_HEADER: &str = "a header has characters that no header may have";

impl HttpClient {
    /// The outside system at `base`, for the operation that `context` belongs to: its clock counts
    /// the time limits, and its deadline ends every call.
    pub fn service(&self, context: &Context, base: &BaseUrl) -> HttpService<'_> {
        self.service_until(context.clock().clone(), context.deadline(), base)
    }

    /// As [`HttpClient::service`], for work that has no [`Context`]: with a clock, and a point in
    /// time that ends every call ([`Timestamp::FAR_FUTURE`] for none).
    pub fn service_until(
        &self,
        clock: Arc<dyn Clock>,
        deadline: Timestamp,
        base: &BaseUrl,
    ) -> HttpService<'_> {
        HttpService {
            client: self,
            clock,
            deadline,
            base: base.clone(),
            attempt_time: self.limits.attempt_time,
            tls: TlsSettings::new(),
            headers: HeaderMap::new(),
            problem: None,
        }
    }
}

impl Context {
    /// The outside system at `base`, for the operation that this context belongs to. All of the
    /// instance's operations share connections, which have the default limits, no retries and no
    /// redirects; an engine that needs others keeps an [`HttpClient`](crate::http::HttpClient) of its
    /// own. Errors name the system as [`Blueprint::outside_system`](crate::Blueprint::outside_system)
    /// says.
    ///
    /// ```
    /// use strongroom_sdk::http::HttpService;
    /// use strongroom_sdk::{BaseUrl, Context, Document, Secret};
    ///
    /// /// How to reach the service.
    /// #[derive(Document)]
    /// #[document(path = "config", seal_wrap)]
    /// struct Config {
    ///     /// Base URL of the service.
    ///     #[field(required)]
    ///     url: BaseUrl,
    ///     /// API key of the service. Never shown.
    ///     #[field(required)]
    ///     key: Secret<String>,
    /// }
    ///
    /// impl Config {
    ///     fn service<'a>(&self, context: &'a Context) -> HttpService<'a> {
    ///         context.http(&self.url).bearer_token(&self.key)
    ///     }
    /// }
    /// # let _ = Config::service;
    /// ```
    pub fn http(&self, base: &BaseUrl) -> HttpService<'_> {
        self.services().http.service(self, base)
    }
}

impl<'a> HttpService<'a> {
    /// Authenticates every request with `Authorization: Bearer <token>`.
    #[must_use]
    pub fn bearer_token(self, token: &Secret<String>) -> Self {
        self.with_header(AUTHORIZATION, secret_header_value(&["Bearer ", token.expose_secret()]))
    }

    /// Authenticates every request with `Authorization: Basic <user and password>` (RFC 7617).
    #[must_use]
    pub fn basic_auth(self, user: &str, password: &Secret<String>) -> Self {
        let password = password.expose_secret();
        let mut plain = Secret::new(Vec::with_capacity(user.len() + password.len() + 1));
        for part in [user, ":", password] {
            plain.expose_secret_mut().extend_from_slice(part.as_bytes());
        }
        let encoded = Secret::new(BASE64.encode(plain.expose_secret()));
        self.with_header(AUTHORIZATION, secret_header_value(&["Basic ", encoded.expose_secret()]))
    }

    /// Adds a header with a secret value, such as `x-nomad-token`, to every request.
    ///
    /// # Panics
    ///
    /// If `name` is not a header name in lower case. It is a literal, so the first test finds that.
    #[must_use]
    pub fn secret_header(self, name: &'static str, value: &Secret<String>) -> Self {
        let value = secret_header_value(&[value.expose_secret()]);
        self.with_header(HeaderName::from_static(name), value)
    }

    /// Adds a header to every request, or replaces the one of that name.
    ///
    /// # Panics
    ///
    /// If `name` is not a header name in lower case. It is a literal, so the first test finds that.
    #[must_use]
    pub fn header(self, name: &'static str, value: &str) -> Self {
        self.with_header(HeaderName::from_static(name), HeaderValue::from_str(value).ok())
    }

    fn with_header(mut self, name: HeaderName, value: Option<HeaderValue>) -> Self {
        match value {
            Some(value) => drop(self.headers.insert(name, value)),
            None => self.problem = Some(BAD_HEADER),
        }
        self
    }

    /// Sets how long one attempt of a request may take, instead of
    /// [`HttpLimits::attempt_time`](super::HttpLimits::attempt_time). For calls of a credential,
    /// use what [`Credential::timeout`](crate::Credential::timeout) returns.
    #[must_use]
    pub fn attempt_time(self, attempt_time: Duration) -> Self {
        Self { attempt_time, ..self }
    }

    /// Sets the certificates to accept and to present. Connections made with other settings are not
    /// used.
    #[must_use]
    pub fn tls(self, tls: TlsSettings<'a>) -> Self {
        Self { tls, ..self }
    }
}

impl fmt::Debug for HttpService<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpService")
            .field("system", &self.client.system)
            .field("base", &self.base)
            .field("deadline", &self.deadline)
            .field("attempt_time", &self.attempt_time)
            .finish_non_exhaustive()
    }
}
