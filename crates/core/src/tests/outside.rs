//! An outside system in memory, and an engine for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use strongroom_sdk::{
    Answer, Blueprint, Credential, CredentialName, Document, DurationSecs, Error, Extension,
    Identifier, Issued, Lifetime, Order, Outside as Reach, Receipt, Renew, Renewable, Revoked,
    Secret, Undone,
};
use tokio::sync::Notify;

/// What exists outside, by name.
#[derive(Clone, Default)]
pub(crate) struct Outside(Arc<State>);

#[derive(Default)]
struct State {
    alive: Mutex<BTreeMap<String, String>>,
    mood: Mutex<Mood>,
    go_on: Notify,
}

/// How the outside system behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    #[default]
    Well,
    /// Does what it is asked and answers with an error that tells nothing.
    Mute,
    /// Refuses, having done nothing.
    Refuses,
    /// Refuses to revoke and to undo.
    KeepsAll,
    /// Issues, then waits before it answers.
    Slow,
    /// Waits before it revokes.
    SlowToEnd,
}

impl Outside {
    pub(crate) fn alive(&self) -> usize {
        self.0.alive.lock().unwrap().len()
    }

    pub(crate) fn set(&self, mood: Mood) {
        *self.0.mood.lock().unwrap() = mood;
    }

    pub(crate) fn go_on(&self) {
        self.0.go_on.notify_one();
    }

    pub(crate) fn blueprint(&self, version: &'static str) -> Blueprint {
        Blueprint::new("outside", version)
            .help("Credentials of an outside system.")
            .document::<Config>()
            .document::<Role>()
            .document::<Folded>()
            .folds_case()
            .credential(Key(self.clone()))
    }

    fn mood(&self) -> Mood {
        *self.0.mood.lock().unwrap()
    }
}

#[derive(Document)]
#[document(path = "config", seal_wrap)]
struct Config {
    #[field(required)]
    password: Secret<String>,
}

#[derive(Document)]
#[document(path = "roles/{name}")]
struct Role {
    #[field(default = "60")]
    ttl: DurationSecs,
    max_ttl: DurationSecs,
}

/// Its name is taken in any case.
#[derive(Document)]
#[document(path = "folded/{name}")]
struct Folded {
    note: String,
}

#[derive(Answer)]
struct KeyAnswer {
    key: Secret<String>,
}

#[derive(Receipt)]
struct KeyReceipt {
    name: Identifier,
}

struct Key(Outside);

impl Credential for Key {
    const KIND: &'static str = "key";
    const PATH: &'static str = "creds/{name}";
    const HELP: &'static str = "A key.";
    type Config = Config;
    type Role = Role;
    type Answer = KeyAnswer;
    type Receipt = KeyReceipt;
    type Renewal = Renewable;

    fn lifetime(role: &Role) -> Lifetime {
        Lifetime { ttl: role.ttl.0, max_ttl: role.max_ttl.0 }
    }

    async fn issue(&self, order: &Order<'_, Self>) -> Result<Issued<Self>, Error> {
        let name = order.name.to_string();
        if self.0.mood() == Mood::Refuses {
            return Err(Error::answered("outside", "make", 500));
        }
        self.0.0.alive.lock().unwrap().insert(name.clone(), "key".to_owned());
        match self.0.mood() {
            Mood::Mute => return Err(Error::unanswered("outside", "make", "no answer")),
            Mood::Slow => self.0.0.go_on.notified().await,
            _ => {}
        }
        let receipt = KeyReceipt { name: Identifier::parse(&name).unwrap() };
        Ok(Issued::new(KeyAnswer { key: Secret::from_text("s3cr3t") }, receipt))
    }

    async fn revoke(&self, _: &Reach<'_, Self>, receipt: &KeyReceipt) -> Result<Revoked, Error> {
        if self.0.mood() == Mood::KeepsAll {
            return Err(Error::answered("outside", "remove", 503));
        }
        if self.0.mood() == Mood::SlowToEnd {
            self.0.0.go_on.notified().await;
        }
        let there = self.0.0.alive.lock().unwrap().remove(receipt.name.as_str());
        Ok(if there.is_some() { Revoked::Now } else { Revoked::AlreadyGone })
    }

    async fn undo(&self, _: &Reach<'_, Self>, name: &CredentialName) -> Result<Undone, Error> {
        if self.0.mood() == Mood::KeepsAll {
            return Err(Error::answered("outside", "remove", 503));
        }
        let there = self.0.0.alive.lock().unwrap().remove(&name.to_string());
        Ok(if there.is_some() { Undone::Removed } else { Undone::NothingFound })
    }
}

impl Renew for Key {
    async fn renew(&self, _: &Extension<'_, Self>, receipt: &KeyReceipt) -> Result<(), Error> {
        let there = self.0.0.alive.lock().unwrap().contains_key(receipt.name.as_str());
        if there { Ok(()) } else { Err(Error::user("the key is gone")) }
    }
}
