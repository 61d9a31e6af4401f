//! A receipt is kept for as long as the lease: no secret, and no text that may be one. Writing it by
//! hand doesn't help.

use strongroom_sdk::credential::ReceiptWriter;
use strongroom_sdk::field::InvalidInput;
use strongroom_sdk::{Fields, Receipt, Secret};

#[derive(Receipt)]
struct KeepsTheToken {
    token: Secret<String>,
}

#[derive(Receipt)]
struct KeepsSomeText {
    token: String,
}

struct ByHand(Secret<String>);

impl Receipt for ByHand {
    fn from_fields(_: &Fields) -> Result<Self, InvalidInput> {
        Ok(Self(Secret::from_text("")))
    }

    fn write(&self, out: &mut ReceiptWriter) {
        out.field("token", &self.0);
    }
}

fn main() {}
