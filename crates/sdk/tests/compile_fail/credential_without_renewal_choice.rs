//! Whether it can be renewed must be said.

use strongroom_sdk::{ResponseData, Credential, CredentialName, Error, Identifier, IssuedCredential, Lifetime, IssueRequest, RevokeContext, Receipt, RevokeOutcome, UndoOutcome, ByName, UndoByName};

#[derive(ResponseData)]
struct Key {
    id: Identifier,
}

#[derive(Receipt)]
struct KeyReceipt {
    id: Identifier,
}

struct Keys;

impl Credential for Keys {
    const KIND: &'static str = "key";
    const PATH: &'static str = "creds/{name}";
    const HELP: &'static str = "A key.";
    type Config = ();
    type Role = ();
    type Input = ();
    type Response = Key;
    type Receipt = KeyReceipt;

    fn lifetime(_: &()) -> Lifetime {
        Lifetime::default()
    }

    async fn issue(&self, _: &IssueRequest<'_, Self>) -> Result<IssuedCredential<Self>, Error> {
        Err(Error::user("none left"))
    }

    async fn revoke(&self, _: &RevokeContext<'_, Self>, _: &KeyReceipt) -> Result<RevokeOutcome, Error> {
        Ok(RevokeOutcome::Now)
    }
}

impl UndoByName for Keys {
    async fn undo(&self, _: &RevokeContext<'_, Self>, _: &CredentialName) -> Result<UndoOutcome, Error> {
        Ok(UndoOutcome::NotFound)
    }
}

fn main() {}
