//! Write a secrets engine.
#![deny(missing_docs)]

extern crate self as strongroom_sdk;

pub mod action;
mod backend;
pub mod blueprint;
mod context;
pub mod credential;
pub mod document;
pub mod engine;
mod error;
pub mod field;
mod free_form;
mod help;
pub mod intent;
mod leased;
mod panics;
pub mod pattern;
#[cfg(feature = "serve")]
mod serve;
mod stored;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "serve")]
pub mod wire;

pub use action::{Answer, Input, Reply};
pub use blueprint::Blueprint;
pub use context::Context;
pub use credential::{
    Credential, CredentialName, Extension, Issued, Lifetime, NotRenewable, Order, Outside, Receipt,
    Renew, Renewable, Revoked, Undone,
};
pub use document::Document;
pub use error::Error;
pub use field::{BaseUrl, CommaList, DurationSecs, Identifier, KeyValues};
pub use free_form::FreeForm;
#[cfg(feature = "serve")]
pub use serve::serve;
pub use strongroom_sdk_derive::{Answer, Document, Input, Receipt};
pub use strongroom_types::{Clock, Entropy, Fields, RawObject, Secret, Timestamp, Ttl};
