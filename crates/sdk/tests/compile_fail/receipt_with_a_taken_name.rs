//! What the SDK keeps with every lease can't be overwritten.

use strongroom_sdk::{Identifier, Receipt};

#[derive(Receipt)]
struct KeyReceipt {
    secret_type: Identifier,
}

fn main() {}
