//! [`LdapClient`] and [`LdapSession`]: connections to directories, which are kept for later sessions.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use strongroom_types::{Clock, Secret, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::address::{DirectoryAddress, parse_addresses};
use super::attestation::BoundUser;
use super::connection::{LdapConnection, OperationLimit};
use super::error::LdapError;
use super::message::{LdapRequest, PASSWORD_MODIFY};
use super::search::{LdapEntry, LdapSearch};
use crate::Context;
use crate::http::{OwnedTlsSettings, TlsSettings, connect_tcp, connect_tls, system_config};

/// How many sessions of a client there are at the same time. Further ones wait.
const MAX_SESSIONS: usize = 64;
/// How many connections are kept for later sessions, and how long.
const MAX_IDLE_CONNECTIONS: usize = 8;
const MAX_IDLE_TIME: Duration = Duration::from_secs(60);

/// A client of directories, which an engine creates once and keeps. It keeps connections for later
/// sessions, but no address and no credential: each session gets them as they are then. Each session
/// binds anew, so that nothing is done in the name of an earlier one.
pub struct LdapClient {
    sessions: Arc<Semaphore>,
    idle: Mutex<Vec<IdleConnection>>,
}

struct IdleConnection {
    settings: ConnectionSettings,
    connection: LdapConnection,
    since: Timestamp,
}

/// What a connection was made with. Only sessions with the same settings use it again.
struct ConnectionSettings {
    urls: String,
    start_tls: bool,
    tls: OwnedTlsSettings,
}

/// A directory and its time limits, for one session.
#[derive(Clone, Copy, Debug)]
pub struct DirectorySettings<'a> {
    /// One `ldap://` or `ldaps://` URL, or several with commas between them, which are tried in this
    /// order.
    pub urls: &'a str,
    /// Whether a connection to an `ldap://` URL is encrypted before anything else is sent.
    pub start_tls: bool,
    /// The certificates to accept and to present.
    pub tls: TlsSettings<'a>,
    /// How long connecting to one of the addresses may take, with the TLS handshake.
    pub connection_time: Duration,
    /// How long one operation may take.
    pub request_time: Duration,
}

impl Default for LdapClient {
    fn default() -> Self {
        Self { sessions: Arc::new(Semaphore::new(MAX_SESSIONS)), idle: Mutex::default() }
    }
}

impl LdapClient {
    /// A client that has no connections yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a session, with a connection of an earlier one if there is one. The operation's
    /// deadline ends every call of the session.
    ///
    /// # Errors
    ///
    /// [`LdapError::NotConnected`] if no address can be reached, or too many sessions are under way
    /// until the deadline.
    pub async fn session<'a>(
        &'a self,
        context: &Context,
        settings: DirectorySettings<'a>,
    ) -> Result<LdapSession<'a>, LdapError> {
        let clock = context.clock().clone();
        let until = context.deadline().min(clock.now().plus(settings.connection_time));
        let limit = OperationLimit { clock: &*clock, until };
        let permit = limit.run("connect", async {
            let permit = self.sessions.clone().acquire_owned().await;
            permit.map_err(|_| LdapError::NotConnected("the client is closed"))
        });
        let permit = permit.await.map_err(|_| {
            LdapError::NotConnected("too many other requests are waiting for the directory")
        })?;
        let deadline = context.deadline();
        let mut session = LdapSession {
            client: self,
            settings,
            clock,
            deadline,
            connection: None,
            is_reused: false,
            has_identity: false,
            _permit: permit,
        };
        session.connection = self.take_idle(&session);
        session.is_reused = session.connection.is_some();
        if !session.is_reused {
            let clock = session.clock.clone();
            session.connection = Some(settings.connect(&*clock, deadline).await?);
        }
        Ok(session)
    }

    /// Closes connections that no session has used for a minute. For a periodic task.
    pub fn close_expired(&self, now: Timestamp) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|it| now.since(it.since) < MAX_IDLE_TIME && it.since <= now);
    }

    /// Closes all connections that are kept. For `on_close`.
    pub fn close_all(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// How many connections are kept for later sessions.
    pub fn idle_connections(&self) -> usize {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn take_idle(&self, session: &LdapSession<'_>) -> Option<LdapConnection> {
        self.close_expired(session.clock.now());
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // The one used last, which is the least likely to have been closed.
        let at = idle.iter().rposition(|it| it.settings.fits(&session.settings))?;
        Some(idle.remove(at).connection)
    }

    fn keep(&self, connection: LdapConnection, settings: &DirectorySettings<'_>, now: Timestamp) {
        self.close_expired(now);
        let settings = ConnectionSettings::copy_of(settings);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() >= MAX_IDLE_CONNECTIONS {
            idle.remove(0);
        }
        idle.push(IdleConnection { settings, connection, since: now });
    }
}

impl ConnectionSettings {
    fn copy_of(settings: &DirectorySettings<'_>) -> Self {
        let tls = OwnedTlsSettings::copy_of(&settings.tls);
        Self { urls: settings.urls.to_owned(), start_tls: settings.start_tls, tls }
    }

    fn fits(&self, settings: &DirectorySettings<'_>) -> bool {
        self.urls == settings.urls
            && self.start_tls == settings.start_tls
            && self.tls.is_same_as(&settings.tls)
    }
}

/// A connection to a directory for one operation of an engine. [`LdapSession::release`] keeps it for
/// later sessions; if it is dropped, the connection is closed.
pub struct LdapSession<'a> {
    client: &'a LdapClient,
    settings: DirectorySettings<'a>,
    clock: Arc<dyn Clock>,
    deadline: Timestamp,
    connection: Option<LdapConnection>,
    /// Whether the connection is of an earlier session and has carried out nothing yet in this one.
    is_reused: bool,
    /// Whether this session has bound.
    has_identity: bool,
    _permit: OwnedSemaphorePermit,
}

