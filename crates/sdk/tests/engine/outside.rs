//! An outside system in memory, and an engine for it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use strongroom_sdk::{
    Answer, Blueprint, Context, Credential, CredentialName, Document, DurationSecs, Error,
    Extension, Identifier, Issued, Lifetime, Order, Outside as Reach, Receipt, Renew, Renewable,
    Revoked, Secret, Ttl, Undone,
};

/// What exists outside, by name.
#[derive(Clone, Default)]
pub(crate) struct Outside(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    meanwhile: Option<Box<dyn FnOnce() + Send>>,
    alive: BTreeSet<String>,
    mood: Mood,
    ends_within: Ttl,
    issued: usize,
    undone: usize,
    refused: usize,
}

/// How the outside system behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    #[default]
    Well,
    /// Does what it is asked and gives no answer.
    Mute,
    /// Refuses to make anything.
    Refuses,
    /// Refuses to take anything back.
    KeepsAll,
    /// Makes a key, and never answers.
    Slow,
    /// The engine's own code panics at the next undoing.
    PanicsOnce,
}

impl Outside {
    pub(crate) fn alive(&self) -> usize {
        self.lock().alive.len()
    }

    pub(crate) fn issued(&self) -> usize {
        self.lock().issued
    }

    pub(crate) fn undone(&self) -> usize {
        self.lock().undone
    }

    pub(crate) fn refused(&self) -> usize {
        self.lock().refused
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.lock().mood = mood;
    }

    /// Keys end by themselves after this time.
    pub(crate) fn ends_within(&self, time: Ttl) {
        self.lock().ends_within = time;
    }

    /// Something that happens while the next key is made.
    pub(crate) fn meanwhile(&self, what: impl FnOnce() + Send + 'static) {
        self.lock().meanwhile = Some(Box::new(what));
    }

    pub(crate) fn blueprint(&self) -> Blueprint {
        Blueprint::new("outside", "1.0.0")
            .help("Keys of an outside system.")
            .document::<Config>()
            .document::<Usual>()
            .document::<Role>()
            .credential(Key(self.clone()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

/// How to get in.
#[derive(Document)]
#[document(path = "config", seal_wrap)]
struct Config {
    /// What opens it.
    #[field(required)]
    password: Secret<String>,
}

/// Lifetimes where roles leave them open.
#[derive(Document)]
#[document(path = "usual")]
struct Usual {
    /// Until it is renewed.
    ttl: DurationSecs,
    /// At the longest.
    max_ttl: DurationSecs,
}

/// What a key may do.
#[derive(Document)]
#[document(path = "roles/{name}")]
struct Role {
    /// Until it is renewed.
    #[field(default = "60")]
    ttl: DurationSecs,
    /// At the longest.
    max_ttl: DurationSecs,
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

    async fn usual_lifetime(context: &Context) -> Result<Lifetime, Error> {
        let usual = context.documents().get::<Usual>(&[]).await?;
        let lifetime = |usual: &Usual| Lifetime { ttl: usual.ttl.0, max_ttl: usual.max_ttl.0 };
        Ok(usual.as_deref().map(lifetime).unwrap_or_default())
    }

    async fn issue(&self, order: &Order<'_, Self>) -> Result<Issued<Self>, Error> {
        let name = order.name.to_string();
        let mood = {
            let mut state = self.0.lock();
            state.issued += 1;
            if state.mood == Mood::Refuses {
                return Err(Error::answered("outside", "make", 500));
            }
            state.alive.insert(name.clone());
            state.mood
        };
        let meanwhile = self.0.lock().meanwhile.take();
        meanwhile.into_iter().for_each(|what| what());
        match mood {
            Mood::Mute => return Err(Error::unanswered("outside", "make", "no answer")),
            Mood::Slow => std::future::pending::<()>().await,
            _ => {}
        }
        let receipt = KeyReceipt { name: Identifier::parse(&name).unwrap() };
        let issued = Issued::new(KeyAnswer { key: Secret::from_text("s3cr3t") }, receipt);
        let ends = self.0.lock().ends_within;
        if ends.is_zero() {
            return Ok(issued);
        }
        Ok(issued.ends_within(ends).warn(format!("keys end after {ends}")))
    }

    async fn revoke(&self, _: &Reach<'_, Self>, receipt: &KeyReceipt) -> Result<Revoked, Error> {
        let mut state = self.0.lock();
        if state.mood == Mood::KeepsAll {
            return Err(Error::answered("outside", "remove", 503));
        }
        let there = state.alive.remove(receipt.name.as_str());
        Ok(if there { Revoked::Now } else { Revoked::AlreadyGone })
    }

    async fn undo(&self, _: &Reach<'_, Self>, name: &CredentialName) -> Result<Undone, Error> {
        let mood = self.0.lock().mood;
        if mood == Mood::PanicsOnce {
            self.0.set(Mood::Well);
            panic!("in the engine's own code");
        }
        let mut state = self.0.lock();
        if mood == Mood::KeepsAll {
            state.refused += 1;
            return Err(Error::answered("outside", "remove", 503));
        }
        state.undone += 1;
        let there = state.alive.remove(&name.to_string());
        Ok(if there { Undone::Removed } else { Undone::NothingFound })
    }
}

impl Renew for Key {
    async fn renew(&self, _: &Extension<'_, Self>, receipt: &KeyReceipt) -> Result<(), Error> {
        let there = self.0.lock().alive.contains(receipt.name.as_str());
        if there { Ok(()) } else { Err(Error::user("the key is gone")) }
    }
}
