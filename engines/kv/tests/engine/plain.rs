//! Version 1.

use strongroom_engine_kv::blueprint;
use strongroom_sdk::testing::{ErrorKind, Harness, json};
use strongroom_sdk::{Ttl, contract};

#[tokio::test]
async fn keeps_to_the_contract() {
    let samples = [("app", r#"{"password":"p"}"#), ("deep/down/here", r#"{"n":1}"#)];
    contract::check(blueprint(), &samples).await;
}

#[tokio::test]
async fn secrets_come_back_as_they_were_written() {
    Harness::run(blueprint(), |host| async move {
        for body in [
            r#"{"n":12345678901234567890.10}"#,
            r#"{"nested":{"a":[1,2,{"b":null}]}}"#,
            r#"{"text":"ü \" \\ \u0000"}"#,
            r#"{"data":{"a":1},"more":true}"#,
        ] {
            host.write("app/one", body).await.unwrap();
            assert_eq!(host.read("app/one").await.unwrap().data_json(), body);
        }
        // A write replaces the previous data completely.
        host.write("app/one", r#"{"only":1}"#).await.unwrap();
        assert_eq!(host.read("app/one").await.unwrap().data_json(), r#"{"only":1}"#);
    })
    .await;
}

#[tokio::test]
async fn folders_are_listed_and_are_no_secrets() {
    Harness::run(blueprint(), |host| async move {
        for path in ["a", "a/b", "a/c/d", "e"] {
            host.write(path, json!({ "x": 1 })).await.unwrap();
        }
        assert_eq!(host.list("").await.unwrap(), ["a", "a/", "e"]);
        assert_eq!(host.list("a").await.unwrap(), ["b", "c/"]);
        assert_eq!(host.list("a/c/").await.unwrap(), ["d"]);
        assert_eq!(host.list("none").await.unwrap_err().kind, ErrorKind::NotFound);
        let error = host.write("a/", json!({ "x": 1 })).await.unwrap_err();
        assert_eq!(error.message, "cannot write to a path ending in '/'");
        let error = host.write("f", json!({})).await.unwrap_err();
        assert_eq!(error.message, "missing data fields");
    })
    .await;
}

#[tokio::test]
async fn a_ttl_field_sets_the_lease_duration() {
    Harness::run(blueprint(), |host| async move {
        host.tune(Ttl::from_secs(1000), Ttl::from_secs(2000));
        for (body, secs) in [
            (r#"{"ttl":"1m"}"#, 60),
            (r#"{"lease":"2m"}"#, 120),
            (r#"{"ttl":30}"#, 30),
            (r#"{"ttl":"soon"}"#, 1000),
            (r#"{"x":"ttl"}"#, 1000),
        ] {
            host.write("app", body).await.unwrap();
            let refresh = host.read("app").await.unwrap().refresh;
            assert_eq!(refresh, Some(Ttl::from_secs(secs)), "{body}");
        }
    })
    .await;
}

#[tokio::test]
async fn version_1_names_cannot_reach_version_2_records() {
    Harness::run(blueprint(), |host| async move {
        for path in [
            "\u{fffc}entry/a",
            "\u{fffc}v1/a",
            "a\u{fffc}b",
            "\u{fffc}",
            "\u{1}entry/a",
            "\u{1}",
            &"x".repeat(4001),
        ] {
            assert!(host.write(path, json!({ "x": 1 })).await.is_err(), "{path:?}");
            assert_eq!(host.read(path).await.unwrap_err().kind, ErrorKind::NotFound, "{path:?}");
            host.delete(path).await.unwrap();
        }
        assert!(host.stored_keys().is_empty());
    })
    .await;
}
