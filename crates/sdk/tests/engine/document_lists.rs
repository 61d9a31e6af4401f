//! Lists of documents: for clients, with details, and from inside the engine.

use serde_json::json;
use strongroom_sdk::document_list::MAX_PAGE_NAMES;
use strongroom_sdk::engine::Operation;
use strongroom_sdk::testing::{Harness, TestHost, TestResponse};
use strongroom_sdk::{
    Blueprint, CommaList, Context, Document, DurationSecs, Error, FieldGroup, Input, Listing,
    Response, ResponseData, Secret,
};

/// A role, of which a list shows some fields.
#[derive(Document)]
#[document(path = "roles/{name..}", folds_case)]
struct ListedRole {
    /// Permissions of the role.
    #[field(listed)]
    permissions: CommaList,
    /// A description for people.
    description: String,
    /// A seed that no list shows.
    seed: Option<Secret<String>>,
    #[field(embed)]
    lifetimes: Lifetimes,
}

/// Lifetimes of a role.
#[derive(FieldGroup)]
struct Lifetimes {
    /// Lifetime until the first renewal.
    #[field(listed, default = "1h")]
    ttl: DurationSecs,
    /// Maximum lifetime.
    max_ttl: DurationSecs,
}

#[derive(ResponseData)]
struct NamesResponse {
    names: CommaList,
    next: String,
}

/// A page of roles.
#[derive(Input)]
struct PageInput {
    /// The folder to list.
    folder: Option<String>,
    /// List only names behind this one.
    after: Option<String>,
    /// How many names.
    limit: u64,
}

async fn list_page(context: Context, input: PageInput) -> Result<Response, Error> {
    let limit = usize::try_from(input.limit).unwrap_or_default();
    let captures: Vec<&str> = input.folder.as_deref().into_iter().collect();
    let after = input.after.as_deref();
    let page = context.documents().list::<ListedRole>(&captures, after, limit).await?;
    let next = page.next.unwrap_or_default();
    Ok(Response::data(&NamesResponse { names: CommaList(page.names), next }))
}

async fn scan(context: Context, input: PageInput) -> Result<Response, Error> {
    let captures: Vec<&str> = input.folder.as_deref().into_iter().collect();
    let (mut names, mut next) = (Vec::new(), String::new());
    let mut roles = context.documents().scan::<ListedRole>(&captures)?;
    loop {
        match roles.next_document().await {
            Ok(Some((name, role))) => names.push(format!("{name}={}", role.description)),
            Ok(None) => break,
            Err(error) if next.is_empty() => next = error.to_string(),
            Err(error) => return Err(error),
        }
    }
    Ok(Response::data(&NamesResponse { names: CommaList(names), next }))
}

async fn list_elsewhere(context: Context, listing: Listing) -> Result<Response, Error> {
    context.documents().list_response::<ListedRole>(&[], &listing).await
}

#[derive(ResponseData)]
struct RingInfo {
    size: u64,
}

async fn list_rings(_: Context, _: Listing) -> Result<Response, Error> {
    Ok(Response::keys_with_info(&[
        ("a".to_owned(), Some(RingInfo { size: 3 })),
        ("b/".to_owned(), None),
    ]))
}

fn blueprint() -> Blueprint {
    Blueprint::new("listing", "1.0.0")
        .document::<ListedRole>()
        .list("elsewhere/{folder..}", "Lists roles.", list_elsewhere)
        .list("rings/{ring}", "Lists rings.", list_rings)
        .write("page", "Lists a page.", list_page)
        .write("scan", "Reads all roles.", scan)
}

async fn list(host: &TestHost, path: &str, page: serde_json::Value) -> TestResponse {
    host.send(Operation::List, path, page).await.unwrap()
}

async fn write_roles(host: &TestHost) {
    for name in ["a", "b", "team/c", "team/d", "team/sub/e", "z"] {
        let role = json!({ "permissions": name, "description": name, "seed": "s", "ttl": 60 });
        host.write(&format!("roles/{name}"), role).await.unwrap();
    }
}

