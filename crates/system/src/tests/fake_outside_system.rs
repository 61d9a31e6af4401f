//! An in-memory external system, and a secrets engine that issues credentials on it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use strongroom_sdk::{
    Blueprint, ByName, Context, Credential, CredentialName, Document, DurationSecs, Error,
    Identifier, Input, IssueRequest, IssuedCredential, Lifetime, Receipt, Renew, RenewRequest,
    Renewable, RenewedCredential, Response, ResponseData, RevokeContext as Reach, RevokeOutcome,
    Secret, UndoByName, UndoOutcome,
};
use tokio::sync::Notify;

/// The credentials that exist on the external system.
#[derive(Clone, Default)]
pub(crate) struct FakeOutsideSystem(Arc<OutsideSystemState>);

#[derive(Default)]
struct OutsideSystemState {
    alive: Mutex<BTreeMap<String, String>>,
    behavior: Mutex<OutsideBehavior>,
    unblocked: Notify,
}

/// How the external system responds to calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OutsideBehavior {
    #[default]
    Works,
    /// Performs the call but returns an error, so that the engine can't know.
    NoResponse,
    /// Refuses to issue, without an effect.
    RefusesIssue,
    /// Refuses to revoke, and to roll back an intent.
    RefusesRevoke,
    /// Issues, then blocks before it responds.
    SlowIssue,
    /// Blocks before it revokes.
    SlowRevoke,
}

impl FakeOutsideSystem {
    pub(crate) fn live_credentials(&self) -> usize {
        self.0.alive.lock().unwrap().len()
    }

    pub(crate) fn set_behavior(&self, mood: OutsideBehavior) {
        *self.0.behavior.lock().unwrap() = mood;
    }

    pub(crate) fn unblock(&self) {
        self.0.unblocked.notify_one();
    }

    pub(crate) fn blueprint(&self, version: &'static str) -> Blueprint {
        Blueprint::new("outside", version)
            .help("Credentials of an outside system.")
            .document::<Config>()
            .document::<Role>()
            .document::<FoldedDocument>()
            .read("folded/{owner@}/note", "Reads the note alone.", read_note)
            .credential(FakeKeyCredential(self.clone()))
    }

    fn behavior(&self) -> OutsideBehavior {
        *self.0.behavior.lock().unwrap()
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
    #[field(default = "60", legacy = "lease")]
    ttl: DurationSecs,
    max_ttl: DurationSecs,
}

/// A document whose name is case-insensitive.
#[derive(Document)]
#[document(path = "folded/{owner@}", folds_case)]
struct FoldedDocument {
    note: String,
}

#[derive(Input)]
struct NoteInput {
    owner: String,
}

#[derive(ResponseData)]
struct NoteResponse {
    note: String,
}

async fn read_note(context: Context, input: NoteInput) -> Result<Response, Error> {
    let found = context.named::<FoldedDocument>(&input.owner).await?;
    Ok(Response::data(&NoteResponse { note: found.note.clone() }))
}

#[derive(ResponseData)]
struct FakeKeyResponse {
    key: Secret<String>,
}

#[derive(Receipt)]
struct KeyReceipt {
    name: Identifier,
}

struct FakeKeyCredential(FakeOutsideSystem);

impl Credential for FakeKeyCredential {
    const KIND: &'static str = "key";
    const PATH: &'static str = "creds/{name}";
    const HELP: &'static str = "A key.";
    type Config = Config;
    type Role = Role;
    type Input = ();
    type Response = FakeKeyResponse;
    type Receipt = KeyReceipt;
    type Renewal = Renewable;
    type Undo = ByName;

    fn lifetime(role: &Role) -> Lifetime {
        Lifetime { ttl: role.ttl.0, max_ttl: role.max_ttl.0 }
    }

    async fn issue(&self, order: &IssueRequest<'_, Self>) -> Result<IssuedCredential<Self>, Error> {
        let name = order.name.to_string();
        if self.0.behavior() == OutsideBehavior::RefusesIssue {
            return Err(Error::answered("outside", "make", 500));
        }
        self.0.0.alive.lock().unwrap().insert(name.clone(), "key".to_owned());
        match self.0.behavior() {
            OutsideBehavior::NoResponse => {
                return Err(Error::unanswered("outside", "make", "no answer"));
            }
            OutsideBehavior::SlowIssue => self.0.0.unblocked.notified().await,
            _ => {}
        }
        let receipt = KeyReceipt { name: Identifier::parse(&name).unwrap() };
        Ok(IssuedCredential::new(FakeKeyResponse { key: Secret::from_text("s3cr3t") }, receipt))
    }

    async fn revoke(
        &self,
        _: &Reach<'_, Self>,
        receipt: &KeyReceipt,
    ) -> Result<RevokeOutcome, Error> {
        if self.0.behavior() == OutsideBehavior::RefusesRevoke {
            return Err(Error::answered("outside", "remove", 503));
        }
        if self.0.behavior() == OutsideBehavior::SlowRevoke {
            self.0.0.unblocked.notified().await;
        }
        let there = self.0.0.alive.lock().unwrap().remove(receipt.name.as_str());
        Ok(if there.is_some() { RevokeOutcome::Now } else { RevokeOutcome::AlreadyGone })
    }
}

impl UndoByName for FakeKeyCredential {
    async fn undo(&self, _: &Reach<'_, Self>, name: &CredentialName) -> Result<UndoOutcome, Error> {
        if self.0.behavior() == OutsideBehavior::RefusesRevoke {
            return Err(Error::answered("outside", "remove", 503));
        }
        let there = self.0.0.alive.lock().unwrap().remove(&name.to_string());
        Ok(if there.is_some() { UndoOutcome::Removed } else { UndoOutcome::NotFound })
    }
}

impl Renew for FakeKeyCredential {
    async fn renew(
        &self,
        _: &RenewRequest<'_, Self>,
        receipt: &KeyReceipt,
    ) -> Result<RenewedCredential<Self>, Error> {
        match self.0.0.alive.lock().unwrap().contains_key(receipt.name.as_str()) {
            true => Ok(RenewedCredential::unchanged().warn("the key is the same")),
            false => Err(Error::user("the key is gone")),
        }
    }
}
