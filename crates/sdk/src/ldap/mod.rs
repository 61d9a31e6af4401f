//! A client of LDAP directories (RFC 4511) for engines and auth methods. Behind the feature `ldap`.
//!
//! It has the operations that engines need: simple binds, searches (also in pages), and setting a
//! password; over TCP, TLS (`ldaps`) or StartTLS. Everything is bounded: the time of each operation,
//! the size of each response, the connections that are open and those that are kept.
//!
//! ```no_run
//! use std::time::Duration;
//! use strongroom_sdk::http::TlsSettings;
//! use strongroom_sdk::ldap::{DirectorySettings, LdapClient, LdapFilter, LdapSearch};
//! use strongroom_sdk::{Context, Error, Secret};
//!
//! async fn mail_of(
//!     client: &LdapClient,
//!     context: &Context,
//!     password: &Secret<String>,
//! ) -> Result<Option<String>, Error> {
//!     let settings = DirectorySettings {
//!         urls: "ldaps://ldap.example.com",
//!         start_tls: false,
//!         tls: TlsSettings::new(),
//!         connection_time: Duration::from_secs(30),
//!         request_time: Duration::from_secs(90),
//!     };
//!     let mut session = client.session(context, settings).await?;
//!     session.bind("cn=reader,dc=example,dc=com", password).await?;
//!     let filter = LdapFilter::equals("uid", "alice");
//!     let search = LdapSearch::below("dc=example,dc=com", filter).attributes(["mail"]);
//!     let found = session.search(&search).await?;
//!     let mail = found.first().and_then(|entry| entry.values("mail").next().map(str::to_owned));
//!     session.release();
//!     Ok(mail)
//! }
//! ```
//!
//! An auth method binds as the user with [`LdapSession::bind_user`]; what it returns gives out the
//! names of the login. Values that clients send are escaped with [`escape_filter_value`] in a filter and
//! with [`escape_dn_value`] in a distinguished name; the two are not the same.
//!
//! - `ber`, `message`: the protocol's encoding
//! - `connection`: one connection
//! - `client`: sessions, and the connections that are kept

mod address;
mod attestation;
mod ber;
mod client;
mod connection;
mod error;
mod filter;
#[cfg(test)]
mod fuzzed;
mod message;
mod name;
mod search;

pub use address::{DirectoryUrlError, check_directory_urls};
pub use attestation::BoundUser;
pub use client::{DirectorySettings, LdapClient, LdapSession};
pub use error::LdapError;
pub use filter::{LdapFilter, LdapFilterError, escape_filter_value};
#[doc(hidden)]
pub use message::read_any_response;
pub use name::{attributes_of_dn, escape_dn_value};
pub use search::{AliasDereference, LdapEntry, LdapSearch};
