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
        .help("Stores versions of arbitrary secrets, encrypted at rest.")
        .internal_document::<config::Config>()
        .read("config", "Reads the settings of the mount.", config::read)
        .write("config", "Changes the settings of the mount.", config::write)
        .resource(
            "data/{path..}",
            "Reads, writes, patches or deletes a secret. Each write creates a new version, a read \
             returns the latest or the requested version, and a delete deletes the latest.",
            data,
        )
        .read(
            "subkeys/{path..}",
            "Returns the structure of a secret's version, without its values.",
            data::subkeys,
        )
        .write(
            "delete/{path..}",
            "Deletes versions; they can be undeleted.",
            delete_undelete_destroy::delete,
        )
        .write("undelete/{path..}", "Undeletes versions.", delete_undelete_destroy::undelete)
        .write(
            "destroy/{path..}",
            "Removes the data of versions permanently.",
            delete_undelete_destroy::destroy,
        )
        .resource(
            "metadata/{path..}",
            "Reads or changes the settings and metadata of a secret. A delete removes the secret \
             with all its versions.",
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
const UPGRADING_MESSAGE: &str = "Upgrading from non-versioned to versioned data: requests \
                                 fail until the upgrade is complete";

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
