//! Version 2 of the engine.
//!
//! - [`entry`]: the record of a secret: its settings, versions and latest data
//! - [`store`]: where entries and versions are stored, and how they are changed
//! - [`config`]: settings of the mount
//! - [`data`]: `data/` and `subkeys/`
//! - [`delete_undelete_destroy`]: `delete/`, `undelete/` and `destroy/`
//! - [`metadata`]: `metadata/` and `detailed-metadata/`
//! - [`custom_metadata`]: custom metadata and its limits
//! - [`input`] and [`response`]: types of requests and responses

mod config;
mod custom_metadata;
mod data;
mod delete_undelete_destroy;
mod entry;
mod input;
mod metadata;
mod response;
mod store;

use strongroom_sdk::engine::Operation;
use strongroom_sdk::{Blueprint, Resource};

/// The blueprint of version 2, which keeps several versions of each secret.
pub fn versioned_blueprint() -> Blueprint {
    let data = Resource::new(store::entry_exists)
        .read(data::read)
        .write(data::write)
        .patch(data::patch)
        .delete(data::delete);
    let metadata = Resource::new(store::entry_exists)
        .read(metadata::read)
        .write(metadata::write)
        .patch(metadata::patch)
        .delete(metadata::delete)
        .list(metadata::list);
    Blueprint::new("kv", env!("CARGO_PKG_VERSION"))
        .help("Keeps versions of arbitrary secrets, encrypted at rest.")
        .read("config", "Settings for all entries of the mount.", config::read)
        .write("config", "Settings for all entries of the mount.", config::write)
        .resource(
            "data/{path..}",
            "A secret: each write makes a new version, a read gives the latest or the one asked \
             for, and a delete hides the latest until it is undeleted.",
            data,
        )
        .read(
            "subkeys/{path..}",
            "The names in a version of a secret, without its values.",
            data::subkeys,
        )
        .write(
            "delete/{path..}",
            "Hides versions until they are undeleted.",
            delete_undelete_destroy::delete,
        )
        .write(
            "undelete/{path..}",
            "Shows deleted versions again.",
            delete_undelete_destroy::undelete,
        )
        .write(
            "destroy/{path..}",
            "Removes the data of versions for good.",
            delete_undelete_destroy::destroy,
        )
        .resource(
            "metadata/{path..}",
            "What is known of an entry and its versions, and its settings. A delete removes the \
             entry with all its versions.",
            metadata,
        )
        .list(
            "detailed-metadata/{path..}",
            "Lists entries together with their metadata.",
            metadata::list_detailed,
        )
        .on_unknown_path(unknown_path_hint)
        .migrates_free_form(UPGRADING_MESSAGE, store::migrate_from_version_1)
}

/// Vault's user interface (`isTransientKvMountError`) and plug-ins' test suites search for the text
/// before the colon, and then retry.
const UPGRADING_MESSAGE: &str = "Upgrading from non-versioned to versioned data: requests are answered again \
                         as soon as that is done";

/// An error text for clients that use the paths of version 1 on this mount.
fn unknown_path_hint(operation: Operation, path: &str) -> Option<String> {
    let root = path.trim_end_matches('/');
    if operation != Operation::List
        && matches!(root, "data" | "metadata" | "delete" | "undelete" | "destroy")
    {
        let text = "Non-listing operations on the root of a K/V v2 mount are not supported.";
        return Some(text.to_owned());
    }
    let command = match operation {
        Operation::Read => "get",
        Operation::Create | Operation::Update => "put",
        Operation::Patch => "patch",
        Operation::Delete => "delete",
        Operation::List => "list",
        _ => return None,
    };
    // Ansible's `community.hashi_vault` searches for the text before the colon.
    Some(format!(
        "Invalid path for a versioned K/V secrets engine: its secrets are below data/ and metadata/; \
         the command 'strongroom kv {command}' finds them by their names"
    ))
}
