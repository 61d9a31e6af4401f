//! Write a secrets engine or an auth method once. It runs linked into the server, as a plug-in
//! process of Strongroom, and as a plug-in process of HashiCorp Vault or OpenBao. This is a complete
//! engine:
//!
//! ```no_run
//! use std::process::ExitCode;
//! use strongroom_sdk::*;
//!
//! /// The address of the service, and the key for it.
//! #[derive(Document)]
//! #[document(path = "config", seal_wrap)]
//! struct Config {
//!     /// Base URL of the service.
//!     #[field(required)]
//!     url: BaseUrl,
//!     /// API key of the service. Never shown.
//!     #[field(required)]
//!     key: Secret<String>,
//! }
//!
//! /// The permissions and the lifetime of a token.
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
//! /// What the client receives, once.
//! #[derive(ResponseData)]
//! struct Token {
//!     token: Secret<String>,
//! }
//!
//! /// What is stored with the lease. A secret here doesn't compile.
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
//!     const HELP: &'static str = "Issues a token with the permissions of the role.";
//!     type Config = Config;
//!     type Role = Role;
//!     type Input = ();
//!     type Response = Token;
//!     type Receipt = TokenId;
//!     type Renewal = NotRenewable;
//!     type Undo = ByName;
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
//! }
//!
//! impl UndoByName for Tokens {
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
//! `service` stands for three calls to the API of an outside system; the documentation of `http`
//! shows them, and `engines/api-token` a whole engine with them. Everything else follows from the declarations: create, read, update, delete
//! and list of both documents, existence checks, special paths, help, leases, and the guarantee
//! that a crash orphans no token.
//!
//! # Scope
//!
//! The SDK gives an engine everything it may use of the server: requests, storage, a clock,
//! randomness and a few queries to the server. It implements the plug-in protocol and hides it. It
//! contains no template language, and gives no access to tokens, policies or other mounts.
//!
//! It is for authors only. What the SDK and a host have in common is in crates of its own, which
//! authors don't depend on: `strongroom-engine` (the trait through which the core sees every
//! engine), `strongroom-engine-wire` (that trait over the plug-in protocol) and `strongroom-schema`
//! (declared paths and fields). The SDK re-exports by name what authors need of them.
//!
//! # The modules, in reading order
//!
//! The root of the crate has what most engines use. The modules document how it is used, and have
//! what few engines need:
//!
//! - [`blueprint`]: [`Blueprint`], an engine as a list of declarations; [`VersionedEngine`] holds
//!   several, and a mount option selects one
//! - [`document`]: [`Document`], a typed object that operators write and the engine stores
//! - [`document_hooks`]: code that runs when a client writes, reads or deletes a document
//! - [`document_list`]: the names of a collection in pages, and its documents one after the other
//! - [`document_part`]: paths for single fields of a document
//! - [`credential`]: [`Credential`], a leased credential that an outside system issues and revokes
//! - [`login`]: [`Login`], how clients log in at an auth method
//! - `login_attestation` (feature `http`): logins that an outside authority decides
//! - [`durable_action`]: actions that change an outside system and then a document, and survive a
//!   crash between the two, such as the rotation of the engine's own password
//! - [`root_password`]: the rotation of the password with which the engine itself logs in
//! - [`dynamic_account`]: accounts with a password that exist as long as their leases
//! - [`static_credential`]: existing accounts whose passwords are rotated by period or schedule
//! - [`account_library`]: existing accounts that clients check out for a while
//! - [`action`]: paths that do something other than storing a document or issuing a credential
//! - [`resource`]: objects that an engine stores in its own way, with their existence check
//! - [`records`]: storage for such objects: byte strings under keys that no client can name
//! - `lookup` (feature `lookup`, on by default): secrets that are found again without being stored
//! - `totp` (feature `totp`): time-based one-time passwords
//! - [`field`]: field kinds, which parse every form in which clients send a value; the attributes of
//!   fields are in the book, `docs/src/reference/derive-attributes.md`
//! - `http` (feature `http`, on by default): an HTTP client for outside systems, whose errors say
//!   whether a call may have taken effect
//! - `ldap` (feature `ldap`): a client of LDAP directories
//! - [`lifecycle`]: work at the start, periodically, in the background and at the end
//! - [`intent`]: how orphaned credentials are prevented
//! - [`engine`]: the underlying trait, with its request and response, for engines that a blueprint
//!   can't declare
//! - [`serve`](serve()) (feature `serve`, on by default): the engine as a plug-in process
//! - `testing` and `contract` (feature `testing`): a test host, and checks that every engine must
//!   pass
//!
//! # What doesn't compile
//!
//! | mistake | why |
//! |---|---|
//! | a create without an existence check | only a document, free-form documents or a [`Resource`] can be created, and a resource is constructed from its existence check |
//! | a lost update | records have no plain write: [`records::RecordStore::change`] reads the record and commits on the precondition that it hasn't changed |
//! | an untyped map, or a number of the wrong type | fields must be of a [field kind](field::Field) |
//! | a secret printed, cloned, compared or serialised | [`Secret`] implements none of these traits; only derived responses and documents write one |
//! | a secret in the lease | the fields of a [`Receipt`] must be [`LeaseSafe`](field::LeaseSafe), and none of their names may suggest a secret |
//! | a secret in a plain text | a text whose name is or ends with `password`, `token`, `key`, `secret` or a similar word must be a [`Secret`], or be marked `#[field(public)]` |
//! | a credential without `revoke`, `undo` or a choice on renewal | [`Credential`] requires all three |
//! | a secret without a lease | [`Response::data`] takes no data with a [`Secret`]; [`Response::unleased_secret`] says that there is no lease |
//! | a lease without a credential | an action returns a [`Response`], which can't carry a lease |
//! | a guessable name | only the SDK can create a [`CredentialName`] |
//! | a foreign error passed on unchanged | no error of another library converts into [`Error`]: the engine must say whether the user or the engine is at fault |
//!
//! Each row has a test case in `tests/compile_fail`, together with the compiler's message.
//!
//! # What is refused when it runs
//!
//! Mistakes that the compiler can't see are refused when the engine is opened, or by an internal
//! error that names the declaration that is missing; `contract::check` finds both.
//!
//! | mistake | what happens |
//! |---|---|
//! | paths that hide each other, documents of two types under one key, names that a path of the same collection doesn't take | the engine can't be opened |
//! | a document that a credential requires and that isn't declared | the engine can't be opened |
//! | another document that is used and not declared | an internal error of [`document::DocumentStore`]; see [`Blueprint::internal_document`] for the engine's own state |
//! | an action that creates a document, although its path has no existence check | an internal error of [`document::DocumentStore`]; declare a [`Resource`] |
//!
//! # Add an engine
//!
//! 1. Create a crate in `engines/` whose only dependency on this project is `strongroom-sdk`. Add
//!    it to the members and the dependencies of the workspace's `Cargo.toml`.
//! 2. Declare its documents: what an operator configures ([`Document`], usually `config` and
//!    `roles/{name}`). Documentation comments become the help, so each field needs one.
//! 3. Implement its credential ([`Credential`]). Create it under the [`CredentialName`] of the
//!    request, and put into the receipt what identifies it for revocation. If the outside system
//!    has an expiry of its own, set it to [`IssueRequest::lasts_for`], and report a shorter one
//!    with [`IssuedCredential::ends_within`]. Call the outside system with `http`, whose errors are
//!    right for that; with another client, return [`Error::unanswered`] whenever the outside system
//!    may have carried out a call that failed.
//! 4. Write `pub fn blueprint() -> Blueprint`, and a one-line `main` that calls `serve`.
//! 5. Write tests: `contract::check` in a few lines, then `testing::Harness` against a stand-in for
//!    the outside system: unreachable, slow, rejecting calls, returning invalid responses, and with
//!    a crash at each step.
//! 6. Write a page in `docs/src/engines`: a guide, the API, defaults, caveats, errors.
//! 7. To link the engine into the server, add a line to `crates/server/src/plugins.rs`. To run it
//!    as a plug-in, put the binary into the server's plug-in folder and register it with
//!    `strongroom plugin register`.
extern crate self as strongroom_sdk;

