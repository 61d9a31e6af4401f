//! The tools of the harness for tests of crashes and of upgrades.

use super::fake_system::{Behavior, FakeSystem};
use strongroom_sdk::testing::{Harness, TestHost, Transport, json};
use strongroom_sdk::{Blueprint, Context, Document, Error, Input, Response, ResponseData};

const ALL_TRANSPORTS: [Transport; 3] = [Transport::Linked, Transport::Wire, Transport::Foreign];

async fn configure(host: &TestHost) {
    host.write("config", json!({ "password": "p" })).await.unwrap();
    host.write("roles/dev", json!({ "ttl": 60, "max_ttl": 600 })).await.unwrap();
}

#[tokio::test]
async fn settling_intents_undoes_what_is_uncertain_and_keeps_what_is_leased() {
    for way in ALL_TRANSPORTS {
        let outside = FakeSystem::default();
        Harness::run_one(outside.key_blueprint(), way, |host| async move {
            configure(&host).await;
            host.settle_intents().await;
            host.write("roles/dev", json!({ "ttl": "1h", "max_ttl": "1h" })).await.unwrap();
            host.read("creds/dev").await.unwrap();
            outside.set_behavior(Behavior::NoResponse);
            for _ in 0..3 {
                host.read("creds/dev").await.unwrap_err();
            }
            assert_eq!((outside.live_key_count(), host.open_intents().len()), (4, 3));
            outside.set_behavior(Behavior::Normal);
            host.settle_intents().await;
            assert_eq!((outside.live_key_count(), host.open_intents().len()), (1, 0));
            assert_eq!((host.leases().len(), outside.undo_count()), (1, 6), "each is undone twice");
        })
        .await;
    }
}

/// The first version of a document.
#[derive(Document)]
#[document(path = "notes/{name}")]
struct Note {
    /// The text of the note.
    text: String,
}

/// The name of a note.
#[derive(Input)]
struct NoteInput {
    /// Its name; taken from the path.
    name: String,
}

#[derive(ResponseData)]
struct NoteResponse {
    length: u64,
}

async fn read_length(context: Context, input: NoteInput) -> Result<Response, Error> {
    let note = context.named::<Note>(&input.name).await?;
    let length = u64::try_from(note.text.len()).map_err(|_| Error::internal("too long"))?;
    Ok(Response::data(&NoteResponse { length }))
}

#[tokio::test]
async fn another_engine_can_be_opened_over_the_same_storage() {
    let first = Blueprint::new("notes", "1.0.0").help("Notes.").document::<Note>();
    let next =
        first.clone().with_version("2.0.0").read("length/{name}", "The length.", read_length);
    for way in ALL_TRANSPORTS {
        let next = next.clone();
        Harness::run_one(first.clone(), way, |host| async move {
            host.write("notes/a", json!({ "text": "hello" })).await.unwrap();
            host.read("length/a").await.unwrap_err();
            host.reopen_with(next).await;
            assert_eq!(host.description().version, "v2.0.0");
            assert_eq!(host.read("length/a").await.unwrap().field_json("length"), "5");
            host.reopen().await;
            assert_eq!(host.description().version, "v2.0.0");
        })
        .await;
    }
}

#[tokio::test]
async fn a_body_runs_once_on_each_transport() {
    let seen = std::sync::Mutex::new(Vec::new());
    let engine = Blueprint::new("notes", "1.0.0").help("Notes.").document::<Note>();
    Harness::run(engine, |host| {
        seen.lock().unwrap().push(host.transport());
        async {}
    })
    .await;
    assert_eq!(*seen.lock().unwrap(), ALL_TRANSPORTS);
}
