//! A credential that nobody can take back.

use strongroom_sdk::{ResponseData, Credential, CredentialName, Error, Identifier, IssuedCredential, Lifetime, NotRenewable, IssueRequest, RevokeContext, Receipt, UndoOutcome, ByName, UndoByName};

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
    type Renewal = NotRenewable;
    type Undo = ByName;

    fn lifetime(_: &()) -> Lifetime {
        Lifetime::default()
    }

    async fn issue(&self, _: &IssueRequest<'_, Self>) -> Result<IssuedCredential<Self>, Error> {
        Err(Error::user("none left"))
    }
}

impl UndoByName for Keys {
    async fn undo(&self, _: &RevokeContext<'_, Self>, _: &CredentialName) -> Result<UndoOutcome, Error> {
        Ok(UndoOutcome::NotFound)
    }
}

fn main() {}
