use strongroom_types::ErrorKind;

use super::Bench;
use crate::request::Verb;

#[tokio::test]
async fn kv_keeps_what_it_is_given_to_the_letter() {
    let bench = Bench::new().await;
    bench.write("sys/mounts/team/kv/", r#"{"type":"kv","description":"d"}"#).await;
    let body = r#"{"n":12345678901234567890,"d":1.10,"e":1e3,"o":{"b":[1,null]},"s":"<&>"}"#;
    bench.write("team/kv/a/b", body).await;
    let got = bench.read("team/kv/a/b").await;
    assert_eq!(
        (got.json("n"), got.json("d"), got.json("e")),
        ("12345678901234567890", "1.10", "1e3")
    );
    assert_eq!((got.json("o"), got.ttl, got.lease.as_str()), (r#"{"b":[1,null]}"#, 2_764_800, ""));
    bench.write("team/kv/short", r#"{"x":"1","ttl":"30m"}"#).await;
    assert_eq!(bench.read("team/kv/short").await.ttl, 1800);
    assert_eq!(bench.ok(Verb::List, "team/kv", "").await.json("keys"), r#"["a/","short"]"#);
    assert_eq!(bench.ok(Verb::List, "team/kv/a", "").await.json("keys"), r#"["b"]"#);
    assert_eq!(bench.fails(Verb::List, "team/kv/zz", "").await.kind(), ErrorKind::NotFound);
    bench.ok(Verb::Delete, "team/kv/a/b", "").await;
    bench.ok(Verb::Delete, "team/kv/a/b", "").await;
    assert!(bench.fails(Verb::Read, "team/kv/a/b", "").await.texts().is_empty());
    assert_eq!(
        bench.fails(Verb::Write, "team/kv/x", "{}").await.to_string(),
        "missing data fields"
    );
    let error = bench.fails(Verb::Write, "team/kv/x/", r#"{"a":1}"#).await;
    assert_eq!(error.to_string(), "cannot write to a path ending in '/'");
}

#[tokio::test]
async fn mounts_are_shown_tuned_and_survive_a_restart() {
    let mut bench = Bench::new().await;
    let body = r#"{"type":"kv","description":"mine","config":{"default_lease_ttl":"1h","max_lease_ttl":"2h","plugin_name":""}}"#;
    bench.write("sys/mounts/kv", body).await;
    let listed = bench.read("sys/mounts").await;
    let kv = listed.json("kv/");
    for part in [
        r#""type":"kv""#,
        r#""description":"mine""#,
        r#""default_lease_ttl":3600"#,
        r#""accessor":"kv_"#,
        r#""running_plugin_version":"v"#,
    ] {
        assert!(kv.contains(part), "{kv}");
    }
    assert!(listed.data.contains("sys/"));
    assert_eq!(bench.read("sys/mounts/kv/tune").await.json("max_lease_ttl"), "7200");
    bench.write("sys/mounts/kv/tune", r#"{"max_lease_ttl":"3h","description":"ours"}"#).await;
    bench.restart().await;
    let tuned = bench.read("sys/mounts/kv/tune").await;
    assert_eq!(
        (tuned.json("max_lease_ttl"), tuned.text("description")),
        ("10800", "ours".to_owned())
    );
    let error =
        bench.fails(Verb::Write, "sys/mounts/kv/tune", r#"{"default_lease_ttl":"9h"}"#).await;
    assert!(
        error.to_string().contains("would be less than backend default lease TTL of 32400"),
        "{error}"
    );
}

#[tokio::test]
async fn impossible_mounts_are_refused_in_the_words_clients_know() {
    let bench = Bench::new().await;
    bench.write("sys/mounts/a/b", r#"{"type":"kv"}"#).await;
    let cases = [
        ("sys/mounts/a/b", r#"{"type":"kv"}"#, "path is already in use at a/b/"),
        ("sys/mounts/a", r#"{"type":"kv"}"#, "path is already in use at a/b/"),
        ("sys/mounts/a/b/c", r#"{"type":"kv"}"#, "path is already in use at a/b/"),
        ("sys/mounts/x", r#"{"type":"nosuch"}"#, "plugin not found in the catalog: nosuch"),
        ("sys/mounts/sys", r#"{"type":"kv"}"#, "cannot mount \"sys/\""),
        (
            "sys/mounts/x",
            r#"{"type":"kv","options":{"version":"2"}}"#,
            "KV version 2 is not supported by this server",
        ),
        (
            "sys/mounts/x",
            r#"{"type":"kv","config":{"passthrough_request_headers":["a"]}}"#,
            "the mount setting \"passthrough_request_headers\" is not supported by this server",
        ),
        (
            "sys/mounts/x",
            r#"{"type":"kv","config":{"default_lease_ttl":"2h","max_lease_ttl":"1h"}}"#,
            "given default lease TTL greater than given max lease TTL",
        ),
    ];
    for (path, body, text) in cases {
        assert_eq!(bench.fails(Verb::Write, path, body).await.to_string(), text, "{path}");
    }
    assert_eq!(
        bench.fails(Verb::Read, "sys/mounts/zzz", "").await.to_string(),
        "No secret engine mount at zzz/"
    );
}

#[tokio::test]
async fn removing_a_mount_removes_its_data_and_ends_its_leases() {
    let bench = Bench::new().await.with_credentials().await;
    bench.read("out/creds/dev").await;
    assert_eq!(bench.outside.alive(), 1);
    bench.ok(Verb::Delete, "sys/mounts/out", "").await;
    assert_eq!(bench.outside.alive(), 0);
    assert_eq!(bench.fails(Verb::Read, "out/config", "").await.kind(), ErrorKind::NotFound);
    bench.write("sys/mounts/out", r#"{"type":"outside"}"#).await;
    assert_eq!(bench.fails(Verb::Read, "out/config", "").await.kind(), ErrorKind::NotFound);
    bench.ok(Verb::Delete, "sys/mounts/nothing", "").await;
    let error = bench.fails(Verb::Delete, "sys/mounts/sys", "").await;
    assert_eq!(error.to_string(), "cannot unmount \"sys/\"");
}

#[tokio::test]
async fn who_can_reach_a_mount_is_told_of_it() {
    let bench = Bench::new().await;
    bench.write("sys/mounts/kv", r#"{"type":"kv"}"#).await;
    bench
        .write("sys/mounts/open", r#"{"type":"kv","config":{"listing_visibility":"unauth"}}"#)
        .await;
    let token = bench.token(r#"path "kv/team/*" { capabilities = ["read"] }"#, "").await;
    let one = bench.ok_as(&token, Verb::Read, "sys/internal/ui/mounts/kv/team/x", "").await;
    assert_eq!((one.text("path"), one.text("type")), ("kv/".to_owned(), "kv".to_owned()));
    let error = bench.fails_as(&token, Verb::Read, "sys/internal/ui/mounts/open/x", "").await;
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().starts_with("preflight capability check returned 403"), "{error}");
    let all = bench.ok_as("", Verb::Read, "sys/internal/ui/mounts", "").await;
    assert!(all.json("secret").contains("open/") && !all.json("secret").contains("kv/"));
    assert!(!all.json("secret").contains("accessor"));
    let mine = bench.ok_as(&token, Verb::Read, "sys/internal/ui/mounts", "").await;
    assert!(mine.json("secret").contains("kv/") && !mine.json("secret").contains("open/"));
}

#[tokio::test]
async fn unknown_fields_are_named_where_there_is_an_answer() {
    let bench = Bench::new().await.with_credentials().await;
    assert!(bench.write("out/roles/x", r#"{"ttl":1,"junk":2}"#).await.warnings.is_empty());
    let got = bench.write("sys/capabilities-self", r#"{"paths":"x","junk":1,"b":2}"#).await;
    assert_eq!(got.warnings, ["Endpoint ignored these unrecognized parameters: [b junk]"]);
}

#[tokio::test]
async fn tuning_leaves_what_is_sent_empty() {
    let bench = Bench::new().await;
    bench.write("sys/mounts/kv", r#"{"type":"kv"}"#).await;
    bench.write("sys/mounts/kv/tune", r#"{"default_lease_ttl":"30m"}"#).await;
    let body = r#"{"default_lease_ttl":"","max_lease_ttl":"","description":"new"}"#;
    bench.write("sys/mounts/kv/tune", body).await;
    let tuned = bench.read("sys/mounts/kv/tune").await;
    assert_eq!((tuned.json("default_lease_ttl"), &*tuned.text("description")), ("1800", "new"));
    bench.write("sys/mounts/kv/tune", r#"{"default_lease_ttl":"system"}"#).await;
    assert_ne!(bench.read("sys/mounts/kv/tune").await.json("default_lease_ttl"), "1800");
    let own = bench.fails(Verb::Write, "sys/mounts/sys/tune", r#"{"max_lease_ttl":"1h"}"#).await;
    assert_eq!(own.to_string(), "cannot tune parameter max_lease_ttl of sys/");
}
