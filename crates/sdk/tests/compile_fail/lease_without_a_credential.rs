//! An action can't answer with a lease: nobody would know how to end it.

use strongroom_sdk::engine::{Data, Leased, Response};
use strongroom_sdk::{Blueprint, Context, Error, RawObject, Ttl};

async fn creds(_: Context, (): ()) -> Result<Response, Error> {
    Ok(Response::Leased(Leased {
        data: Data::new(RawObject::empty()),
        internal: RawObject::empty(),
        ttl: Ttl::ZERO,
        max_ttl: Ttl::ZERO,
        renewable: false,
        intent: None,
        keep_data: false,
    }))
}

fn main() {
    let _ = Blueprint::new("x", "1.0.0").read("creds", "A key.", creds);
}
