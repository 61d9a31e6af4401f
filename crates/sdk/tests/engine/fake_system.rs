//! An outside system in memory, and an engine for it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use strongroom_sdk::{
    Blueprint, ByName, Context, Credential, CredentialName, Document, DurationSecs, Error,
    Identifier, IssueRequest, IssuedCredential, Lifetime, Receipt, Renew, RenewRequest, Renewable,
    RenewedCredential, ResponseData, RevokeContext as Reach, RevokeOutcome, Secret, Ttl,
    UndoByName, UndoOutcome,
};

/// The keys that exist in the outside system, by name.
#[derive(Clone, Default)]
pub(crate) struct FakeSystem(Arc<Mutex<FakeSystemState>>);

#[derive(Default)]
struct FakeSystemState {
    on_next_issue: Option<Box<dyn FnOnce() + Send>>,
    live_keys: BTreeSet<String>,
    behavior: Behavior,
    ends_within: Ttl,
    issued: usize,
    undone: usize,
    refused: usize,
}

/// How the outside system behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Behavior {
    #[default]
    Normal,
    /// Carries out calls but doesn't respond.
    NoResponse,
    /// Rejects calls to issue a key.
    RefusesIssue,
    /// Rejects calls to revoke a key.
    RefusesRevoke,
    /// Issues a key, and never responds.
    NeverResponds,
    /// The engine's own code panics at the next undo.
    PanicsInUndo,
}

impl FakeSystem {
    pub(crate) fn live_key_count(&self) -> usize {
        self.lock_state().live_keys.len()
    }

    pub(crate) fn issue_count(&self) -> usize {
        self.lock_state().issued
    }

    pub(crate) fn undo_count(&self) -> usize {
        self.lock_state().undone
    }

    pub(crate) fn refusal_count(&self) -> usize {
        self.lock_state().refused
    }

    pub(crate) fn set_behavior(&self, mood: Behavior) {
        self.lock_state().behavior = mood;
    }

    /// Sets the time after which the outside system lets keys expire.
    pub(crate) fn keys_end_within(&self, time: Ttl) {
        self.lock_state().ends_within = time;
    }

    /// Sets a function that is called while the next key is issued.
    pub(crate) fn on_next_issue(&self, what: impl FnOnce() + Send + 'static) {
        self.lock_state().on_next_issue = Some(Box::new(what));
    }

    pub(crate) fn key_blueprint(&self) -> Blueprint {
        Blueprint::new("outside", "1.0.0")
            .help("Keys of an outside system.")
            .document::<Config>()
            .document::<UsualLifetimes>()
            .document::<Role>()
            .credential(KeyCredential(self.clone()))
    }

    fn lock_state(&self) -> std::sync::MutexGuard<'_, FakeSystemState> {
        self.0.lock().unwrap()
    }
}

/// Access to the outside system.
#[derive(Document)]
#[document(path = "config", seal_wrap)]
struct Config {
    /// The key for the outside system.
    #[field(required)]
    password: Secret<String>,
}

/// Default lifetimes, for roles that set none.
#[derive(Document)]
#[document(path = "usual")]
struct UsualLifetimes {
    /// Lifetime until the first renewal.
    ttl: DurationSecs,
    /// Maximum lifetime.
    max_ttl: DurationSecs,
}

/// The lifetimes of a key.
#[derive(Document)]
#[document(path = "roles/{name}")]
struct Role {
    /// Lifetime until the first renewal.
    #[field(default = "60")]
    ttl: DurationSecs,
    /// Maximum lifetime.
    max_ttl: DurationSecs,
}

#[derive(ResponseData)]
struct KeyResponse {
    key: Secret<String>,
}

#[derive(Receipt)]
struct KeyReceipt {
    name: Identifier,
}

struct KeyCredential(FakeSystem);

impl Credential for KeyCredential {
    const KIND: &'static str = "key";
    const PATH: &'static str = "creds/{name}";
    const HELP: &'static str = "A key.";
    type Config = Config;
    type Role = Role;
    type Input = ();
    type Response = KeyResponse;
    type Receipt = KeyReceipt;
    type Renewal = Renewable;
    type Undo = ByName;

    fn lifetime(role: &Role) -> Lifetime {
        Lifetime { ttl: role.ttl.0, max_ttl: role.max_ttl.0 }
    }

    async fn usual_lifetime(context: &Context) -> Result<Lifetime, Error> {
        let usual = context.documents().get::<UsualLifetimes>(&[]).await?;
        let lifetime =
            |usual: &UsualLifetimes| Lifetime { ttl: usual.ttl.0, max_ttl: usual.max_ttl.0 };
        Ok(usual.as_deref().map(lifetime).unwrap_or_default())
    }

    async fn issue(&self, order: &IssueRequest<'_, Self>) -> Result<IssuedCredential<Self>, Error> {
        let name = order.name.to_string();
        let mood = {
            let mut state = self.0.lock_state();
            state.issued += 1;
            if state.behavior == Behavior::RefusesIssue {
                return Err(Error::answered("outside", "make", 500));
            }
            state.live_keys.insert(name.clone());
            state.behavior
        };
        let meanwhile = self.0.lock_state().on_next_issue.take();
        meanwhile.into_iter().for_each(|what| what());
        match mood {
            Behavior::NoResponse => return Err(Error::unanswered("outside", "make", "no answer")),
            Behavior::NeverResponds => std::future::pending::<()>().await,
            _ => {}
        }
        let receipt = KeyReceipt { name: Identifier::parse(&name).unwrap() };
        let issued =
            IssuedCredential::new(KeyResponse { key: Secret::from_text("s3cr3t") }, receipt);
        let ends = self.0.lock_state().ends_within;
        if ends.is_zero() {
            return Ok(issued);
        }
        Ok(issued.ends_within(ends).warn(format!("keys end after {ends}")))
    }

    async fn revoke(
        &self,
        _: &Reach<'_, Self>,
        receipt: &KeyReceipt,
    ) -> Result<RevokeOutcome, Error> {
        let mut state = self.0.lock_state();
        if state.behavior == Behavior::RefusesRevoke {
            return Err(Error::answered("outside", "remove", 503));
        }
        let there = state.live_keys.remove(receipt.name.as_str());
        Ok(if there { RevokeOutcome::Now } else { RevokeOutcome::AlreadyGone })
    }
}

impl UndoByName for KeyCredential {
    async fn undo(&self, _: &Reach<'_, Self>, name: &CredentialName) -> Result<UndoOutcome, Error> {
        let mood = self.0.lock_state().behavior;
        if mood == Behavior::PanicsInUndo {
            self.0.set_behavior(Behavior::Normal);
            panic!("in the engine's own code");
        }
        let mut state = self.0.lock_state();
        if mood == Behavior::RefusesRevoke {
            state.refused += 1;
            return Err(Error::answered("outside", "remove", 503));
        }
        state.undone += 1;
        let there = state.live_keys.remove(&name.to_string());
        Ok(if there { UndoOutcome::Removed } else { UndoOutcome::NotFound })
    }
}

impl Renew for KeyCredential {
    async fn renew(
        &self,
        _: &RenewRequest<'_, Self>,
        receipt: &KeyReceipt,
    ) -> Result<RenewedCredential<Self>, Error> {
        match self.0.lock_state().live_keys.contains(receipt.name.as_str()) {
            true => Ok(RenewedCredential::unchanged()),
            false => Err(Error::user("the key is gone")),
        }
    }
}
