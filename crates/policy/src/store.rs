//! [`PolicyStore`]: the policies of a server. All are in memory as one immutable table; a change
//! goes to disk first and then swaps the table.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use strongroom_barrier::{Batch, View};
use strongroom_types::turns::{NoTurn, Turns};
use strongroom_types::{ErrorKind, PolicyName};

use crate::acl::Acl;
use crate::built_in::{DEFAULT_POLICY, RESERVED, RESPONSE_WRAPPING_POLICY};
use crate::language::{Policy, PolicyError};

/// The policies of a server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PolicyStore(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    view: View,
    table: ArcSwap<Table>,
    turns: Turns,
    /// Compiled sets, by the names they were compiled from.
    compiled: Cache<Vec<PolicyName>, Compiled>,
}

/// An immutable table of policies. Each change makes a new one with the next number.
#[derive(Debug, Default)]
struct Table {
    number: u64,
    policies: BTreeMap<PolicyName, Arc<Policy>>,
}

#[derive(Clone, Debug)]
struct Compiled {
    table: u64,
    acl: Arc<Acl>,
}

/// What is stored of a policy.
#[derive(Serialize, Deserialize)]
struct Record {
    v: u8,
    text: String,
}

/// Why a policy can't be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The text is no policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// One of those the server gives their meaning.
    #[error("cannot {0} {1:?} policy")]
    Reserved(&'static str, String),
    /// The default policy can be changed, but not removed.
    #[error("cannot delete default policy")]
    Default,
    /// Too many changes at once, or the process is going down.
    #[error(transparent)]
    NoTurn(#[from] NoTurn),
    /// The barrier.
    #[error(transparent)]
    Barrier(#[from] strongroom_barrier::Error),
}

impl StoreError {
    /// The sort of failure.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Policy(PolicyError::Syntax(strongroom_hcl::ParseError::TooLong { .. })) => {
                ErrorKind::TooLarge
            }
            Self::Policy(_) | Self::Reserved(..) | Self::Default => ErrorKind::Invalid,
            Self::NoTurn(_) => ErrorKind::Unavailable,
            Self::Barrier(error) => error.kind(),
        }
    }
}

/// Compiled sets kept in memory.
const COMPILED_SETS: usize = 1024;
/// Changes that may wait for each other.
const WAITING: usize = 64;
const PAGE: usize = 256;

impl PolicyStore {
    /// Adds the policies of a new server to the batch that initialises it.
    pub fn prepare(view: &View, batch: &mut Batch) {
        let record = Record { v: 1, text: DEFAULT_POLICY.to_owned() };
        view.put_json(batch, PolicyName::default_policy().as_str(), &record);
    }

    /// Loads all policies.
    pub async fn load(view: View) -> Result<Self, StoreError> {
        let mut policies = BTreeMap::new();
        let mut after: Option<String> = None;
        loop {
            let names = view.keys("", after.as_deref(), PAGE).await?;
            let full = names.len() == PAGE;
            after = names.last().cloned();
            for key in names {
                let Some(record) = view.get_json::<Record>(&key).await? else { continue };
                let unreadable = strongroom_barrier::Error::Tampered {
                    key: key.clone(),
                    reason: "the stored policy has a name that no policy can have",
                };
                let name = PolicyName::parse(&key).map_err(|_| unreadable)?;
                let policy = Policy::parse(&record.text).unwrap_or_else(|error| {
                    tracing::error!(policy = %name, %error, "a stored policy can't be read; its tokens may do nothing");
                    Policy::unreadable(record.text)
                });
                policies.insert(name, Arc::new(policy));
            }
            if !full {
                break;
            }
        }
        // Of the server's making, and not stored.
        let wrapping = Policy::parse(RESPONSE_WRAPPING_POLICY)?;
        policies.insert(PolicyName::response_wrapping(), Arc::new(wrapping));
        Ok(Self(Arc::new(Shared {
            view,
            table: ArcSwap::from_pointee(Table { number: 1, policies }),
            turns: Turns::new(WAITING),
            compiled: Cache::new(COMPILED_SETS),
        })))
    }

