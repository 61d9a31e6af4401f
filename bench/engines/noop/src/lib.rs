//! An engine whose outside system does nothing, so that a benchmark of it is one of its host.
//!
//! Paths: `static/*` (what the KV engine does, in a plug-in process: a read costs one read of the
//! host's storage) and `leased` (a credential with a lease, and no call to anywhere).
#![deny(missing_docs)]

use strongroom_sdk::{
    Answer, Blueprint, Credential, CredentialName, Error, FreeForm, Identifier, Issued, Lifetime,
    NotRenewable, Order, Outside, Receipt, Revoked, Secret, Undone,
};

/// The engine.
pub fn blueprint() -> Blueprint {
    Blueprint::new("bench-noop", env!("CARGO_PKG_VERSION"))
        .help("Does as little as an engine can. For benchmarks.")
        .free_form("static/{path..}", "A JSON object, kept as the KV engine does.", FreeForm::new())
        .credential(Nothing)
}

/// What the client gets.
#[derive(Answer)]
struct Word {
    /// Worth nothing.
    secret: Secret<String>,
}

/// What is kept with the lease.
#[derive(Receipt)]
struct Kept {
    /// The credential's name.
    name: Identifier,
}

/// Credentials of no system at all.
struct Nothing;

impl Credential for Nothing {
    const KIND: &'static str = "nothing";
    const PATH: &'static str = "leased";
    const HELP: &'static str = "A credential that opens nothing, with a lease.";

    type Config = ();
    type Role = ();
    type Answer = Word;
    type Receipt = Kept;
    type Renewal = NotRenewable;

    fn lifetime((): &()) -> Lifetime {
        Lifetime::default()
    }

    async fn issue(&self, order: &Order<'_, Self>) -> Result<Issued<Self>, Error> {
        let name = Identifier::parse(&order.name.to_string())
            .ok_or_else(|| Error::internal("the credential's name is not printable"))?;
        let answer = Word { secret: Secret::new("not much of one".to_owned()) };
        Ok(Issued::new(answer, Kept { name }))
    }

    async fn revoke(&self, _: &Outside<'_, Self>, _: &Kept) -> Result<Revoked, Error> {
        Ok(Revoked::Now)
    }

    async fn undo(&self, _: &Outside<'_, Self>, _: &CredentialName) -> Result<Undone, Error> {
        Ok(Undone::NothingFound)
    }
}
