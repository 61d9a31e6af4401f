//! An `Identifier` may be stored with a lease, but a token isn't one, whatever it is wrapped in.

use strongroom_sdk::{Identifier, Receipt};

#[derive(Receipt)]
struct Kept {
    accessor: Identifier,
    token: Identifier,
    #[field(public)]
    access_key: Option<Identifier>,
    public_key: Identifier,
    key: u64,
}

fn main() {}