    /// The policy of this name.
    pub fn get(&self, name: &PolicyName) -> Option<Arc<Policy>> {
        self.0.table.load().policies.get(name).cloned()
    }

    /// Whether a token may name it: it is there, or is `root`.
    pub fn knows(&self, name: &PolicyName) -> bool {
        name.is_root() || self.0.table.load().policies.contains_key(name)
    }

    /// All names that tokens can be given, sorted, `root` among them.
    pub fn names(&self) -> Vec<PolicyName> {
        let table = self.0.table.load();
        let given = table.policies.keys().filter(|name| !name.is_response_wrapping());
        let mut names: Vec<_> = given.cloned().collect();
        names.push(PolicyName::root());
        names.sort_unstable();
        names
    }

    /// Writes a policy.
    pub async fn put(&self, name: PolicyName, text: &str) -> Result<(), StoreError> {
        if RESERVED.contains(&name.as_str()) {
            return Err(StoreError::Reserved("update", name.to_string()));
        }
        let policy = Arc::new(Policy::parse(text)?);
        self.change(move |view, batch, policies| {
            let record = Record { v: 1, text: policy.text.clone() };
            view.put_json(batch, name.as_str(), &record);
            policies.insert(name, policy);
        })
        .await
    }

    /// Removes a policy, if it is there.
    pub async fn delete(&self, name: PolicyName) -> Result<(), StoreError> {
        if RESERVED.contains(&name.as_str()) {
            return Err(StoreError::Reserved("delete", name.to_string()));
        }
        if name == PolicyName::default_policy() {
            return Err(StoreError::Default);
        }
        self.change(move |view, batch, policies| {
            view.delete(batch, name.as_str());
            policies.remove(&name);
        })
        .await
    }

    /// What these policies allow together, as they are now. A name without a policy grants nothing.
    pub fn acl(&self, names: &[PolicyName]) -> Arc<Acl> {
        let table = self.0.table.load();
        if let Some(known) = self.0.compiled.get(names)
            && known.table == table.number
        {
            return known.acl;
        }
        let acl = if names.iter().any(PolicyName::is_root) {
            Acl::root()
        } else {
            let policies = names.iter().filter_map(|name| table.policies.get(name));
            Arc::new(Acl::new(policies.map(|policy| &**policy)))
        };
        let compiled = Compiled { table: table.number, acl: acl.clone() };
        self.0.compiled.insert(names.to_vec(), compiled);
        acl
    }

    async fn change(
        &self,
        change: impl FnOnce(&View, &mut Batch, &mut BTreeMap<PolicyName, Arc<Policy>>) + Send + 'static,
    ) -> Result<(), StoreError> {
        let shared = self.0.clone();
        let work = async move {
            let table = shared.table.load_full();
            let mut policies = table.policies.clone();
            let mut batch = Batch::new();
            change(&shared.view, &mut batch, &mut policies);
            shared.view.commit(batch).await?;
            shared.table.store(Arc::new(Table { number: table.number + 1, policies }));
            Ok(())
        };
        self.0.turns.take(work).await?
    }
}

#[cfg(test)]
mod tests {
    use strongroom_barrier::{Barrier, testing};
    use strongroom_storage::memory::Memory;
    use strongroom_types::clock::ManualClock;

    use super::*;
    use crate::Capability;

    async fn store() -> (PolicyStore, Barrier) {
        let clock = Arc::new(ManualClock::default());
        let barrier = testing::open(Arc::new(Memory::new()), clock, |barrier, batch| {
            PolicyStore::prepare(&barrier.view("p/"), batch);
        })
        .await;
        (PolicyStore::load(barrier.view("p/")).await.unwrap(), barrier)
    }

    fn name(text: &str) -> PolicyName {
        PolicyName::parse(text).unwrap()
    }

    #[tokio::test]
    async fn cve_2023_5954_checking_policies_keeps_memory_flat() {
        let (store, _barrier) = store().await;
        for n in 0..3 * COMPILED_SETS {
            store.acl(&[name(&format!("p{n}")), name("default")]);
        }
        let kept = store.0.compiled.len();
        assert!((1..=COMPILED_SETS).contains(&kept), "{kept} compiled sets are kept");
    }

