//! Issuing, finding, using up and destroying secret ids.

use std::sync::Arc;

use strongroom_sdk::records::{RecordChange, RecordKey};
use strongroom_sdk::{Context, Error, Secret};

use crate::role::Role;
use crate::secret_id_entry::{
    AccessorEntry, ExpiryEntry, SecretIdEntry, SecretIdTerms, decode_entry, encode_entry,
};
use crate::secret_id_keys::{SecretIdKeys, is_accessor};

/// The maximum length of a secret id, in bytes.
pub(crate) const MAX_SECRET_ID_BYTES: usize = 4096;

/// A secret id of a role, as it is looked up: its digest, and where it is stored.
#[derive(Clone, Debug)]
pub(crate) struct SecretIdPlace {
    keys: SecretIdKeys,
    digest: Arc<str>,
}

impl SecretIdPlace {
    /// Where the role stores this secret id. White space around it doesn't count, as at a login.
    ///
    /// # Errors
    ///
    /// An internal error if the role has no key, which doesn't happen.
    pub(crate) fn of(role: &Role, secret_id: &Secret<String>) -> Result<Self, Error> {
        let key = role.lookup_key.as_ref();
        let key = key.ok_or_else(|| Error::internal("the role has no key for secret ids"))?;
        // The generation is in the message too, so a copied entry fits no other role.
        let digest = key.digest(&[&role.generation, secret_id.expose_secret().trim()]);
        Ok(Self { keys: role.secret_id_keys(), digest: digest.as_str().into() })
    }

    pub(crate) fn with_digest(keys: SecretIdKeys, digest: &str) -> Self {
        Self { keys, digest: digest.into() }
    }

    fn record(&self) -> RecordKey {
        self.keys.secret_id(&self.digest)
    }

    /// Adds the removal of all records of an entry. On hosts without batches the secret id itself is
    /// removed first: from then on it is useless.
    fn remove<T>(&self, change: RecordChange<T>, entry: &SecretIdEntry) -> RecordChange<T> {
        self.remove_references(change.delete(self.record()), entry)
    }

    /// Adds the removal of the records that refer to an entry.
    fn remove_references<T>(
        &self,
        change: RecordChange<T>,
        entry: &SecretIdEntry,
    ) -> RecordChange<T> {
        let change = change.delete(self.keys.accessor(&entry.accessor));
        match entry.expires() {
            Some(at) => change.delete(self.keys.expiry(at, &self.digest)),
            None => change,
        }
    }
}

/// Stores a new secret id and returns its entry. One that has expired is replaced.
///
/// # Errors
///
/// A user error if the role has this secret id already.
///
/// # Cancel safety
///
/// Dropping the future doesn't stop a write that has begun. What nobody was told of can be found by
/// its accessor.
pub(crate) async fn issue(
    context: &Context,
    place: SecretIdPlace,
    terms: SecretIdTerms,
) -> Result<SecretIdEntry, Error> {
    let entry = SecretIdEntry::new(context.entropy().uuid(), terms, context.now());
    let now = context.now();
    let (record, generation) = (place.record(), place.keys.generation_record());
    let is_first = context.records().get(&generation).await?.is_none();
    let decide = move |seen: Option<bytes::Bytes>| {
        let (place, entry, generation) = (place.clone(), entry.clone(), generation.clone());
        async move {
            let mut change = RecordChange::returning(entry.clone());
            if is_first {
                change = change.put(generation, bytes::Bytes::new());
            }
            let accessor = encode_entry(&AccessorEntry::new(&place.digest, &entry))?;
            change = change.put(place.keys.accessor(&entry.accessor), accessor);
            if let Some(at) = entry.expires() {
                let expiry = encode_entry(&ExpiryEntry { accessor: entry.accessor.clone() })?;
                change = change.put(place.keys.expiry(at, &place.digest), expiry);
            }
            if let Some(seen) = seen {
                let old: SecretIdEntry = decode_entry(&seen)?;
                if !old.is_expired(now) {
                    return Err(Error::user("SecretID is already registered"));
                }
                change = place.remove_references(change, &old);
            }
            // Last, since this is what makes it usable on hosts without batches.
            Ok(change.put(place.record(), encode_entry(&entry)?))
        }
    };
    context.records().change(record, decide).await
}