#[tokio::test]
async fn a_list_shows_the_fields_that_are_declared_for_it() {
    Harness::run(blueprint(), |host| async move {
        write_roles(&host).await;
        let info = |name: &str| json!({ "permissions": [name], "ttl": 60 });
        for path in ["roles/", "elsewhere/"] {
            let got = list(&host, path, json!({})).await;
            assert_eq!(got.field_json("keys"), r#"["a","b","team/","z"]"#, "{path}");
            let shown: serde_json::Value =
                serde_json::from_str(got.field_json("key_info")).unwrap();
            assert_eq!(shown, json!({ "a": info("a"), "b": info("b"), "z": info("z") }), "{path}");
        }
        for path in ["roles/team/", "roles/TEAM/", "elsewhere/team/"] {
            let got = list(&host, path, json!({ "after": "c", "limit": 1 })).await;
            assert_eq!(got.field_json("keys"), r#"["d"]"#, "{path}");
            assert!(got.field_json("key_info").contains("team/d"), "{path}");
        }
        let help = host.help("roles/a").await.unwrap();
        assert!(help.contains("in key_info: permissions, ttl."), "{help}");
        let rings = list(&host, "rings", json!({})).await;
        assert_eq!(rings.data_json(), r#"{"key_info":{"a":{"size":3}},"keys":["a","b/"]}"#);
    })
    .await;
}

#[tokio::test]
async fn a_long_list_has_all_names_and_details_of_the_first_ones() {
    // Each write is a request, so these are written as the storage keeps them.
    Harness::run_one(blueprint(), strongroom_sdk::testing::Transport::Linked, |host| async move {
        for number in 0..=MAX_PAGE_NAMES {
            let role = json!({ "permissions": ["p"], "description": "", "ttl": 60 });
            host.write_entry(&format!("roles/r{number:04}"), role).await;
        }
        let got = list(&host, "roles", json!({})).await;
        let keys: Vec<String> = serde_json::from_str(got.field_json("keys")).unwrap();
        assert_eq!(keys.len(), MAX_PAGE_NAMES + 1);
        assert_eq!(got.field_json("key_info").matches("\"ttl\":").count(), 1000);
        let warning = "key_info has the first 1000 names only; use limit and after to list the \
                       others with their details";
        assert_eq!(got.warnings, [warning]);
        let rest = list(&host, "roles", json!({ "after": "r0999" })).await;
        assert!(rest.warnings.is_empty());
        assert!(rest.field_json("key_info").contains("r1000"));

        // Inside the engine there are pages only.
        let page = host.write("page", json!({ "limit": 0 })).await.unwrap();
        assert_eq!(page.field_json("names").matches("\"r").count(), MAX_PAGE_NAMES);
        let page = host.write("page", json!({ "after": page.text("next"), "limit": 5000 })).await;
        assert_eq!(page.unwrap().data_json(), r#"{"names":["r1000"],"next":""}"#);
        let all = host.write("scan", json!({ "limit": 0 })).await.unwrap();
        assert_eq!(all.field_json("names").matches("r1000=").count(), 1);
        assert_eq!(all.field_json("names").matches("\"r").count(), MAX_PAGE_NAMES + 1);
    })
    .await;
}

#[tokio::test]
async fn the_engine_lists_pages_and_reads_documents_one_by_one() {
    Harness::run(blueprint(), |host| async move {
        write_roles(&host).await;
        let page = host.write("page", json!({ "limit": 3 })).await.unwrap().data_json();
        assert_eq!(page, r#"{"names":["a","b","team/"],"next":"team/"}"#);
        let page = host.write("page", json!({ "limit": 3, "after": "team/" })).await.unwrap();
        assert_eq!(page.data_json(), r#"{"names":["z"],"next":""}"#);
        let page = host.write("page", json!({ "folder": "Team", "limit": 9 })).await.unwrap();
        assert_eq!(page.data_json(), r#"{"names":["c","d","sub/"],"next":""}"#);
        for folder in ["..", "team/../..", "a//b"] {
            let refused = host.write("page", json!({ "folder": folder, "limit": 9 })).await;
            assert!(refused.unwrap_err().message.starts_with("a name has between"), "{folder}");
        }

        let all = host.write("scan", json!({ "limit": 0 })).await.unwrap();
        let names: Vec<String> = serde_json::from_str(all.field_json("names")).unwrap();
        let wanted = ["a", "b", "team/c", "team/d", "team/sub/e", "z"];
        assert_eq!(names, wanted.map(|name| format!("{name}={name}")));
        let some = host.write("scan", json!({ "folder": "team/", "limit": 0 })).await.unwrap();
        let names: Vec<String> = serde_json::from_str(some.field_json("names")).unwrap();
        assert_eq!(names, ["team/c=team/c", "team/d=team/d", "team/sub/e=team/sub/e"]);
    })
    .await;
}

#[tokio::test]
async fn a_document_that_cannot_be_read_ends_no_scan() {
    Harness::run(blueprint(), |host| async move {
        write_roles(&host).await;
        host.write_entry("roles/b", json!({ "ttl": [] })).await;
        let all = host.write("scan", json!({ "limit": 0 })).await.unwrap();
        assert!(all.text("next").contains("roles/b"), "{}", all.text("next"));
        assert_eq!(all.field_json("names").matches('=').count(), 5);
    })
    .await;
}

/// A document of the engine's root folder.
#[derive(Document)]
#[document(path = "{name}", internal_key)]
struct RootDocument {
    /// A text.
    #[field(listed)]
    text: String,
}

#[tokio::test]
async fn documents_under_internal_keys_are_listed() {
    let engine = Blueprint::new("root", "1.0.0").document::<RootDocument>();
    Harness::run(engine, |host| async move {
        host.write("a", json!({ "text": "t" })).await.unwrap();
        let got = list(&host, "", json!({})).await;
        assert_eq!(got.data_json(), r#"{"key_info":{"a":{"text":"t"}},"keys":["a"]}"#);
    })
    .await;
}