impl LdapSession<'_> {
    /// Binds as an account of the engine's own. Searches are made in its name from then on.
    ///
    /// # Errors
    ///
    /// [`LdapError::Answered`] if the directory refuses. An empty name or password is refused without
    /// asking: directories take it for an anonymous bind, and say yes (RFC 4513, 5.1.2).
    pub async fn bind(&mut self, name: &str, password: &Secret<String>) -> Result<(), LdapError> {
        let password = password.expose_secret().as_str();
        if name.is_empty() || password.is_empty() {
            return Err(LdapError::Answered { operation: "bind", code: UNWILLING_TO_PERFORM });
        }
        self.bind_with(name, password).await
    }

    /// Binds anonymously. Searches see what everybody may see from then on.
    ///
    /// # Errors
    ///
    /// [`LdapError::Answered`] if the directory doesn't permit it.
    pub async fn bind_anonymously(&mut self) -> Result<(), LdapError> {
        self.bind_with("", "").await
    }

    /// Binds as a user, which proves that the client knows the user's password. An empty name or
    /// password proves nothing and is refused without asking.
    ///
    /// # Errors
    ///
    /// As [`LdapSession::bind`].
    pub async fn bind_user(
        &mut self,
        name: &str,
        password: &Secret<String>,
    ) -> Result<BoundUser, LdapError> {
        self.bind(name, password).await?;
        Ok(BoundUser::new())
    }

    /// Searches. Without a bind in this session the search is anonymous.
    ///
    /// # Errors
    ///
    /// [`LdapError::Answered`] if the directory refuses; [`LdapError::NoAnswer`] if it doesn't answer in
    /// time, with a message of more than 1 MiB, or with more than 8 MiB or 20 000 entries in all.
    pub async fn search(&mut self, search: &LdapSearch) -> Result<Vec<LdapEntry>, LdapError> {
        if !self.has_identity {
            self.bind_anonymously().await?;
        }
        let clock = self.clock.clone();
        let limit = self.limit(&*clock);
        self.connection()?.search(limit, search).await
    }

    /// Sets the password of an account: with the Password Modify operation (RFC 3062) if the
    /// directory has it, as `unicodePwd` in Active Directory, or as `userPassword`.
    ///
    /// # Errors
    ///
    /// [`LdapError::Answered`] if the directory refuses.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the password may have been changed.
    pub async fn set_password(
        &mut self,
        name: &str,
        password: &Secret<String>,
    ) -> Result<(), LdapError> {
        let root = LdapSearch::entry("").attributes([EXTENSIONS, CAPABILITIES]);
        let root = self.search(&root).await?.into_iter().next().unwrap_or_default();
        let clock = self.clock.clone();
        let limit = self.limit(&*clock);
        let password = password.expose_secret().as_str();
        let connection = self.connection()?;
        if root.values(CAPABILITIES).any(|it| it == ACTIVE_DIRECTORY) {
            let quoted = Secret::new(format!("\"{password}\""));
            let units = quoted.expose_secret().encode_utf16().flat_map(u16::to_le_bytes);
            let value = Secret::new(units.collect::<Vec<u8>>());
            let (attribute, value) = ("unicodePwd", value.expose_secret().as_slice());
            return connection.call(limit, &LdapRequest::Replace { name, attribute, value }).await;
        }
        if root.values(EXTENSIONS).any(|it| it == PASSWORD_MODIFY) {
            return connection.call(limit, &LdapRequest::PasswordModify { name, password }).await;
        }
        let (attribute, value) = ("userPassword", password.as_bytes());
        connection.call(limit, &LdapRequest::Replace { name, attribute, value }).await
    }

    /// Keeps the connection for later sessions, if it can still be used.
    pub fn release(mut self) {
        let now = self.clock.now();
        if let Some(connection) = self.connection.take().filter(LdapConnection::is_usable) {
            self.client.keep(connection, &self.settings, now);
        }
    }

    async fn bind_with(&mut self, name: &str, password: &str) -> Result<(), LdapError> {
        let clock = self.clock.clone();
        let limit = self.limit(&*clock);
        let request = LdapRequest::Bind { name, password };
        let is_reused = std::mem::take(&mut self.is_reused);
        self.has_identity = true;
        match self.connection()?.call(limit, &request).await {
            // The directory closed the connection while nobody used it.
            Err(LdapError::NoAnswer { is_broken: true, .. }) if is_reused => {
                self.connection = Some(self.settings.connect(&*clock, self.deadline).await?);
                self.connection()?.call(limit, &request).await
            }
            outcome => outcome,
        }
    }

    fn connection(&mut self) -> Result<&mut LdapConnection, LdapError> {
        self.connection.as_mut().ok_or(LdapError::NotConnected("the connection is closed"))
    }

    fn limit<'c>(&self, clock: &'c dyn Clock) -> OperationLimit<'c> {
        let until = self.deadline.min(clock.now().plus(self.settings.request_time));
        OperationLimit { clock, until }
    }
}