pub mod account_library;
pub mod action;
pub mod blueprint;
mod blueprint_factory;
mod caller;
mod capture_forms;
mod context;
#[cfg(feature = "testing")]
pub mod contract;
pub mod credential;
mod credential_lifetime;
mod credential_name;
mod data_wrapping;
mod declared_documents;
/// Compiles and runs the examples of the book's page.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/src/reference/derive-attributes.md")]
mod derive_attributes_page {}
pub mod document;
pub mod document_hooks;
pub mod document_list;
pub mod document_part;
pub mod durable_action;
pub mod dynamic_account;
pub mod engine;
mod engine_instance;
mod error;
pub mod field;
mod followed_document;
mod free_form;
mod help;
#[cfg(feature = "http")]
pub mod http;
mod intent;
mod internal_documents;
mod key_migration;
#[cfg(feature = "ldap")]
pub mod ldap;
mod lease_fields;
mod leased_credential;
mod legacy_names;
pub mod lifecycle;
mod linked_records;
pub mod login;
#[cfg(feature = "http")]
pub mod login_attestation;
mod login_handler;
#[cfg(feature = "lookup")]
pub mod lookup;
mod migration;
mod outside_call;
mod password_change;
mod pending_issue;
pub mod records;
mod request_context;
mod required_document;
pub mod resource;
pub mod root_password;
mod sealed_record;
mod secret_presence;
#[cfg(feature = "serve")]
mod serve;
pub mod static_credential;
mod stored_document;
mod stored_entries;
#[cfg(feature = "testing")]
pub mod testing;
mod token_fields;
mod user_name;
mod versioned_engine;

