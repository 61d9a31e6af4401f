//! Responses with data to writes of a document: `DocumentWrite::respond`.

use strongroom_sdk::document_hooks::{DocumentWrite, WriteHook};
use strongroom_sdk::testing::{Harness, json};
use strongroom_sdk::{Blueprint, Document, Error, Input, ResponseData, Secret};

/// A key that the engine generates when it is first written.
#[derive(Document)]
#[document(path = "keys/{name}", WriteHook)]
struct GeneratedKey {
    /// The number of characters.
    #[field(default = "20")]
    size: u32,
    /// The key.
    #[field(internal, hidden)]
    key: Option<Secret<String>>,
}

/// How to answer.
#[derive(Input)]
struct KeyOptions {
    /// Whether the response contains the key.
    exported: bool,
}

/// The key, once.
#[derive(ResponseData)]
struct ExportedKey {
    key: Secret<String>,
}

/// What may be shown at any time.
#[derive(ResponseData)]
struct KeyState {
    size: u32,
}

impl WriteHook for GeneratedKey {
    type Input = KeyOptions;

    async fn before_write(
        &mut self,
        write: &mut DocumentWrite<'_, Self>,
        input: KeyOptions,
    ) -> Result<(), Error> {
        let size = usize::try_from(self.size).unwrap_or_default();
        let key = Secret::new(write.context().entropy().base62(size));
        if input.exported {
            let key = Secret::from_text(key.expose_secret());
            write.respond_with_unleased_secret(&ExportedKey { key });
            write.warn("this key is shown once");
        } else {
            write.respond(&KeyState { size: self.size });
        }
        self.key = Some(key);
        Ok(())
    }
}

#[tokio::test]
async fn a_write_hook_answers_with_data_that_reads_do_not_show() {
    let blueprint = Blueprint::new("generated", "1.0.0").document::<GeneratedKey>();
    Harness::run(blueprint, |host| async move {
        let made = host.write("keys/a", json!({ "exported": true, "size": 7 })).await.unwrap();
        assert_eq!((made.text("key").len(), made.warnings.len()), (7, 1));
        let changed = host.write("keys/a", json!({ "size": 9 })).await.unwrap();
        assert_eq!(changed.data_json(), r#"{"size":9}"#);
        assert_eq!(host.read("keys/a").await.unwrap().data_json(), r#"{"size":9}"#);
    })
    .await;
}
