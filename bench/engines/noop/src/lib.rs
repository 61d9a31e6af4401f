//! An engine whose outside system does nothing, so that benchmarking it measures its host.
//!
//! Paths: `static/*` stores values as the KV engine does, but in a plug-in process: a read costs
//! one read of the host's storage. `leased` issues a credential with a lease, without any outside
//! call.
#![deny(missing_docs)]

use strongroom_sdk::{
    Blueprint, ByName, Credential, CredentialName, Error, FreeForm, Identifier, IssueRequest,
    IssuedCredential, Lifetime, NotRenewable, Receipt, ResponseData, RevokeContext, RevokeOutcome,
    Secret, UndoByName, UndoOutcome,
};

/// The definition of the engine, to be served as a plug-in or linked into a host.
pub fn blueprint() -> Blueprint {
    Blueprint::new("bench-noop", env!("CARGO_PKG_VERSION"))
        .help("Does as little as an engine can. For benchmarks.")
        .free_form("static/{path..}", "A JSON object, kept as the KV engine does.", FreeForm::new())
        .credential(NoopBackend)
}

/// What the client gets.
#[derive(ResponseData)]
struct NoopCredential {
    /// Worth nothing.
    secret: Secret<String>,
}

/// What is kept with the lease.
#[derive(Receipt)]
struct NoopReceipt {
    /// The credential's name.
    name: Identifier,
}

/// Issues credentials that belong to no outside system.
struct NoopBackend;

impl Credential for NoopBackend {
    const KIND: &'static str = "nothing";
    const PATH: &'static str = "leased";
    const HELP: &'static str = "A credential that opens nothing, with a lease.";

    type Config = ();
    type Role = ();
    type Input = ();
    type Response = NoopCredential;
    type Receipt = NoopReceipt;
    type Renewal = NotRenewable;
    type Undo = ByName;

    fn lifetime((): &()) -> Lifetime {
        Lifetime::default()
    }

    async fn issue(&self, order: &IssueRequest<'_, Self>) -> Result<IssuedCredential<Self>, Error> {
        let name = Identifier::parse(&order.name.to_string())
            .ok_or_else(|| Error::internal("the credential's name is not printable"))?;
        let answer = NoopCredential { secret: Secret::new("not much of one".to_owned()) };
        Ok(IssuedCredential::new(answer, NoopReceipt { name }))
    }

    async fn revoke(
        &self,
        _: &RevokeContext<'_, Self>,
        _: &NoopReceipt,
    ) -> Result<RevokeOutcome, Error> {
        Ok(RevokeOutcome::Now)
    }
}

impl UndoByName for NoopBackend {
    async fn undo(
        &self,
        _: &RevokeContext<'_, Self>,
        _: &CredentialName,
    ) -> Result<UndoOutcome, Error> {
        Ok(UndoOutcome::NotFound)
    }
}