impl DirectorySettings<'_> {
    /// Connects to the first address that can be reached.
    async fn connect(
        &self,
        clock: &dyn Clock,
        deadline: Timestamp,
    ) -> Result<LdapConnection, LdapError> {
        let unusable = |_| LdapError::NotConnected("the address can't be used");
        let mut last = LdapError::NotConnected("there is no address");
        for address in parse_addresses(self.urls).map_err(unusable)? {
            let until = clock.now().plus(self.connection_time).min(deadline);
            let limit = OperationLimit { clock, until };
            match self.connect_to(limit, &address).await {
                Ok(connection) => return Ok(connection),
                Err(error) => {
                    tracing::debug!(host = address.host, %error, "a directory can't be reached");
                    last = error;
                }
            }
        }
        Err(last)
    }

    async fn connect_to(
        &self,
        limit: OperationLimit<'_>,
        address: &DirectoryAddress,
    ) -> Result<LdapConnection, LdapError> {
        let tls =
            (address.is_encrypted || self.start_tls).then(|| self.tls_for(address)).transpose()?;
        let stream = limit.run("connect", async {
            let failed = |error: crate::http::ConnectError| LdapError::NotConnected(error.reason());
            let stream = connect_tcp(&address.host, address.port).await.map_err(failed)?;
            match &tls {
                Some((config, name)) if address.is_encrypted => {
                    let stream = Box::new(stream);
                    connect_tls(stream, config.clone(), name.clone()).await.map_err(failed)
                }
                _ => Ok(Box::new(stream) as Box<dyn crate::http::ByteStream>),
            }
        });
        let timed_out = |error| match error {
            LdapError::NoAnswer { .. } => LdapError::NotConnected("connecting timed out"),
            other => other,
        };
        let mut connection = LdapConnection::new(stream.await.map_err(timed_out)?);
        if let Some((config, name)) = tls.filter(|_| !address.is_encrypted) {
            connection.start_tls(limit, config, name).await?;
        }
        Ok(connection)
    }

    fn tls_for(
        &self,
        address: &DirectoryAddress,
    ) -> Result<(Arc<ClientConfig>, ServerName<'static>), LdapError> {
        let tls = &self.tls;
        let failed = |error: crate::http::TlsSettingsError| LdapError::NotConnected(error.reason());
        let config = match tls.client_config().map_err(failed)? {
            Some(config) => config,
            None => system_config().map_err(failed)?,
        };
        let name = match tls.fixed_server_name().map_err(failed)? {
            Some(name) => name,
            None => ServerName::try_from(address.host.clone())
                .map_err(|_| LdapError::NotConnected("the host is no name for TLS"))?,
        };
        Ok((config, name))
    }
}

const UNWILLING_TO_PERFORM: u32 = 53;
/// Attributes of the root entry, which describe the directory.
const EXTENSIONS: &str = "supportedExtension";
const CAPABILITIES: &str = "supportedCapabilities";
const ACTIVE_DIRECTORY: &str = "1.2.840.113556.1.4.800";

impl fmt::Debug for LdapClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LdapClient")
            .field("idle_connections", &self.idle_connections())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for LdapSession<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LdapSession")
            .field("urls", &self.settings.urls)
            .field("has_identity", &self.has_identity)
            .finish_non_exhaustive()
    }
}
