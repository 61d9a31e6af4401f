//! [`LibraryFields`]: what a set of a library says about its accounts.

use std::collections::BTreeSet;

use crate::records::check_name;
use crate::{CommaList, DurationSecs, FieldGroup, Identifier};

/// The fields of a set of accounts; a document embeds them with `#[field(embed)]`. Names and meaning
/// are those of the library sets of Vault's LDAP engine.
#[derive(Clone, Debug, FieldGroup)]
#[document(validate = validate_library_fields)]
pub struct LibraryFields {
    /// Names of the accounts that can be checked out. An account can be in one set only.
    #[field(required)]
    pub service_account_names: CommaList,
    /// How long an account is checked out, until its lease is renewed.
    #[field(default = "24h")]
    pub ttl: DurationSecs,
    /// How long an account can be checked out at most, with renewals.
    #[field(default = "24h")]
    pub max_ttl: DurationSecs,
    /// Lets every client that may use the check-in path check in accounts of others.
    pub disable_check_in_enforcement: bool,
}

/// The maximum number of accounts of a set.
const MAX_ACCOUNTS: usize = 1000;

/// Names that servers would misread in the data of a response.
const MISREAD_NAMES: [&str; 4] =
    ["error", "http_status_code", "http_raw_body", "http_content_type"];

fn validate_library_fields(fields: &LibraryFields) -> Result<(), String> {
    let names = &fields.service_account_names.0;
    if names.is_empty() || names.len() > MAX_ACCOUNTS {
        return Err(format!("service_account_names must have 1 to {MAX_ACCOUNTS} names"));
    }
    for name in names {
        let is_name = Identifier::parse(name).is_some() && check_name(name).is_ok();
        if !is_name || MISREAD_NAMES.contains(&name.as_str()) {
            return Err(format!("{name:?} can't be the name of an account"));
        }
    }
    if names.iter().collect::<BTreeSet<_>>().len() < names.len() {
        return Err("service_account_names contains a name twice".to_owned());
    }
    let lifetime = crate::Lifetime { ttl: fields.ttl.0, max_ttl: fields.max_ttl.0 };
    lifetime.check()
}
