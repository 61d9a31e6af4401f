//! [`HttpClient`]: what an engine keeps to call an outside system.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use super::limits::{HttpLimits, RedirectPolicy, RetryPolicy};
use super::proxy::ProxySettings;
use super::tls::{OwnedTlsSettings, TlsSettings, TlsSettingsError};
use super::transport::HttpTransport;

/// A client of one kind of outside system. Most engines use that of their instance, with
/// [`Context::http`](crate::Context::http). An engine that needs other limits, retries, redirects or
/// proxies creates one and keeps it; each operation then calls [`HttpClient::service`].
///
/// It keeps connections open for later calls, but no address and no credential: those are in the
/// engine's configuration, and each operation passes them on as they are then. Requests are
/// HTTP/1.1.
///
/// ```
/// use std::time::Duration;
/// use strongroom_sdk::http::{HttpClient, HttpLimits, RedirectPolicy};
///
/// let http = HttpClient::new("token service")
///     .with_limits(HttpLimits { response_bytes: 16 << 10, ..HttpLimits::default() })
///     .with_redirects(RedirectPolicy::same_origin(1));
/// ```
pub struct HttpClient {
    pub(super) system: &'static str,
    pub(super) limits: HttpLimits,
    pub(super) retries: RetryPolicy,
    pub(super) redirects: RedirectPolicy,
    proxies: ProxySettings,
    /// The latest one, with the settings that it was built for.
    transport: Mutex<Option<(OwnedTlsSettings, HttpTransport)>>,
}

impl HttpClient {
    /// A client with the default limits, without retries and redirects, and with the proxies of the
    /// process's environment. `system` is the name of the outside system in errors, such as
    /// `"token service"`; use that of
    /// [`Blueprint::outside_system`](crate::Blueprint::outside_system).
    pub fn new(system: &'static str) -> Self {
        Self {
            system,
            limits: HttpLimits::default(),
            retries: RetryPolicy::default(),
            redirects: RedirectPolicy::default(),
            proxies: ProxySettings::from_environment(),
            transport: Mutex::new(None),
        }
    }

    /// Replaces the limits on time and size, which each service and request can lower or raise for
    /// itself.
    #[must_use]
    pub fn with_limits(self, limits: HttpLimits) -> Self {
        Self { limits, transport: Mutex::new(None), ..self }
    }

    /// Replaces the policy for retries, which are off by default.
    #[must_use]
    pub fn with_retries(self, retries: RetryPolicy) -> Self {
        Self { retries, ..self }
    }

    /// Replaces the policy for redirects, which are off by default.
    #[must_use]
    pub fn with_redirects(self, redirects: RedirectPolicy) -> Self {
        Self { redirects, ..self }
    }

    /// Replaces the proxies, which are those of the process's environment by default.
    #[must_use]
    pub fn with_proxies(self, proxies: ProxySettings) -> Self {
        Self { proxies, transport: Mutex::new(None), ..self }
    }

    /// The proxies that this client uses.
    pub(super) fn proxies(&self) -> &ProxySettings {
        &self.proxies
    }

    /// The connections for these settings: the existing ones, unless the settings have changed.
    pub(super) fn transport_for(
        &self,
        settings: &TlsSettings<'_>,
    ) -> Result<HttpTransport, TlsSettingsError> {
        let mut latest = self.transport.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((kept_for, transport)) = latest.as_ref()
            && kept_for.is_same_as(settings)
        {
            return Ok(transport.clone());
        }
        let transport = HttpTransport::new(settings, &self.proxies, &self.limits)?;
        *latest = Some((OwnedTlsSettings::copy_of(settings), transport.clone()));
        Ok(transport)
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient")
            .field("system", &self.system)
            .field("limits", &self.limits)
            .field("retries", &self.retries)
            .field("redirects", &self.redirects)
            .field("proxies", &self.proxies)
            .finish_non_exhaustive()
    }
}
