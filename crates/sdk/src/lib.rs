//! Write a secrets engine once. It runs linked into the server, as a plug-in process of Strongroom,
//! and as a plug-in process of HashiCorp Vault or OpenBao. This is one, whole:
//!
//! ```no_run
//! use std::process::ExitCode;
//! use strongroom_sdk::*;
//!
//! /// Where the service is, and the key to it.
//! #[derive(Document)]
//! #[document(path = "config", seal_wrap)]
//! struct Config {
//!     /// Base URL of the service.
//!     #[field(required)]
//!     url: BaseUrl,
//!     /// Opens the service. Never shown.
//!     #[field(required)]
//!     key: Secret<String>,
//! }
//!
//! /// What a token may do, and for how long.
//! #[derive(Document)]
//! #[document(path = "roles/{name}")]
//! struct Role {
//!     /// Permissions of the token.
//!     permissions: CommaList,
//!     /// Lifetime until it is renewed.
//!     #[field(default = "1h")]
//!     ttl: DurationSecs,
//! }
//!
//! /// What the client gets, once.
//! #[derive(ResponseData)]
//! struct Token {
//!     token: Secret<String>,
//! }
//!
//! /// What stays with the lease. A secret here doesn't compile.
//! #[derive(Receipt)]
//! struct TokenId {
//!     id: Identifier,
//! }
//!
//! struct Tokens;
//!
//! impl Credential for Tokens {
//!     const KIND: &'static str = "token";
//!     const PATH: &'static str = "creds/{name}";
//!     const HELP: &'static str = "A new token with the permissions of the role.";
//!     type Config = Config;
//!     type Role = Role;
//!     type Response = Token;
//!     type Receipt = TokenId;
//!     type Renewal = NotRenewable;
//!
//!     fn lifetime(role: &Role) -> Lifetime {
//!         Lifetime { ttl: role.ttl.0, ..Lifetime::default() }
//!     }
//!
//!     async fn issue(&self, order: &IssueRequest<'_, Self>) -> Result<IssuedCredential<Self>, Error> {
//!         let (id, token) = service::create(order.config, &order.name.fit(64), order.role).await?;
//!         Ok(IssuedCredential::new(Token { token }, TokenId { id }))
//!     }
//!
//!     async fn revoke(&self, to: &RevokeContext<'_, Self>, kept: &TokenId) -> Result<RevokeOutcome, Error> {
//!         let there = service::delete(to.config, kept.id.as_str()).await?;
//!         Ok(if there { RevokeOutcome::Now } else { RevokeOutcome::AlreadyGone })
//!     }
//!
//!     async fn undo(&self, to: &RevokeContext<'_, Self>, name: &CredentialName) -> Result<UndoOutcome, Error> {
//!         let there = service::delete_by_name(to.config, &name.fit(64)).await?;
//!         Ok(if there { UndoOutcome::Removed } else { UndoOutcome::NotFound })
//!     }
//! }
//!
//! fn main() -> ExitCode {
//!     let engine = Blueprint::new("tokens", "1.0.0").help("Tokens of the service.");
//!     serve(engine.document::<Config>().document::<Role>().credential(Tokens))
//! }
//! # mod service {
//! #     use super::*;
//! #     pub async fn create(_: &Config, _: &str, _: &Role)
//! #     -> Result<(Identifier, Secret<String>), Error> { Err(Error::user("a stub")) }
//! #     pub async fn delete(_: &Config, _: &str) -> Result<bool, Error> { Ok(true) }
//! #     pub async fn delete_by_name(_: &Config, _: &str) -> Result<bool, Error> { Ok(true) }
//! # }
//! ```
//!
//! `service` is three calls to an outside API; `engines/api-token` has them written out. All the rest
//! follows from the declarations: create, read, update, delete and list of both documents, existence
//! checks, special paths, help, leases, and that no token is orphaned by a crash.
//!
//! # What it is, and what it isn't
//!
//! The SDK is all of the server that an engine sees: requests, storage, time, chance, and a few
//! questions to the server. It knows the wire to a plug-in's host and hides it. It has no HTTP client,
//! no template language and no access to tokens, policies or other mounts; and it is not for auth
//! methods yet. Hosts use it too: [`engine`] is the trait through which the core sees every engine,
//! and `wire` puts a process behind that trait.
//!
//! # The modules, in reading order
//!
//! - [`blueprint`]: [`Blueprint`], an engine as a list of declarations; [`VersionedEngine`], several of them
//!   of which a mount chooses
//! - [`document`]: [`Document`], what operators write and the engine keeps
//! - [`credential`]: [`Credential`], what an outside system issues and takes back
//! - [`action`]: paths that do something else
//! - [`resource`]: things that an engine keeps in its own way, with their existence check
//! - [`records`]: what it keeps of them: bytes under keys that no client can name
//! - [`field`]: field kinds, which read every form that clients use
//! - [`pattern`]: declared paths; [`openapi`]: declared paths as a document
//! - [`intent`]: why no credential is orphaned
//! - [`engine`]: below all that, the trait, the request and the response
//! - `wire` (feature `serve`, on by default): engines over the plug-in wire, in both directions
//! - `testing` and `contract` (feature `testing`): an engine under test
//!
//! # What doesn't compile
//!
//! | mistake | why |
//! |---|---|
//! | a create without an existence check | there is no free create: what can be created is a document, free-form, or a [`Resource`], which is made from its existence check |
//! | an update that gets lost | records have no plain write: [`records::RecordStore::change`] shows what is there and commits on the condition that it still is |
//! | a map of anything, a number taken for another | fields are of [kinds](field::Field) |
//! | a secret printed, copied, compared or serialised | [`Secret`] has no such trait; only derived answers and documents write one |
//! | a secret in the lease | a [`Receipt`]'s fields are [`LeaseSafe`](field::LeaseSafe) |
//! | a credential without `revoke` or `undo`, or without a word on renewal | [`Credential`] asks for all three |
//! | a lease given by hand | an action answers a [`Response`], which has none |
//! | a guessable name | [`CredentialName`] is made by the SDK only |
//! | somebody else's error passed on as one's own | nothing converts into [`Error`]: say whether it is the user's or ours |
//!
//! Each has a case in `tests/compile_fail`, with what the compiler says to it.
//!
//! # Add an engine
//!
//! 1. A crate in `engines/`, with this one as its only dependency of ours. In the workspace's
//!    `Cargo.toml`: a member, and a line among the dependencies.
//! 2. Its documents: what an operator configures ([`Document`], mostly `config` and `roles/{name}`).
//!    Documentation comments become the help; each field needs one.
//! 3. Its credential ([`Credential`]). Give the outside thing the [`CredentialName`] of the order, keep
//!    in the receipt what finds it again, and let the outside system's own expiry, where it has one, be
//!    [`IssueRequest::lasts_for`], and said in [`IssuedCredential::ends_within`]. Say [`Error::unanswered`] whenever it
//!    may have done what was asked.
//! 4. `pub fn blueprint() -> Blueprint`, and a `main` of one line around it.
//! 5. Tests: `contract::check` in a few lines, then `testing::Harness` against something that
//!    behaves like the outside system: down, slow, refusing, answering nonsense, and a crash at each
//!    step.
//! 6. A page in `docs/src/engines`: a guide, the API, defaults, caveats, errors.
//! 7. To link it into the server, a line in `crates/server/src/plugins.rs`. To run it as a plug-in, put
//!    the binary into the server's plug-in folder and `strongroom plugin register` it.
#![deny(missing_docs)]

