//! [`PolicyStore`]: the policies of a server. All are kept in memory in one immutable table; a
//! change is written to disk first and then replaces the table.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use strongroom_barrier::{Batch, View};
use strongroom_types::serial_queue::{SerialQueue, SerialQueueError};
use strongroom_types::{ErrorKind, PolicyName, chain};

use crate::acl::Acl;
use crate::built_in::{DEFAULT_POLICY, RESERVED_POLICIES, RESPONSE_WRAPPING_POLICY};
use crate::language::{Policy, PolicyError};

/// The policies of a server, readable without I/O. Cheap to clone. Changes are queued and are
/// written to the store one after the other.
#[derive(Clone, Debug)]
pub struct PolicyStore(Arc<PolicyStoreInner>);

#[derive(Debug)]
struct PolicyStoreInner {
    view: View,
    table: ArcSwap<PolicyTable>,
    queue: SerialQueue,
}

/// An immutable table of policies, replaced by each change.
#[derive(Debug, Default)]
struct PolicyTable {
    policies: BTreeMap<PolicyName, Arc<Policy>>,
}

/// The stored form of a policy.
#[derive(Serialize, Deserialize)]
struct PolicyRecord {
    v: u8,
    text: String,
}

/// Why a policy could not be read or changed. [`PolicyStoreError::kind`] gives the category that
/// determines the HTTP status code.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyStoreError {
    /// The text isn't a valid policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The name is one of [`RESERVED_POLICIES`]; the values are the operation and the name.
    #[error("cannot {0} {1:?} policy")]
    Reserved(&'static str, String),
    /// The policy `default` can be changed but not deleted.
    #[error("cannot delete default policy")]
    DefaultPolicy,
    /// Too many changes are waiting, or the change was interrupted by a panic or the shutdown of
    /// the process.
    #[error(transparent)]
    Queue(#[from] SerialQueueError),
    /// An error of the barrier or the store below it.
    #[error(transparent)]
    Barrier(#[from] strongroom_barrier::Error),
}

impl PolicyStoreError {
    /// The category of the failure, which determines the HTTP status code. A change refused by the
    /// full queue is `Unavailable`.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Policy(PolicyError::Syntax(strongroom_hcl::ParseError::TooLong { .. })) => {
                ErrorKind::TooLarge
            }
            Self::Policy(_) | Self::Reserved(..) | Self::DefaultPolicy => ErrorKind::Invalid,
            Self::Queue(_) => ErrorKind::Unavailable,
            Self::Barrier(error) => error.kind(),
        }
    }
}

/// Maximum number of changes in the queue, including the running one.
const MAX_WAITING: usize = 64;

impl PolicyStore {
    /// Adds the policy `default` of a new server to the batch that initialises it. Its text is
    /// [`DEFAULT_POLICY`].
    pub fn add_initial_policies(view: &View, batch: &mut Batch) {
        let record = PolicyRecord { v: 1, text: DEFAULT_POLICY.to_owned() };
        view.put_json(batch, PolicyName::default_policy().as_str(), &record);
    }

    /// Loads all policies into memory. A policy that can't be parsed is kept and refuses
    /// everything; one with an invalid name is ignored. Both are logged.
    ///
    /// # Errors
    ///
    /// If a record can't be read, or the error of the barrier.
    pub async fn load(view: View) -> Result<Self, PolicyStoreError> {
        let mut policies = BTreeMap::new();
        let mut pages = view.key_pages("");
        while let Some(keys) = pages.next_page().await? {
            for key in keys {
                let Some(record) = view.get_json::<PolicyRecord>(&key).await? else { continue };
                let Some(name) = PolicyName::from_stored(&key) else {
                    tracing::error!(policy = ?key, "a stored policy has a name that no policy can have; it is ignored");
                    continue;
                };
                let policy = Policy::parse(&record.text).unwrap_or_else(|error| {
                    tracing::error!(policy = %name, error = %chain(&error), "a stored policy can't be read; its tokens may do nothing");
                    Policy::from_unreadable(record.text)
                });
                policies.insert(name, Arc::new(policy));
            }
        }
        // Built in, and therefore not stored.
        let wrapping = Policy::parse(RESPONSE_WRAPPING_POLICY)?;
        policies.insert(PolicyName::response_wrapping(), Arc::new(wrapping));
        Ok(Self(Arc::new(PolicyStoreInner {
            view,
            table: ArcSwap::from_pointee(PolicyTable { policies }),
            queue: SerialQueue::new(MAX_WAITING),
        })))
    }

