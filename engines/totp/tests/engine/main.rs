//! The engine linked in, behind the plug-in protocol, and as a server like Vault runs it.
#![expect(clippy::unwrap_used, reason = "a test may be blunt")]

use std::time::Duration;

use strongroom_engine_totp::blueprint;
use strongroom_sdk::contract;
use strongroom_sdk::testing::{ErrorKind, Harness, TestHost, json};

/// The key of the test vectors of RFC 6238: `12345678901234567890`.
const RFC_KEY: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

async fn message(host: &TestHost, path: &str, body: serde_json::Value) -> String {
    let error = host.write(path, body).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid, "{error:?}");
    error.message
}

/// The current code of a key.
async fn code(host: &TestHost, name: &str) -> String {
    host.read(&format!("code/{name}")).await.unwrap().text("code")
}

async fn is_valid(host: &TestHost, name: &str, code: &str) -> bool {
    let got = host.write(&format!("code/{name}"), json!({ "code": code })).await.unwrap();
    got.field_json("valid") == "true"
}

/// A code that is neither the current one nor one beside it.
fn wrong_code(code: &str) -> String {
    code.chars().map(|digit| if digit == '9' { '0' } else { char::from(digit as u8 + 1) }).collect()
}

#[tokio::test]
async fn contract_of_the_sdk() {
    let samples = [("keys/bob@example.com", r#"{"key":"GEZDGNBVGY3TQOJQ","issuer":"e"}"#)];
    contract::check(blueprint(), &samples).await;
}

#[tokio::test]
async fn a_generated_key_is_returned_once_and_its_codes_are_valid() {
    Harness::run(blueprint(), |host| async move {
        let asked = json!({ "generate": true, "issuer": "Example", "account_name": "a@b.example" });
        let made = host.write("keys/bob@home", asked.clone()).await.unwrap();
        let url = made.text("url");
        let start = "otpauth://totp/Example:a@b.example?algorithm=SHA1&digits=6&issuer=Example\
                     &period=30&secret=";
        assert!(url.starts_with(start), "{url}");
        assert_eq!(url.len(), start.len() + 32, "20 bytes in base32");
        // The signature of a PNG file.
        assert!(made.text("barcode").starts_with("iVBORw0KGgo"));

        let shown = host.read("keys/bob@home").await.unwrap().data_json();
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        let expected = json!({
            "account_name": "a@b.example", "algorithm": "SHA1", "digits": 6, "issuer": "Example",
            "period": 30,
        });
        assert_eq!(shown, expected);
        assert_eq!(host.list("keys/").await.unwrap(), ["bob@home"]);

        // Another mount imports the URL, as an authenticator app does.
        host.write("keys/app", json!({ "url": url })).await.unwrap();
        assert!(is_valid(&host, "bob@home", &code(&host, "app").await).await);

        let mut small = asked.clone();
        small["qr_size"] = json!(0);
        assert!(host.write("keys/c", small).await.unwrap().field_json("barcode").is_empty());
        let mut hidden = asked;
        hidden["exported"] = json!(false);
        assert_eq!(host.write("keys/d", hidden).await.unwrap().data_json(), "{}");
    })
    .await;
}

#[tokio::test]
async fn cve_2025_6014_a_code_is_valid_once_whatever_surrounds_it() {
    Harness::run(blueprint(), |host| async move {
        host.write("keys/bob", json!({ "key": RFC_KEY })).await.unwrap();
        let first = code(&host, "bob").await;
        assert!(!is_valid(&host, "bob", &wrong_code(&first)).await);
        let writes = host.storage_writes();
        assert!(!is_valid(&host, "bob", &wrong_code(&first)).await);
        assert_eq!(host.storage_writes(), writes, "a wrong code costs no write");

        let (one, two) = tokio::join!(
            host.write("code/bob", json!({ "code": first })),
            host.write("code/bob", json!({ "code": first })),
        );
        assert_eq!(u8::from(one.is_ok()) + u8::from(two.is_ok()), 1, "{one:?} {two:?}");
        let used = "code already used; wait until the next time period";
        host.reopen().await;
        assert_eq!(message(&host, "code/bob", json!({ "code": first })).await, used);
        let digits = "invalid number of digits for the code";
        for spelling in [format!(" {first}"), format!("{first} "), format!("{first}\n")] {
            assert_eq!(message(&host, "code/bob", json!({ "code": spelling })).await, digits);
        }

        // The next code is valid, and the first one is still used up within the skew.
        host.advance(Duration::from_secs(30)).await;
        assert!(is_valid(&host, "bob", &code(&host, "bob").await).await);
        assert_eq!(message(&host, "code/bob", json!({ "code": first })).await, used);
        host.advance(Duration::from_secs(60)).await;
        assert!(!is_valid(&host, "bob", &first).await);

        // A code stays used if the same key is written again, also after it was deleted.
        let current = code(&host, "bob").await;
        assert!(is_valid(&host, "bob", &current).await);
        for deletes in [false, true] {
            if deletes {
                host.delete("keys/bob").await.unwrap();
            }
            host.write("keys/bob", json!({ "key": RFC_KEY })).await.unwrap();
            assert_eq!(message(&host, "code/bob", json!({ "code": current })).await, used);
        }
        // Another key begins anew, and nothing is left of a key whose codes have passed.
        host.write("keys/bob", json!({ "key": "GEZDGNBVGY3TQOJR" })).await.unwrap();
        let other = code(&host, "bob").await;
        assert!(is_valid(&host, "bob", &other).await);
        host.advance(Duration::from_secs(120)).await;
        host.delete("keys/bob").await.unwrap();
        assert!(host.stored_keys().is_empty(), "{:?}", host.stored_keys());
    })
    .await;
}

#[tokio::test]
async fn a_code_has_the_times_between_which_it_is_current() {
    Harness::run(blueprint(), |host| async move {
        let key = json!({ "key": RFC_KEY, "period": "90s", "digits": 8, "algorithm": "SHA256" });
        host.write("keys/bob", key).await.unwrap();
        let got = host.read("code/bob").await.unwrap();
        let number = |name: &str| got.field_json(name).parse::<i64>().unwrap();
        let now = host.now().as_secs();
        assert_eq!(number("generated"), now);
        assert_eq!(number("expire_time"), (now / 90 + 1) * 90);
        assert_eq!((got.text("period"), got.text("code").len()), ("1m30s".to_owned(), 8));
    })
    .await;
}

#[tokio::test]
async fn a_code_that_could_not_be_recorded_is_not_reported_valid() {
    Harness::run(blueprint(), |host| async move {
        host.write("keys/bob", json!({ "key": RFC_KEY })).await.unwrap();
        let current = code(&host, "bob").await;
        host.fail_writes_after(0);
        assert!(host.write("code/bob", json!({ "code": current })).await.is_err());
        host.repair_storage();
        assert!(is_valid(&host, "bob", &current).await);
    })
    .await;
}

#[tokio::test]
async fn what_is_wrong_with_a_key_is_named_and_nothing_is_stored() {
    Harness::run(blueprint(), |host| async move {
        let named = |mut more: serde_json::Value| {
            more["generate"] = json!(true);
            more["issuer"] = json!("i");
            more["account_name"] = json!("a");
            more
        };
        let cases = [
            (json!({}), "the key value is required"),
            (json!({ "key": "1" }), "invalid key value: expected base32 (A-Z, 2-7)"),
            (json!({ "key": RFC_KEY, "digits": 7 }), "the digits value can only be 6 or 8"),
            (json!({ "key": RFC_KEY, "digits": -6 }), "the digits value can only be 6 or 8"),
            (json!({ "key": RFC_KEY, "period": 0 }), "the period value must be greater than zero"),
            (
                json!({ "url": "otpauth://totp/x?secret=GEZDGNBVGY3TQOJQ&period=9223372037" }),
                "the period value must not exceed 366 days",
            ),
            (json!({ "key": RFC_KEY, "skew": 2 }), "the skew value must be 0 or 1"),
            (json!({ "url": "otpauth://hotp/a" }), "the url doesn't begin with otpauth://totp/"),
            (json!({ "url": "otpauth://totp/a" }), "the key value is required"),
            (
                json!({ "generate": true, "issuer": "i" }),
                "the account_name value is required for generated keys",
            ),
            (
                json!({ "generate": true, "account_name": "a" }),
                "the issuer value is required for generated keys",
            ),
            (named(json!({ "key": RFC_KEY })), "a key should not be passed if generate is true"),
            (
                named(json!({ "url": "otpauth://totp/a" })),
                "a url should not be passed if generate is true",
            ),
            (named(json!({ "key_size": 0 })), "the key_size value must be greater than zero"),
            (named(json!({ "key_size": 1025 })), "the key has more than 1024 bytes"),
            (
                named(json!({ "qr_size": -1 })),
                "the qr_size value must be greater than or equal to zero",
            ),
            (named(json!({ "qr_size": 9999 })), "the qr_size value must not exceed 1024"),
        ];
        for (body, expected) in cases {
            assert_eq!(message(&host, "keys/bob", body.clone()).await, expected, "{body}");
        }
        let algorithm = message(&host, "keys/bob", json!({ "key": RFC_KEY, "algorithm": "MD5" }));
        assert!(algorithm.await.contains(r#"expected one of "SHA1", "SHA256", "SHA512""#));
        assert!(host.stored_keys().is_empty());
        let unknown = host.read("code/bob").await.unwrap_err();
        assert_eq!(unknown.message, "unknown key: bob");
        let unknown = message(&host, "code/bob", json!({ "code": "123456" })).await;
        assert_eq!(unknown, "unknown key: bob");
        host.write("keys/bob", json!({ "key": RFC_KEY })).await.unwrap();
        assert_eq!(message(&host, "code/bob", json!({})).await, "the code value is required");
    })
    .await;
}

#[tokio::test]
async fn a_write_replaces_the_whole_key() {
    Harness::run(blueprint(), |host| async move {
        let first = json!({ "key": RFC_KEY, "issuer": "i", "digits": 8, "period": 60 });
        host.write("keys/bob", first).await.unwrap();
        host.write("keys/bob", json!({ "key": "GEZDGNBVGY" })).await.unwrap();
        let shown = host.read("keys/bob").await.unwrap();
        assert_eq!((shown.text("issuer").as_str(), shown.field_json("digits")), ("", "6"));
        assert_eq!(shown.field_json("period"), "30");
    })
    .await;
}
