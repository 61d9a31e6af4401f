//! A credential that would be orphaned by a crash.

use strongroom_sdk::{
    ByName, ResponseData, Credential, Error, Identifier, IssuedCredential, Lifetime, NotRenewable, IssueRequest, RevokeContext, Receipt,
    RevokeOutcome,
};

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

    async fn revoke(&self, _: &RevokeContext<'_, Self>, _: &KeyReceipt) -> Result<RevokeOutcome, Error> {
        Ok(RevokeOutcome::Now)
    }
}

fn main() {}