    /// The policy with this name; `None` if there is none, and for `root`, which has no text.
    pub fn get(&self, name: &PolicyName) -> Option<Arc<Policy>> {
        self.0.table.load().policies.get(name).cloned()
    }

    /// Whether a policy with this name exists, or the name is `root`. It is looked up in memory,
    /// without reading the store.
    pub fn contains(&self, name: &PolicyName) -> bool {
        name.is_root() || self.0.table.load().policies.contains_key(name)
    }

    /// The names that can be assigned to tokens, sorted: all stored policies and `root`. The policy
    /// `response-wrapping` is left out.
    pub fn names(&self) -> Vec<PolicyName> {
        let table = self.0.table.load();
        let given = table.policies.keys().filter(|name| !name.is_response_wrapping());
        let mut names: Vec<_> = given.cloned().collect();
        names.push(PolicyName::root());
        names.sort_unstable();
        names
    }

    /// Parses and writes a policy; it applies to requests as soon as this returns.
    ///
    /// # Errors
    ///
    /// If the text is invalid, the name is reserved, or too many changes are waiting, or the error
    /// of the barrier.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future once it has been polled doesn't stop the change.
    pub async fn put(&self, name: PolicyName, text: &str) -> Result<(), PolicyStoreError> {
        if RESERVED_POLICIES.contains(&name.as_str()) {
            return Err(PolicyStoreError::Reserved("update", name.to_string()));
        }
        let policy = Arc::new(Policy::parse(text)?);
        self.commit_change(move |view, batch, policies| {
            let record = PolicyRecord { v: 1, text: policy.text.clone() };
            view.put_json(batch, name.as_str(), &record);
            policies.insert(name, policy);
        })
        .await
    }

    /// Deletes a policy; does nothing if it doesn't exist.
    ///
    /// # Errors
    ///
    /// If the name is reserved or `default`, or too many changes are waiting, or the error of the
    /// barrier.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future once it has been polled doesn't stop the change.
    pub async fn delete(&self, name: PolicyName) -> Result<(), PolicyStoreError> {
        if RESERVED_POLICIES.contains(&name.as_str()) {
            return Err(PolicyStoreError::Reserved("delete", name.to_string()));
        }
        if name == PolicyName::default_policy() {
            return Err(PolicyStoreError::DefaultPolicy);
        }
        self.commit_change(move |view, batch, policies| {
            view.delete(batch, name.as_str());
            policies.remove(&name);
        })
        .await
    }

    /// The current policies with these names, as one ACL. A name without a policy grants nothing.
    ///
    /// The ACL refers to the policies in the table and is built for each request. Nothing is cached
    /// by name, because callers choose the names.
    pub fn acl_for(&self, names: &[PolicyName]) -> Acl {
        if names.iter().any(PolicyName::is_root) {
            return Acl::root();
        }
        let table = self.0.table.load();
        Acl::new(names.iter().filter_map(|name| table.policies.get(name).cloned()))
    }

    async fn commit_change(
        &self,
        change: impl FnOnce(&View, &mut Batch, &mut BTreeMap<PolicyName, Arc<Policy>>) + Send + 'static,
    ) -> Result<(), PolicyStoreError> {
        let shared = self.0.clone();
        let work = async move {
            let table = shared.table.load_full();
            let mut policies = table.policies.clone();
            let mut batch = Batch::new();
            change(&shared.view, &mut batch, &mut policies);
            shared.view.commit(batch).await?;
            shared.table.store(Arc::new(PolicyTable { policies }));
            Ok(())
        };
        self.0.queue.run(work).await?
    }
}

#[cfg(test)]
mod tests {
    use strongroom_barrier::{Barrier, testing};
    use strongroom_storage::memory::MemoryStorage;
    use strongroom_types::clock::ManualClock;

    use super::*;
    use crate::{Capability, PathCase};

    async fn new_store() -> (PolicyStore, Barrier) {
        let clock = Arc::new(ManualClock::default());
        let barrier =
            testing::open_barrier(Arc::new(MemoryStorage::new()), clock, |barrier, batch| {
                PolicyStore::add_initial_policies(&barrier.view("p/"), batch);
            })
            .await;
        (PolicyStore::load(barrier.view("p/")).await.unwrap(), barrier)
    }

    fn policy_name(text: &str) -> PolicyName {
        PolicyName::parse(text).unwrap()
    }

