//! A credential that nobody can take back.

use strongroom_sdk::{
    Answer, Credential, CredentialName, Error, Identifier, Issued, Lifetime, NotRenewable, Order,
    Outside, Receipt, Undone,
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
    type Renewal = NotRenewable;

    fn lifetime(_: &()) -> Lifetime {
        Lifetime::default()
    }

    async fn issue(&self, _: &Order<'_, Self>) -> Result<Issued<Self>, Error> {
        Err(Error::user("none left"))
    }

    async fn undo(&self, _: &Outside<'_, Self>, _: &CredentialName) -> Result<Undone, Error> {
        Ok(Undone::NothingFound)
    }
}

fn main() {}