    #[tokio::test]
    async fn changes_are_durable_and_seen_at_once() {
        let (store, barrier) = store().await;
        let names = [name("dev"), name("default")];
        assert!(!store.acl(&names).allows("a", Capability::Read, false));
        store.put(name("dev"), r#"path "a" { capabilities = ["read"] }"#).await.unwrap();
        assert!(store.acl(&names).allows("a", Capability::Read, false));
        assert!(store.acl(&names).allows("auth/token/lookup-self", Capability::Read, false));
        let again = PolicyStore::load(barrier.view("p/")).await.unwrap();
        assert!(again.acl(&names).allows("a", Capability::Read, false));
        assert_eq!(again.names(), [name("default"), name("dev"), name("root")]);
        store.delete(name("dev")).await.unwrap();
        assert!(!store.acl(&names).allows("a", Capability::Read, false));
        store.delete(name("dev")).await.unwrap();
    }

    #[tokio::test]
    async fn cve_2025_5999_policy_name_is_normalised() {
        let (store, _) = store().await;
        for text in ["root", "ROOT", " Root"] {
            let error = store.put(name(text), "").await.unwrap_err();
            assert_eq!(error.to_string(), "cannot update \"root\" policy", "{text:?}");
            assert!(store.acl(&[name(text)]).is_root());
        }
        assert_eq!(
            store.delete(name("Root")).await.unwrap_err().to_string(),
            "cannot delete \"root\" policy"
        );
        assert_eq!(
            store.delete(name("Default")).await.unwrap_err().to_string(),
            "cannot delete default policy"
        );
    }

    #[tokio::test]
    async fn the_policy_of_wrapping_tokens_is_hidden_and_fixed() {
        let (store, _) = store().await;
        for text in ["response-wrapping", " Response-Wrapping"] {
            let error = store.put(name(text), "").await.unwrap_err();
            assert_eq!(error.to_string(), "cannot update \"response-wrapping\" policy");
            let error = store.delete(name(text)).await.unwrap_err();
            assert_eq!(error.to_string(), "cannot delete \"response-wrapping\" policy");
        }
        assert_eq!(store.names(), [name("default"), name("root")]);
        let acl = store.acl(&[PolicyName::response_wrapping()]);
        assert_eq!(acl.capabilities("cubbyhole/response").names(), ["create", "read"]);
        assert_eq!(acl.capabilities("sys/wrapping/unwrap").names(), ["update"]);
        assert!(acl.capabilities("sys/wrapping/rewrap").is_empty());
    }

    #[tokio::test]
    async fn a_refused_policy_changes_nothing() {
        let (store, _) = store().await;
        store.put(name("dev"), r#"path "a" { capabilities = ["read"] }"#).await.unwrap();
        assert!(store.put(name("dev"), r#"path "a" { capabilities = ["fly"] }"#).await.is_err());
        assert!(store.acl(&[name("dev")]).allows("a", Capability::Read, false));
    }

    #[tokio::test]
    async fn the_default_policy_can_be_read_by_its_own_parser() {
        let (store, _) = store().await;
        assert!(Policy::parse(DEFAULT_POLICY).unwrap().rules.len() > 10);
        assert!(!store.get(&PolicyName::default_policy()).unwrap().unreadable);
    }

    #[tokio::test]
    async fn a_stored_policy_that_cannot_be_read_doesnt_stop_the_others() {
        let (store, barrier) = store().await;
        store.put(name("all"), r#"path "*" { capabilities = ["read"] }"#).await.unwrap();
        let view = barrier.view("p/");
        let mut batch = Batch::new();
        view.put_json(&mut batch, "broken", &Record { v: 1, text: "path {".to_owned() });
        barrier.commit(batch).await.unwrap();
        let store = PolicyStore::load(view).await.unwrap();
        assert!(store.acl(&[name("all")]).allows("a", Capability::Read, false));
        assert!(!store.acl(&[name("all"), name("broken")]).allows("a", Capability::Read, false));
    }
}
