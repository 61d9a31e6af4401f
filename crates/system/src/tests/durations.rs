//! All durations of the API are parsed alike: the same formats, rounded up to whole seconds, and
//! refused if invalid. None is rounded down to zero, which means "no limit" or "the default".

use strongroom_core::request::Verb;
use strongroom_types::Ttl;

use super::TestCore;
use super::test_core::TestResponse;

/// A duration field, and where its effect can be read back.
struct DurationField {
    path: &'static str,
    /// The request body, with `{}` in place of the value.
    body_template: &'static str,
    read_back: ReadBack,
}

enum ReadBack {
    /// A field of the created token.
    Token(&'static str),
    /// A field in the response of a path.
    Path(&'static str, &'static str),
    /// The TTL of the lease in the response.
    Lease,
    /// The TTL of the token in the response.
    Auth,
}

const DURATION_FIELDS: [DurationField; 20] = [
    field_at("auth/token/create", r#"{"ttl":{}}"#, ReadBack::Token("creation_ttl")),
    field_at("auth/token/create", r#"{"lease":{}}"#, ReadBack::Token("creation_ttl")),
    field_at(
        "auth/token/create",
        r#"{"explicit_max_ttl":{}}"#,
        ReadBack::Token("explicit_max_ttl"),
    ),
    field_at("auth/token/create", r#"{"period":{}}"#, ReadBack::Token("period")),
    field_at("auth/token/create-orphan", r#"{"ttl":{}}"#, ReadBack::Token("creation_ttl")),
    role_field(r#"{"token_explicit_max_ttl":{}}"#, "token_explicit_max_ttl"),
    role_field(r#"{"explicit_max_ttl":{}}"#, "explicit_max_ttl"),
    role_field(r#"{"token_period":{}}"#, "token_period"),
    role_field(r#"{"period":{}}"#, "period"),
    mount_field(r#"{"type":"kv","config":{"default_lease_ttl":{}}}"#, "default_lease_ttl"),
    mount_field(r#"{"type":"kv","config":{"max_lease_ttl":{}}}"#, "max_lease_ttl"),
    field_at(
        "sys/mounts/out/tune",
        r#"{"default_lease_ttl":{}}"#,
        ReadBack::Path("sys/mounts/out/tune", "default_lease_ttl"),
    ),
    field_at(
        "sys/mounts/out/tune",
        r#"{"max_lease_ttl":{}}"#,
        ReadBack::Path("sys/mounts/out/tune", "max_lease_ttl"),
    ),
    field_at(
        "sys/auth/token/tune",
        r#"{"max_lease_ttl":{}}"#,
        ReadBack::Path("sys/auth/token/tune", "max_lease_ttl"),
    ),
    field_at("out/roles/other", r#"{"ttl":{}}"#, ReadBack::Path("out/roles/other", "ttl")),
    field_at("sys/leases/renew", r#"{"lease_id":"<lease>","increment":{}}"#, ReadBack::Lease),
    field_at("auth/token/renew", r#"{"token":"<token>","increment":{}}"#, ReadBack::Auth),
    field_at(
        "auth/token/renew-accessor",
        r#"{"accessor":"<accessor>","increment":{}}"#,
        ReadBack::Auth,
    ),
    field_at(
        "versioned/config",
        r#"{"delete_version_after":{}}"#,
        ReadBack::Path("versioned/config", "delete_version_after"),
    ),
    field_at(
        "versioned/metadata/a",
        r#"{"delete_version_after":{}}"#,
        ReadBack::Path("versioned/metadata/a", "delete_version_after"),
    ),
];

const fn field_at(path: &'static str, body: &'static str, seen: ReadBack) -> DurationField {
    DurationField { path, body_template: body, read_back: seen }
}

const fn role_field(body: &'static str, field: &'static str) -> DurationField {
    field_at("auth/token/roles/r", body, ReadBack::Path("auth/token/roles/r", field))
}

const fn mount_field(body: &'static str, field: &'static str) -> DurationField {
    field_at("sys/mounts/new", body, ReadBack::Path("sys/mounts/new/tune", field))
}

/// A core with a mount of each kind, and the renewable things the fields refer to.
struct DurationFixture {
    bench: TestCore,
    names: Vec<(&'static str, String)>,
}

impl DurationFixture {
    async fn new() -> Self {
        let bench = TestCore::new().await.with_credential_engine().await;
        bench.write("sys/mounts/versioned", r#"{"type":"kv","options":{"version":"2"}}"#).await;
        bench.run_until_idle().await;
        let lease = bench.read("out/creds/dev").await.lease_id;
        let token =
            bench.write("auth/token/create", r#"{"policies":["default"],"ttl":"9h"}"#).await;
        let text = |field| token.auth.text(field).unwrap();
        let names = vec![
            ("<lease>", lease),
            ("<token>", text("client_token")),
            ("<accessor>", text("accessor")),
        ];
        Self { bench, names }
    }

    fn request_body(&self, place: &DurationField, value: &str) -> String {
        let body = place.body_template.replace("{}", value);
        self.names.iter().fold(body, |body, (name, text)| body.replace(name, text))
    }

    async fn read_back(&self, place: &DurationField, got: TestResponse) -> Ttl {
        let seconds = |json: &str| Ttl::parse(json.trim_matches('"')).unwrap();
        match place.read_back {
            ReadBack::Token(field) => {
                let token = got.auth.text("client_token").unwrap();
                let body = format!(r#"{{"token":"{token}"}}"#);
                seconds(self.bench.write("auth/token/lookup", &body).await.json(field))
            }
            ReadBack::Path(path, field) => seconds(self.bench.read(path).await.json(field)),
            ReadBack::Lease => Ttl::from_secs(got.ttl),
            ReadBack::Auth => seconds(got.auth.get("lease_duration").unwrap().get()),
        }
    }
}

#[tokio::test]
async fn every_duration_is_rounded_up_to_whole_seconds() {
    let table = DurationFixture::new().await;
    for place in &DURATION_FIELDS {
        for (value, secs) in [
            ("30", 30),
            ("\"30\"", 30),
            ("\"30s\"", 30),
            ("\"0.5m\"", 30),
            ("\"500ms\"", 1),
            ("\"1ns\"", 1),
            ("0.9", 1),
            ("\"0.0000000001s\"", 1),
            ("\"1500ms\"", 2),
            ("\"1m30s\"", 90),
        ] {
            // Delete first, so that no earlier setting affects this case.
            for path in ["auth/token/roles/r", "sys/mounts/new", "out/roles/other"] {
                table.bench.succeeds(Verb::Delete, path, "").await;
            }
            for path in ["sys/mounts/out/tune", "sys/auth/token/tune"] {
                let own = r#"{"default_lease_ttl":"system","max_lease_ttl":"system"}"#;
                table.bench.write(path, own).await;
            }
            let body = table.request_body(place, value);
            let got = table.bench.write(place.path, &body).await;
            let seen = table.read_back(place, got).await;
            assert_eq!(seen, Ttl::from_secs(secs), "{} {body}", place.path);
        }
    }
}

#[tokio::test]
async fn what_is_no_duration_is_refused_everywhere() {
    let table = DurationFixture::new().await;
    for place in &DURATION_FIELDS {
        for value in [
            "\"zz\"",
            "\"1e3\"",
            "1e3",
            "\"NaN\"",
            "\"1w\"",
            "9223372037",
            "\"9223372036854775807h\"",
            "[1]",
        ] {
            let body = table.request_body(place, value);
            let error = table.bench.fails(Verb::Write, place.path, &body).await;
            assert!(error.kind().is_user_error(), "{} {body}: {error}", place.path);
        }
        // In the configuration of versioned KV, zero means "never".
        if place.path == "versioned/config" {
            continue;
        }
        for value in ["\"-500ms\"", "-0.5", "\"-2s\""] {
            let body = table.request_body(place, value);
            let error = table.bench.fails(Verb::Write, place.path, &body).await;
            assert!(error.kind().is_user_error(), "{} {body}: {error}", place.path);
        }
    }
}

/// A default TTL above the maximum is refused when both are given or stored.
#[tokio::test]
async fn a_default_above_its_maximum_is_refused() {
    let table = DurationFixture::new().await;
    let months = "\"2160h\"";
    for (path, body) in [
        (
            "sys/mounts/new",
            r#"{"type":"kv","config":{"default_lease_ttl":"2h","max_lease_ttl":"1h"}}"#,
        ),
        ("sys/mounts/new", r#"{"type":"kv","config":{"default_lease_ttl":<months>}}"#),
        (
            "sys/mounts/new",
            r#"{"type":"kv","config":{"default_lease_ttl":"1001ms","max_lease_ttl":1}}"#,
        ),
        ("sys/mounts/out/tune", r#"{"default_lease_ttl":"2h","max_lease_ttl":"1h"}"#),
        ("sys/mounts/out/tune", r#"{"default_lease_ttl":<months>}"#),
        ("sys/auth/token/tune", r#"{"default_lease_ttl":<months>}"#),
        (
            "sys/auth/new",
            r#"{"type":"door","config":{"default_lease_ttl":"2h","max_lease_ttl":"1h"}}"#,
        ),
        ("sys/auth/new", r#"{"type":"door","config":{"default_lease_ttl":<months>}}"#),
    ] {
        let body = body.replace("<months>", months);
        let error = table.bench.fails(Verb::Write, path, &body).await;
        assert!(
            error.kind().is_user_error() && error.to_string().contains("TTL"),
            "{path} {body}: {error}"
        );
    }
    let tune = |body: &'static str| table.bench.write("sys/mounts/out/tune", body);
    tune(r#"{"default_lease_ttl":"2h","max_lease_ttl":"3h"}"#).await;
    // Changing only one of the two.
    let below = r#"{"max_lease_ttl":"1h"}"#;
    table.bench.fails(Verb::Write, "sys/mounts/out/tune", below).await;
    let above = r#"{"default_lease_ttl":"4h"}"#;
    table.bench.fails(Verb::Write, "sys/mounts/out/tune", above).await;
    // A maximum alone also caps the server's default.
    tune(r#"{"default_lease_ttl":"system","max_lease_ttl":"1h"}"#).await;
    let seen = table.bench.read("sys/mounts/out/tune").await;
    assert_eq!((seen.json("default_lease_ttl"), seen.json("max_lease_ttl")), ("3600", "3600"));
}
