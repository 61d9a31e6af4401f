//! An action can't answer with a lease: nobody would know how to end it.

use strongroom_sdk::engine::{DataResponse, LeasedResponse, EngineResponse};
use strongroom_sdk::{Blueprint, Context, Error, RawObject, Ttl};

async fn creds(_: Context, (): ()) -> Result<EngineResponse, Error> {
    Ok(EngineResponse::Leased(LeasedResponse {
        data: DataResponse::new(RawObject::empty()),
        internal: RawObject::empty(),
        ttl: Ttl::ZERO,
        max_ttl: Ttl::ZERO,
        renewable: false,
        intent: None,
        keep_data: false,
        seal_wrap: false,
    }))
}

fn main() {
    let _ = Blueprint::new("x", "1.0.0").read("creds", "A key.", creds);
}
