//! [`AccountLibrary`]: sets of existing accounts that clients check out for a while.
//!
//! A set names accounts of an outside system. A client that checks one out receives its password, and
//! nobody else can have the account until it is checked in. A check-out has a lease: when it ends, the
//! account is checked in by itself. At every check-in the password is rotated, so whoever had the
//! account can't use it any more.
//!
//! The engine says how a password is set ([`SetPassword::set_password`]); everything else follows
//! from the declaration:
//!
//! | path | what it does |
//! |---|---|
//! | the set's own, such as `library/{name..}` | creates, changes, reads, deletes and lists the sets |
//! | [`CHECK_OUT_PATH`](AccountLibrary::CHECK_OUT_PATH) | checks out an account that nobody has, with a lease |
//! | [`CHECK_IN_PATH`](AccountLibrary::CHECK_IN_PATH) | checks in accounts that the same client checked out |
//! | [`FORCED_CHECK_IN_PATH`](AccountLibrary::FORCED_CHECK_IN_PATH) | checks in accounts of any client |
//! | [`STATUS_PATH`](AccountLibrary::STATUS_PATH) | shows which accounts are checked out, and by whom |
//!
//! # What is guaranteed
//!
//! - An account is never lent twice: there is one record for each account, and it is changed on the
//!   precondition that nobody else changed it.
//! - An account is lent again only after its password was rotated. A new password is stored, under the
//!   seal, before the outside system is called. If the process dies in between or the response is lost,
//!   the same password is set once more: when the lease is revoked, when the client repeats the
//!   check-in, or when somebody needs the account.
//! - No account stays lent. The unique name of the check-out is stored with it, so that the SDK
//!   finds it if the host never wrote the lease. If the host has lost the lease, the account can be
//!   checked out again after the time at which its longest possible lease has ended.
//!
//! The engine can't know the passwords that accounts have at first. So it rotates the password of an
//! account before it is checked out for the first time. A set that has accounts checked out can't be
//! deleted, and an account that is checked out can't be removed from its set.
//!
//! ```
//! use strongroom_sdk::account_library::{AccountLibrary, LibraryFields};
//! use strongroom_sdk::*;
//!
//! /// Access to the directory.
//! #[derive(Document)]
//! #[document(path = "config", seal_wrap)]
//! struct Config {
//!     /// URL of the directory.
//!     #[field(required)]
//!     url: BaseUrl,
//! }
//!
//! /// Accounts that can be checked out.
//! #[derive(Document)]
//! #[document(path = "library/{name..}")]
//! struct AccountSet {
//!     #[field(embed)]
//!     library: LibraryFields,
//! }
//!
//! struct DirectoryLibrary;
//!
//! impl SetPassword for DirectoryLibrary {
//!     type Config = Config;
//!
//!     async fn set_password<R: Sync>(&self, change: &PasswordChange<'_, Config, R>) -> Result<(), Error> {
//!         directory::set_password(change.config, change.account, change.new).await
//!     }
//! }
//!
//! impl AccountLibrary for DirectoryLibrary {
//!     const KIND: &'static str = "library";
//!     const CHECK_OUT_PATH: &'static str = "library/{name..}/check-out";
//!     const CHECK_IN_PATH: &'static str = "library/{name..}/check-in";
//!     const FORCED_CHECK_IN_PATH: &'static str = "library/manage/{name..}/check-in";
//!     const STATUS_PATH: &'static str = "library/{name..}/status";
//!     type Set = AccountSet;
//!
//!     fn settings(set: &AccountSet) -> &LibraryFields {
//!         &set.library
//!     }
//! }
//!
//! fn blueprint() -> Blueprint {
//!     let engine = Blueprint::new("directory", "1.0.0").document::<Config>();
//!     engine.account_library(DirectoryLibrary)
//! }
//! # fn main() { drop(blueprint()) }
//! # mod directory {
//! #     use super::*;
//! #     pub async fn set_password(_: &Config, _: &str, _: &Secret<String>) -> Result<(), Error> { Ok(()) }
//! # }
//! ```

mod account_pool;
mod account_record;
mod account_store;
mod check_out;
mod library_fields;
mod set_actions;
mod set_document;

use std::sync::Arc;

pub use library_fields::LibraryFields;
use strongroom_schema::pattern::RoutePattern;

