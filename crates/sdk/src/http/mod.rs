//! An HTTP client for outside systems, made for credentials: whatever happens to a call, the error
//! records whether it may have taken effect, and it quotes no secret. Behind the feature `http`,
//! which is on by default.
//!
//! This is a complete credential whose outside system has three calls, with the documents left out
//! that the front page of this crate explains:
//!
//! ```
//! use std::time::Duration;
//!
//! use serde::Deserialize;
//! use serde_json::json;
//! use strongroom_sdk::http::{HttpService, plain_identifier};
//! use strongroom_sdk::*;
//!
//! # #[derive(Document)]
//! # #[document(path = "config", seal_wrap)]
//! # struct Config {
//! #     /// Base URL of the service.
//! #     #[field(required)]
//! #     url: BaseUrl,
//! #     /// API key of the service. Never shown.
//! #     #[field(required)]
//! #     key: Secret<String>,
//! # }
//! #
//! # #[derive(Document)]
//! # #[document(path = "roles/{name}")]
//! # struct Role {
//! #     /// Permissions of the token.
//! #     permissions: CommaList,
//! # }
//! #
//! /// The response for the client, read from that of the service.
//! #[derive(Deserialize, ResponseData)]
//! struct Token {
//!     token: Secret<String>,
//! }
//!
//! /// What is stored with the lease.
//! #[derive(Deserialize, Receipt)]
//! struct TokenId {
//!     #[serde(deserialize_with = "plain_identifier")]
//!     id: Identifier,
//! }
//!
//! /// A token in the list of the service.
//! #[derive(Deserialize)]
//! struct ListedToken {
//!     id: String,
//!     name: String,
//! }
//!
//! impl Config {
//!     /// The service, for one operation.
//!     fn service<'a>(&self, context: &'a Context) -> HttpService<'a> {
//!         context.http(&self.url).bearer_token(&self.key).attempt_time(Tokens::timeout(self))
//!     }
//! }
//!
//! struct Tokens;
//!
//! impl Credential for Tokens {
//!     // KIND, PATH, HELP, Config, Role, Response, Receipt, Renewal and lifetime, and:
//! #     const KIND: &'static str = "token";
//! #     const PATH: &'static str = "creds/{name}";
//! #     const HELP: &'static str = "Issues a token with the permissions of the role.";
//! #     type Config = Config;
//! #     type Role = Role;
//! #     type Input = ();
//! #     type Response = Token;
//! #     type Receipt = TokenId;
//! #     type Renewal = NotRenewable;
//! #     type Undo = ByName;
//! #
//! #     fn lifetime(_: &Role) -> Lifetime {
//! #         Lifetime::default()
//! #     }
//!
//!     fn timeout(_: &Config) -> Duration {
//!         Duration::from_secs(10)
//!     }
//!
//!     async fn issue(&self, order: &IssueRequest<'_, Self>) -> Result<IssuedCredential<Self>, Error> {
//!         let body = json!({ "name": order.name.fit(64), "permissions": order.role.permissions.0 });
//!         let request = order.config.service(order.context).post("/tokens").json(&body);
//!         // Any status but 2xx is an error. It records whether the token may exist, and then the
//!         // SDK undoes it later: also if the response can't be read.
//!         let made = request.send().await?;
//!         Ok(IssuedCredential::new(made.read_json()?, made.read_json()?))
//!     }
//!
//!     async fn revoke(&self, to: &RevokeContext<'_, Self>, kept: &TokenId) -> Result<RevokeOutcome, Error> {
//!         let request = to.config.service(to.context).delete("/tokens/:id");
//!         // This service sends 404 if the token doesn't exist, and only then.
//!         Ok(request.path_value("id", kept.id.as_str()).send_revocation(&[404]).await?)
//!     }
//! }
//!
//! impl UndoByName for Tokens {
//!     async fn undo(&self, to: &RevokeContext<'_, Self>, name: &CredentialName) -> Result<UndoOutcome, Error> {
//!         let (service, name) = (to.config.service(to.context), name.fit(64));
//!         let list = service.get("/tokens").query("name", &name).send().await?;
//!         let mut outcome = UndoOutcome::NotFound;
//!         // A service that ignored the filter would return other people's tokens.
//!         for token in list.read_json_field::<Vec<ListedToken>>("tokens")? {
//!             if token.name == name {
//!                 let request = service.delete("/tokens/:id").path_value("id", &token.id);
//!                 request.send_revocation(&[404]).await?;
//!                 outcome = UndoOutcome::Removed;
//!             }
//!         }
//!         Ok(outcome)
//!     }
//! }
//!
//! let engine = Blueprint::new("tokens", "1.0.0").outside_system("token service").credential(Tokens);
//! ```
//!
//! # The types, in the order in which a call uses them
//!
//! - [`HttpClient`]: connections; an instance has one ([`Context::http`](crate::Context::http)), and an
//!   engine may keep others; with [`HttpLimits`], [`RetryPolicy`], [`RedirectPolicy`]
//!   and [`ProxySettings`]
//! - [`HttpService`]: an outside system at one address, with credentials and [`TlsSettings`], for
//!   one operation
//! - [`HttpRequest`]: path, query and body
//! - [`HttpResponse`]: a response that was read in full
//! - [`HttpError`]: why there is none, and which [`Error`](crate::Error) that is
//! - [`sign_rs256_jwt`] and [`check_rs256_key`]: tokens that the engine signs to authenticate itself
//! - [`plain_identifier`], [`parse_plain_identifier`] and [`serialize_exposed`]: ids and secrets in
//!   JSON
//!
//! # Defaults
//!
//! | what | default | set by |
//! |---|---|---|
//! | connecting, with proxy and TLS | 5 seconds | [`HttpLimits::connect_time`] |
//! | one attempt | 10 seconds | [`HttpService::attempt_time`] |
//! | all attempts | the time of one, and never beyond the deadline of the request | [`RetryPolicy`] |
//! | body of a response | 1 MiB; 16 KiB if its status is not 2xx | [`HttpRequest::max_response_bytes`] |
//! | headers of a response | 100, and 64 KiB in all | [`HttpLimits`] |
//! | retries | none | [`RetryPolicy`] |
//! | redirects | none | [`RedirectPolicy`] |
//! | proxies | those of the environment, as Go's `net/http` reads it | [`ProxySettings`] |
//! | certificates | verified against the machine's authorities | [`TlsSettings`] |
//!
//! Time is counted on the clock of the [`Context`](crate::Context), so a test that advances the
//! clock of its harness sees time-outs at once. Requests are HTTP/1.1 and responses are not
//! decompressed.
//!
//! # Secrets
//!
//! Tokens, passwords, secret headers, request bodies and response bodies are wiped when they are
//! dropped. Copies in the buffers of the HTTP and TLS libraries and of the kernel are not. Errors
//! and `Debug` contain no header, body, query or path value; an engine that wants to pass on a text
//! of the outside system calls [`HttpResponse::quotable_text`]. At level TRACE the libraries log
//! what they send; a plug-in process lets no more than warnings of libraries through.

mod client;
mod connector;
mod error;
mod exchange;
mod headers;
mod jwt;
mod limits;
mod proxy;
mod redirect;
mod request;
mod response;
mod service;
mod tls;
mod transport;
mod values;

pub use client::HttpClient;
#[cfg(feature = "ldap")]
pub(crate) use connector::{ByteStream, ConnectError, connect_tcp, connect_tls};
pub use error::HttpError;
pub use http::Method;
pub use jwt::{check_rs256_key, sign_rs256_jwt};
pub use limits::{HttpLimits, RedirectPolicy, RetryPolicy};
pub use proxy::ProxySettings;
pub use request::HttpRequest;
pub use response::HttpResponse;
pub use service::HttpService;
#[cfg(feature = "ldap")]
pub(crate) use tls::{OwnedTlsSettings, system_config};
pub use tls::{TlsSettings, TlsSettingsError, TlsVersions};
pub use values::{ExposedText, parse_plain_identifier, plain_identifier, serialize_exposed};