    /// A policy of maximum size, in sets that differ by names without a policy. All sets refer to
    /// the same copy of its rules.
    #[tokio::test]
    async fn sr_2026_08_sets_of_policies_copy_no_rules_and_none_is_kept() {
        let (store, _barrier) = new_store().await;
        let rule = |n: usize| format!("path \"secret/{n}\" {{ capabilities = [\"read\"] }}\n");
        let text: String = (0..20_000).map(rule).collect();
        store.put(policy_name("large"), &text).await.unwrap();
        let large = store.get(&policy_name("large")).unwrap();
        let at_rest = Arc::strong_count(&large);
        let mut sets = Vec::new();
        for n in 0..10_000 {
            let acl = store.acl_for(&[
                policy_name("large"),
                policy_name(&format!("unknown-{n}")),
                policy_name("default"),
            ]);
            assert!(acl.allows("secret/19999", Capability::Read, false));
            assert_eq!(acl.bytes_held(), acl_bytes(2), "unknown names cost nothing");
            sets.push(acl);
        }
        assert_eq!(Arc::strong_count(&large), at_rest + sets.len(), "each refers to the one copy");
        drop(sets);
        assert_eq!(Arc::strong_count(&large), at_rest, "no set is kept");
    }

    #[tokio::test]
    async fn cve_2023_5954_checking_policies_keeps_memory_flat() {
        let (store, _barrier) = new_store().await;
        let default = store.get(&PolicyName::default_policy()).unwrap();
        let at_rest = Arc::strong_count(&default);
        for n in 0..1_000_000_u32 {
            // A caller chooses these names through the tokens it creates.
            let known = PolicyName::default_policy();
            let acl = store.acl_for(&[policy_name(&format!("p{n}")), known]);
            assert!(acl.allows("auth/token/lookup-self", Capability::Read, false));
        }
        assert_eq!(Arc::strong_count(&default), at_rest);
    }

    /// Memory in bytes that a set of this many policies holds apart from the policies.
    fn acl_bytes(policies: usize) -> usize {
        policies.next_power_of_two().max(4) * size_of::<Arc<Policy>>()
    }

