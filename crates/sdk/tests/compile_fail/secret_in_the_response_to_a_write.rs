//! A secret with which a write hook answers is revoked by nobody.

use strongroom_sdk::document_hooks::{DocumentWrite, WriteHook};
use strongroom_sdk::{Document, Error, ResponseData, Secret};

/// A key.
#[derive(Document)]
#[document(path = "keys/{name}", WriteHook)]
struct Key {
    /// Whose it is.
    owner: String,
}

#[derive(ResponseData)]
struct Generated {
    key: Secret<String>,
}

impl WriteHook for Key {
    type Input = ();

    async fn before_write(
        &mut self,
        write: &mut DocumentWrite<'_, Self>,
        (): (),
    ) -> Result<(), Error> {
        write.respond(&Generated { key: Secret::from_text("k") });
        // Says that there is no lease.
        write.respond_with_unleased_secret(&Generated { key: Secret::from_text("k") });
        Ok(())
    }
}

fn main() {}