/// Finds a secret id that hasn't expired.
///
/// # Errors
///
/// A storage error, or an internal error if the entry can't be read.
pub(crate) async fn find(
    context: &Context,
    place: &SecretIdPlace,
) -> Result<Option<SecretIdEntry>, Error> {
    let Some(stored) = context.records().get(&place.record()).await? else { return Ok(None) };
    let entry: SecretIdEntry = decode_entry(&stored)?;
    Ok(Some(entry).filter(|entry| !entry.is_expired(context.now())))
}

/// Finds where a secret id of the role is stored, by its accessor.
///
/// # Errors
///
/// A storage error, or an internal error if the entry can't be read.
pub(crate) async fn find_by_accessor(
    context: &Context,
    role: &Role,
    accessor: &str,
) -> Result<Option<SecretIdPlace>, Error> {
    if !is_accessor(accessor) {
        return Ok(None);
    }
    let keys = role.secret_id_keys();
    let Some(stored) = context.records().get(&keys.accessor(accessor)).await? else {
        return Ok(None);
    };
    let AccessorEntry { digest, .. } = decode_entry(&stored)?;
    Ok(Some(SecretIdPlace::with_digest(keys, &digest)))
}

/// Uses up one login of a secret id whose uses are counted, if it is still the one that was found
/// and has a use left. The last use removes it. Of logins at the same time, no more succeed than there
/// are uses.
///
/// # Errors
///
/// A storage error: the use may or may not be used up.
///
/// # Cancel safety
///
/// Dropping the future doesn't stop a write that has begun: the use is then used up without a login.
pub(crate) async fn use_up(
    context: &Context,
    place: &SecretIdPlace,
    found: &SecretIdEntry,
) -> Result<bool, Error> {
    let now = context.now();
    let (place, accessor) = (place.clone(), found.accessor.clone());
    let record = place.record();
    let decide = move |seen: Option<bytes::Bytes>| {
        let (place, accessor) = (place.clone(), accessor.clone());
        async move {
            let Some(seen) = seen else { return Ok(RecordChange::returning(false)) };
            let entry: SecretIdEntry = decode_entry(&seen)?;
            if entry.accessor != accessor || entry.is_expired(now) {
                return Ok(RecordChange::returning(false));
            }
            let change = RecordChange::returning(true);
            match entry.num_uses {
                1 => Ok(place.remove(change, &entry)),
                _ => {
                    let left = entry.after_use(now);
                    Ok(change.put(place.record(), encode_entry(&left)?))
                }
            }
        }
    };
    context.records().change(record, decide).await
}

/// Which entry [`destroy`] removes.
#[derive(Clone, Debug)]
pub(crate) enum DestroyTarget {
    /// Any that is stored for the secret id.
    Any,
    /// The one with this accessor.
    Accessor(String),
    /// The one with this accessor, if it has expired.
    Expired(String),
}

/// Removes a secret id and everything that refers to it. If the entry is gone or another one, what
/// still refers to it by the accessor is removed, which a crash may leave on hosts without batches.
///
/// # Errors
///
/// A storage error: it may or may not have been removed.
///
/// # Cancel safety
///
/// Dropping the future doesn't stop a write that has begun.
pub(crate) async fn destroy(
    context: &Context,
    place: SecretIdPlace,
    target: DestroyTarget,
) -> Result<(), Error> {
    let now = context.now();
    let record = place.record();
    let decide = move |seen: Option<bytes::Bytes>| {
        let (place, target) = (place.clone(), target.clone());
        async move {
            let change = RecordChange::returning(());
            let entry = seen.map(|seen| decode_entry::<SecretIdEntry>(&seen)).transpose()?;
            let wanted = match &target {
                DestroyTarget::Any => None,
                DestroyTarget::Accessor(accessor) | DestroyTarget::Expired(accessor) => {
                    Some(accessor)
                }
            };
            let is_wanted = |entry: &SecretIdEntry| wanted.is_none_or(|it| *it == entry.accessor);
            match (entry.filter(is_wanted), &target) {
                (Some(entry), DestroyTarget::Expired(_)) if !entry.is_expired(now) => Ok(change),
                (Some(entry), _) => Ok(place.remove(change, &entry)),
                (None, _) => Ok(match wanted {
                    Some(accessor) => change.delete(place.keys.accessor(accessor)),
                    None => change,
                }),
            }
        }
    };
    context.records().change(record, decide).await
}
