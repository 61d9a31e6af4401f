//! Whether it can be renewed must be said.

use strongroom_sdk::{
    Answer, Credential, CredentialName, Error, Identifier, Issued, Lifetime, Order, Outside,
    Receipt, Revoked, Undone,
};

#[derive(Answer)]
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
    type Answer = Key;
    type Receipt = KeyReceipt;

    fn lifetime(_: &()) -> Lifetime {
        Lifetime::default()
    }

    async fn issue(&self, _: &Order<'_, Self>) -> Result<Issued<Self>, Error> {
        Err(Error::user("none left"))
    }

    async fn revoke(&self, _: &Outside<'_, Self>, _: &KeyReceipt) -> Result<Revoked, Error> {
        Ok(Revoked::Now)
    }

    async fn undo(&self, _: &Outside<'_, Self>, _: &CredentialName) -> Result<Undone, Error> {
        Ok(Undone::NothingFound)
    }
}

fn main() {}
