//! Records that hooks change with their document, paths of single fields, and lists of a path.

use strongroom_sdk::document_hooks::{DeleteHook, DocumentDelete, DocumentWrite, WriteHook};
use strongroom_sdk::document_part::DocumentPart;
use strongroom_sdk::engine::{Existence, Operation};
use strongroom_sdk::records::RecordKey;
use strongroom_sdk::testing::{ErrorKind, Harness, Transport, json};
use strongroom_sdk::*;
use tokio::test;

/// A machine, which is also found by its serial number.
#[derive(Document)]
#[document(path = "machines/{name}", WriteHook, DeleteHook)]
struct Machine {
    /// The serial number.
    #[field(required)]
    serial: String,
    /// Where it stands.
    #[field(legacy = "place", echo, default = "nowhere")]
    site: String,
    /// How many disks it has.
    disks: u64,
    /// How often it was written.
    #[field(internal, hidden)]
    writes: u64,
}

fn serial_record(serial: &str) -> RecordKey {
    RecordKey::new("serial", serial)
}

impl WriteHook for Machine {
    type Input = ();

    async fn before_write(
        &mut self,
        write: &mut DocumentWrite<'_, Self>,
        (): (),
    ) -> Result<(), Error> {
        self.writes += 1;
        let own = write.name().as_bytes();
        let seen = write.read_record(&serial_record(&self.serial)).await?;
        if seen.value().is_some_and(|name| name != own) {
            return Err(Error::conflict("another machine has this serial number"));
        }
        write.put_record(seen, own.to_vec());
        let old = write.stored().map(|stored| stored.serial.clone());
        if let Some(old) = old.filter(|old| *old != self.serial) {
            let seen = write.read_record(&serial_record(&old)).await?;
            write.delete_record(seen);
        }
        Ok(())
    }
}

impl DeleteHook for Machine {
    async fn before_delete(&self, delete: &mut DocumentDelete<'_>) -> Result<(), Error> {
        let seen = delete.read_record(&serial_record(&self.serial)).await?;
        delete.delete_record(seen);
        Ok(())
    }
}

/// Which machine.
#[derive(Input)]
struct MachineName {
    /// Its name; taken from the path.
    name: String,
}

async fn list_ports(_: Context, of: MachineName, listing: Listing) -> Result<Response, Error> {
    assert_eq!(listing.folder, "");
    let all = ["a", "b", "c"].map(|port| format!("{}-{port}", of.name));
    let after = |name: &String| listing.after.as_ref().is_none_or(|after| name > after);
    let names: Vec<String> = all.into_iter().filter(after).take(listing.limit).collect();
    Ok(Response::keys(&names))
}

async fn open_port(_: Context, _: MachineName) -> Result<Response, Error> {
    Err(Error::not_found("the machine has no such port"))
}

async fn start_check(context: Context, (): ()) -> Result<Response, Error> {
    let endless = std::future::pending::<Result<(), Error>>();
    let is_started = context.spawn_single("check", endless)?;
    Ok(Response::accepted(&context, if is_started { "started" } else { "under way" }))
}

fn machines() -> Blueprint {
    let site = DocumentPart::of::<Machine>(&["site"]).read().write().reset();
    let place = DocumentPart::of::<Machine>(&["place"]).read().write();
    Blueprint::new("machines", "1.0.0")
        .document::<Machine>()
        .document_part("machines/{name}/site", "Where it stands.", site)
        .document_part("machines/{name}/place", "The older name.", place)
        .write("machines/{name}/ports", "Opens a port.", open_port)
        .list_at("machines/{name}/ports", "", list_ports)
        .write("check", "Checks all machines.", start_check)
}

#[test]
async fn records_are_changed_with_their_document_or_not_at_all() {
    Harness::run(machines(), |host| async move {
        let serial_keys = || {
            let keys = host.stored_keys().into_iter();
            keys.filter_map(|key| key.split_once("serial/").map(|it| it.1.to_owned()))
                .collect::<Vec<_>>()
        };
        host.write("machines/a", json!({ "serial": "1" })).await.unwrap();
        host.write("machines/a", json!({ "serial": "2" })).await.unwrap();
        assert_eq!(serial_keys(), ["2"]);
        let taken = host.write("machines/b", json!({ "serial": "2" })).await.unwrap_err();
        assert!(taken.message.contains("another machine"), "{}", taken.message);
        assert_eq!(host.exists("machines/b").await.unwrap(), Existence::Absent);
        host.delete("machines/a").await.unwrap();
        assert!(host.stored_keys().is_empty(), "{:?}", host.stored_keys());
        host.write("machines/b", json!({ "serial": "2" })).await.unwrap();
    })
    .await;
}