    #[tokio::test]
    async fn changes_are_durable_and_seen_at_once() {
        let (store, barrier) = new_store().await;
        let names = [policy_name("dev"), policy_name("default")];
        assert!(!store.acl_for(&names).allows("a", Capability::Read, false));
        store.put(policy_name("dev"), r#"path "a" { capabilities = ["read"] }"#).await.unwrap();
        assert!(store.acl_for(&names).allows("a", Capability::Read, false));
        assert!(store.acl_for(&names).allows("auth/token/lookup-self", Capability::Read, false));
        let again = PolicyStore::load(barrier.view("p/")).await.unwrap();
        assert!(again.acl_for(&names).allows("a", Capability::Read, false));
        assert_eq!(
            again.names(),
            [policy_name("default"), policy_name("dev"), policy_name("root")]
        );
        store.delete(policy_name("dev")).await.unwrap();
        assert!(!store.acl_for(&names).allows("a", Capability::Read, false));
        store.delete(policy_name("dev")).await.unwrap();
    }

    #[tokio::test]
    async fn cve_2025_5999_policy_name_is_normalised() {
        let (store, _) = new_store().await;
        for text in ["root", "ROOT", " Root"] {
            let error = store.put(policy_name(text), "").await.unwrap_err();
            assert_eq!(error.to_string(), "cannot update \"root\" policy", "{text:?}");
            assert!(store.acl_for(&[policy_name(text)]).is_root());
        }
        assert_eq!(
            store.delete(policy_name("Root")).await.unwrap_err().to_string(),
            "cannot delete \"root\" policy"
        );
        assert_eq!(
            store.delete(policy_name("Default")).await.unwrap_err().to_string(),
            "cannot delete default policy"
        );
    }

    #[tokio::test]
    async fn the_policy_of_wrapping_tokens_is_hidden_and_fixed() {
        let (store, _) = new_store().await;
        for text in ["response-wrapping", " Response-Wrapping"] {
            let error = store.put(policy_name(text), "").await.unwrap_err();
            assert_eq!(error.to_string(), "cannot update \"response-wrapping\" policy");
            let error = store.delete(policy_name(text)).await.unwrap_err();
            assert_eq!(error.to_string(), "cannot delete \"response-wrapping\" policy");
        }
        assert_eq!(store.names(), [policy_name("default"), policy_name("root")]);
        let acl = store.acl_for(&[PolicyName::response_wrapping()]);
        assert_eq!(
            acl.capabilities("cubbyhole/response", PathCase::Distinct).names(),
            ["create", "read"]
        );
        assert_eq!(acl.capabilities("sys/wrapping/unwrap", PathCase::Distinct).names(), ["update"]);
        assert!(acl.capabilities("sys/wrapping/rewrap", PathCase::Distinct).is_empty());
    }

    #[tokio::test]
    async fn a_refused_policy_changes_nothing() {
        let (store, _) = new_store().await;
        store.put(policy_name("dev"), r#"path "a" { capabilities = ["read"] }"#).await.unwrap();
        assert!(
            store.put(policy_name("dev"), r#"path "a" { capabilities = ["fly"] }"#).await.is_err()
        );
        assert!(store.acl_for(&[policy_name("dev")]).allows("a", Capability::Read, false));
    }

    #[tokio::test]
    async fn the_default_policy_can_be_read_by_its_own_parser() {
        let (store, _) = new_store().await;
        assert!(Policy::parse(DEFAULT_POLICY).unwrap().rules.len() > 10);
        assert!(!store.get(&PolicyName::default_policy()).unwrap().unreadable);
    }

    /// Names are map keys and storage keys, never paths: `..` and slashes can't reach anything
    /// else.
    #[tokio::test]
    async fn cve_2026_105820_and_cve_2026_115365_policy_names_are_opaque() {
        let (store, barrier) = new_store().await;
        let grants = |path: &str| format!("path \"{path}\" {{ capabilities = [\"read\"] }}");
        store.put(policy_name("a"), &grants("a")).await.unwrap();
        let odd = ["..", ".", "../a", "a/..", "./a", "a/", "/a", "x/../a", "a/./b", "../../core/x"];
        for text in odd {
            assert!(
                !store.acl_for(&[policy_name(text)]).allows("a", Capability::Read, false),
                "{text:?}"
            );
            assert!(store.get(&policy_name(text)).is_none(), "{text:?}");
        }
        for (n, text) in odd.into_iter().enumerate() {
            store.put(policy_name(text), &grants(&format!("own/{n}"))).await.unwrap();
        }
        let again = PolicyStore::load(barrier.view("p/")).await.unwrap();
        for store in [&store, &again] {
            for (n, text) in odd.into_iter().enumerate() {
                let acl = store.acl_for(&[policy_name(text)]);
                assert!(acl.allows(&format!("own/{n}"), Capability::Read, false), "{text:?}");
                assert!(!acl.allows("a", Capability::Read, false), "{text:?}");
                assert_eq!(acl.exact_rules().len(), 1, "{text:?} is a policy of its own");
            }
            assert_eq!(store.acl_for(&[policy_name("a")]).exact_rules().len(), 1);
        }
        for text in odd {
            store.delete(policy_name(text)).await.unwrap();
        }
        assert!(
            store.acl_for(&[policy_name("a")]).allows("a", Capability::Read, false),
            "untouched"
        );
        assert_eq!(store.names(), [policy_name("a"), policy_name("default"), policy_name("root")]);
    }

    /// A key that isn't a normalised name must not become one by being normalised.
    #[tokio::test]
    async fn cve_2026_105820_malformed_names_in_the_store_are_ignored() {
        let (_, barrier) = new_store().await;
        let view = barrier.view("p/");
        let mut batch = Batch::new();
        let text = r#"path "*" { capabilities = ["read", "sudo"] }"#.to_owned();
        for key in ["Default", "DEV", "dev\u{200b}", "root ", "Root"] {
            view.put_json(&mut batch, key, &PolicyRecord { v: 1, text: text.clone() });
        }
        barrier.commit(batch).await.unwrap();
        let store = PolicyStore::load(view).await.unwrap();
        assert_eq!(store.names(), [policy_name("default"), policy_name("root")]);
        for known in ["default", "dev"] {
            assert!(
                !store.acl_for(&[policy_name(known)]).allows("x", Capability::Read, false),
                "{known}"
            );
        }
    }

    #[tokio::test]
    async fn a_stored_policy_that_cannot_be_read_doesnt_stop_the_others() {
        let (store, barrier) = new_store().await;
        store.put(policy_name("all"), r#"path "*" { capabilities = ["read"] }"#).await.unwrap();
        let view = barrier.view("p/");
        let mut batch = Batch::new();
        view.put_json(&mut batch, "broken", &PolicyRecord { v: 1, text: "path {".to_owned() });
        barrier.commit(batch).await.unwrap();
        let store = PolicyStore::load(view).await.unwrap();
        assert!(store.acl_for(&[policy_name("all")]).allows("a", Capability::Read, false));
        assert!(!store.acl_for(&[policy_name("all"), policy_name("broken")]).allows(
            "a",
            Capability::Read,
            false
        ));
    }
}
