//! A credential that would be orphaned by a crash.

use strongroom_sdk::{
    Answer, Credential, Error, Identifier, Issued, Lifetime, NotRenewable, Order, Outside, Receipt,
    Revoked,
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

    async fn revoke(&self, _: &Outside<'_, Self>, _: &KeyReceipt) -> Result<Revoked, Error> {
        Ok(Revoked::Now)
    }
}

fn main() {}