use self::account_pool::AccountPool;
use self::account_store::LIBRARY_BUCKET;
use self::check_out::CheckOut;
use self::set_actions::{CheckInInput, SetName};
use self::set_document::SetFollower;
use crate::blueprint::RouteTarget;
use crate::document::{Document, storage_key};
use crate::document_hooks::DocumentHooks;
use crate::followed_document::FollowedDocument;
use crate::{Context, SetPassword};

/// Accounts of an outside system that clients check out. See the [module](self).
pub trait AccountLibrary: SetPassword {
    /// The name of the kind of lease, as [`Credential::KIND`](crate::Credential::KIND). It must not
    /// change while leases of it exist.
    const KIND: &'static str;
    /// The path at which an account is checked out. Like the other paths it has one capture, `name`,
    /// which names the set.
    const CHECK_OUT_PATH: &'static str;
    /// The path at which clients check in accounts that they checked out.
    const CHECK_IN_PATH: &'static str;
    /// The path at which accounts are checked in whoever checked them out. Only operators should be
    /// allowed to use it.
    const FORCED_CHECK_IN_PATH: &'static str;
    /// The path that shows which accounts are checked out.
    const STATUS_PATH: &'static str;

    /// The document of a set, at a path with one capture, `name`. It embeds [`LibraryFields`].
    type Set: DocumentHooks;

    /// The fields of a set.
    fn settings(set: &Self::Set) -> &LibraryFields;
}

impl crate::Blueprint {
    /// Adds accounts that clients check out: the documents of their sets, and the paths that check
    /// accounts out and in and show their states.
    #[must_use]
    pub fn account_library<L: AccountLibrary>(self, library: L) -> Self {
        const {
            let actions = [L::CHECK_IN_PATH, L::FORCED_CHECK_IN_PATH, L::STATUS_PATH];
            assert!(
                has_name_only(L::CHECK_OUT_PATH)
                    && has_name_only(<L::Set as Document>::PATH)
                    && are_named_only(&actions),
                "the paths of a library have one capture, `name`, in any of its forms"
            );
        }
        let pool = AccountPool::new(library);
        let (status, own, forced) = (pool.clone(), pool.clone(), pool.clone());
        let read_status = move |context: Context, input: SetName| {
            set_actions::read_status(status.clone(), context, input)
        };
        let check_in = move |context: Context, input: CheckInInput| {
            set_actions::check_in(own.clone(), context, input, false)
        };
        let force_check_in = move |context: Context, input: CheckInInput| {
            set_actions::check_in(forced.clone(), context, input, true)
        };
        let sets =
            RouteTarget::Document(Arc::new(FollowedDocument::new(SetFollower(pool.clone()))));
        // The paths with more segments come first: the names of sets may have slashes.
        self.write(L::FORCED_CHECK_IN_PATH, FORCED_CHECK_IN_HELP, force_check_in)
            .credential(CheckOut(pool))
            .write(L::CHECK_IN_PATH, CHECK_IN_HELP, check_in)
            .read(L::STATUS_PATH, STATUS_HELP, read_status)
            .push_document_route::<L::Set>(sets)
            .stores_sealed_records(LIBRARY_BUCKET)
    }
}

/// The storage key of a set.
fn set_key<L: AccountLibrary>(name: &str) -> String {
    storage_key::<L::Set>(&RoutePattern::new(L::Set::PATH).storage_key(&[name]))
}

const fn are_named_only(paths: &[&str]) -> bool {
    let mut rest = paths;
    while let [path, after @ ..] = rest {
        if !has_name_only(path) {
            return false;
        }
        rest = after;
    }
    true
}

/// Whether a path has one capture, and that is `name` in any form.
const fn has_name_only(path: &str) -> bool {
    let (mut rest, mut captures, mut named) = (path.as_bytes(), 0, 0);
    while let [byte, after @ ..] = rest {
        if *byte == b'{' {
            captures += 1;
            if let [b'n', b'a', b'm', b'e', b'}' | b'@' | b'.', ..] = after {
                named += 1;
            }
        }
        rest = after;
    }
    captures == 1 && named == 1
}

const CHECK_IN_HELP: &str = "Checks in accounts of the set that the caller has checked out.";
const FORCED_CHECK_IN_HELP: &str =
    "Checks in accounts of the set, whoever has checked them out. For operators.";
const STATUS_HELP: &str = "Shows which accounts of the set are checked out, and by whom.";