#[test]
async fn a_document_and_its_records_are_one_batch() {
    let atomic = [Transport::Linked, Transport::Wire];
    Harness::run_on(&atomic, machines(), |host| async move {
        let writes = host.storage_writes();
        host.write("machines/a", json!({ "serial": "1" })).await.unwrap();
        host.write("machines/a", json!({ "serial": "2" })).await.unwrap();
        host.delete("machines/a").await.unwrap();
        assert_eq!(host.storage_writes() - writes, 3);
        assert_eq!(host.largest_batch(), 3);
    })
    .await;
}

#[test]
async fn of_two_documents_that_claim_one_record_at_once_one_is_written() {
    let atomic = [Transport::Linked, Transport::Wire];
    Harness::run_on(&atomic, machines(), |host| async move {
        for round in 0..20 {
            let claim = |name: &str| {
                let (host, path) = (host.clone(), format!("machines/{name}-{round}"));
                async move { host.write(&path, json!({ "serial": round.to_string() })).await.is_ok() }
            };
            let (one, other) = tokio::join!(claim("a"), claim("b"));
            assert!(one != other, "round {round}");
        }
    })
    .await;
}

#[test]
async fn a_field_at_its_own_path_is_a_field_of_the_document() {
    Harness::run(machines(), |host| async move {
        host.write("machines/a", json!({ "serial": "1", "disks": 2 })).await.unwrap();
        let site = async || host.read("machines/a/site").await.unwrap().data_json();
        assert_eq!(site().await, r#"{"site":"nowhere"}"#);
        // Other fields are ignored, with a warning.
        let got = host.write("machines/a/site", json!({ "site": "x", "disks": 9 })).await.unwrap();
        assert!(got.warnings.iter().all(|it| it.contains("disks")), "{:?}", got.warnings);
        assert_eq!(site().await, r#"{"site":"x"}"#);
        host.write("machines/a/site", json!({ "place": "y" })).await.unwrap();
        let shown = host.read("machines/a/site").await.unwrap();
        assert_eq!((shown.text("site"), shown.text("place")), ("y".into(), "y".into()));
        host.write("machines/a/place", json!({ "place": "z" })).await.unwrap();
        let shown = host.read("machines/a/place").await.unwrap().data_json();
        assert_eq!(shown, r#"{"place":"z"}"#);
        let missing = host.write("machines/a/place", json!({ "site": "q" })).await.unwrap_err();
        assert_eq!(missing.message, "missing place");
        host.delete("machines/a/site").await.unwrap();
        assert_eq!(site().await, r#"{"site":"nowhere"}"#);
        let whole = host.read("machines/a").await.unwrap();
        assert_eq!(whole.field_json("disks"), "2");
        assert!(!whole.data.contains("place"));
        let error = host.delete("machines/a/place").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported);
    })
    .await;
}

#[test]
async fn a_field_of_a_missing_document_creates_none() {
    Harness::run(machines(), |host| async move {
        assert_eq!(host.exists("machines/a/site").await.unwrap(), Existence::NoCheck);
        let error = host.write("machines/a/site", json!({ "site": "x" })).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound);
        assert_eq!(host.read("machines/a/site").await.unwrap_err().kind, ErrorKind::NotFound);
        host.delete("machines/a/site").await.unwrap();
        assert!(host.stored_keys().is_empty());
    })
    .await;
}

#[test]
async fn a_path_with_captures_is_listed_in_pages() {
    Harness::run(machines(), |host| async move {
        assert_eq!(host.list("machines/m/ports").await.unwrap(), ["m-a", "m-b", "m-c"]);
        assert_eq!(host.list("machines/m/ports/").await.unwrap().len(), 3);
        let page = json!({ "after": "m-a", "limit": 1 });
        assert_eq!(host.list_page("machines/m/ports", page).await.unwrap(), ["m-b"]);
        let error = host.list("machines/m/site").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported);
        let error = host.write("machines/m/ports", json!({})).await.unwrap_err();
        assert_eq!(
            (error.status, error.message.as_str()),
            (Some(404), "the machine has no such port")
        );
    })
    .await;
}

#[test]
async fn a_single_task_runs_once_at_a_time() {
    Harness::run(machines(), |host| async move {
        for text in ["started", "under way"] {
            let raw = host.send(Operation::Update, "check", "{}").await.unwrap().raw.unwrap();
            assert_eq!(raw.status, 202);
            let body = String::from_utf8(raw.body).unwrap();
            assert!(body.contains(&format!(r#""warnings":["{text}"]"#)), "{body}");
        }
    })
    .await;
}