extern crate self as strongroom_sdk;

pub mod action;
pub mod blueprint;
mod context;
#[cfg(feature = "testing")]
pub mod contract;
pub mod credential;
pub mod document;
pub mod engine;
mod engine_instance;
mod error;
pub mod field;
mod free_form;
mod help;
pub mod intent;
mod key_migration;
mod leased_credential;
mod migration;
pub mod openapi;
mod panics;
pub mod pattern;
pub mod records;
pub mod resource;
#[cfg(feature = "serve")]
mod serve;
mod stored_document;
mod stored_entries;
#[cfg(feature = "testing")]
pub mod testing;
mod versioned_engine;
#[cfg(feature = "serve")]
pub mod wire;

pub use action::{Input, Response, ResponseData};
pub use blueprint::Blueprint;
pub use context::Context;
pub use credential::{
    Credential, CredentialName, IssueRequest, IssuedCredential, Lifetime, NotRenewable, Receipt,
    Renew, RenewRequest, Renewable, RevokeContext, RevokeOutcome, UndoOutcome,
};
pub use document::Document;
pub use error::Error;
pub use field::{BaseUrl, CommaList, DurationSecs, Identifier, KeyValues, NullableField, Verbatim};
pub use free_form::FreeForm;
pub use resource::{Listing, Resource};
#[cfg(feature = "serve")]
pub use serve::serve;
pub use strongroom_sdk_derive::{Document, Input, Receipt, ResponseData};
pub use strongroom_types::path::is_printable;
pub use strongroom_types::{Clock, Entropy, Fields, RawObject, Secret, Timestamp, Ttl, Wipe};
pub use versioned_engine::VersionedEngine;