#[cfg(feature = "totp")]
pub use strongroom_totp as totp;

pub use action::{Input, Response, ResponseData};
pub use blueprint::Blueprint;
pub use caller::RequestCaller;
pub use context::Context;
pub use credential::{
    ByName, Credential, CredentialName, EitherDocument, EndsAlone, EndsByItself, IssueOperation,
    IssueRequest, IssuedCredential, LeaseConfig, Lifetime, LifetimeFields, NameFormat,
    NotRenewable, Receipt, Renew, RenewInPlace, RenewRequest, Renewable, RenewableInPlace,
    RenewedCredential, RevokeContext, RevokeOutcome, UndoByName, UndoMethod, UndoOutcome,
};
pub use document::Document;
pub use engine::{Operation, RawRequestBody, RawResponse};
pub use error::Error;
pub use field::{
    BaseUrl, CidrList, CommaList, DurationSecs, FieldChoice, HeaderList, Identifier, IntegerList,
    Json, KeyValues, LowerCase, NullableField, PolicyNames, Sealed, SignedDurationSecs, Verbatim,
};
pub use free_form::FreeForm;
pub use login::{
    Identity, Login, LoginError, LoginGrant, LoginRenewal, LoginRequest, VerifiedName,
};
pub use password_change::{PasswordChange, SetPassword};
pub use resource::{Listing, Resource};
#[cfg(feature = "serve")]
pub use serve::serve;
pub use strongroom_engine::TokenTypeSetting;
pub use strongroom_schema::display::PathDisplay;
pub use strongroom_sdk_derive::{Document, FieldChoice, FieldGroup, Input, Receipt, ResponseData};
pub use strongroom_types::path::is_printable;
pub use strongroom_types::{Cidr, Clock, Entropy, Fields, RawObject, Secret, Timestamp, Ttl, Wipe};
pub use token_fields::{LoginTokenType, TokenFields, TokenTerms};
pub use user_name::check_user_name;
pub use versioned_engine::VersionedEngine;

/// The names that derived code uses.
#[doc(hidden)]
pub mod __private {
    pub use serde_json::value::RawValue;
    pub use strongroom_schema::display::FieldDisplay;
    pub use strongroom_schema::field::{
        FieldGroup, check_default, check_listed, count_specs, is_plain_text, join_specs,
        legacy_spec, optional, rename_legacy_fields, required, sent_name, with_default,
    };
    pub use strongroom_types::fields::write_string;

    pub use crate::Fields;
    pub use crate::action::{Input, ResponseData};
    pub use crate::credential::{Receipt, ReceiptWriter};
    pub use crate::document::Document;
    pub use crate::document_hooks::{
        DeleteHook, DocumentHooks, ReadHook, WriteHook, WriteOutcome, run_delete_hook,
        run_read_hook, run_write_hook, write_hook_fields,
    };
    pub use crate::field::{
        Field, FieldChoice, FieldKind, FieldSpec, InvalidInput, InvalidValue, LeaseSafe,
        LegacyName, ObjectWriter,
    };
    pub use crate::secret_presence::{SecrecyOf, SecretPresence};
    pub use crate::{Context, Error, RawObject};
}
