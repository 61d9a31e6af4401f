//! One rule for every duration of the API: read in the same forms, rounded up to whole seconds, and
//! refused where it is none. Never rounded to zero, which means "no limit" or "the default".

use strongroom_types::Ttl;

use super::Bench;
use super::bench::Got;
use crate::request::Verb;

/// Where a duration is given, and where it is seen afterwards.
struct Place {
    path: &'static str,
    /// `{}` stands for the value.
    body: &'static str,
    seen: Seen,
}

enum Seen {
    /// A field of the token that was made.
    Token(&'static str),
    /// A field at a path.
    At(&'static str, &'static str),
    /// The lifetime of the lease in the answer.
    Lease,
    /// The lifetime of the token in the answer.
    Auth,
}

const PLACES: [Place; 20] = [
    at("auth/token/create", r#"{"ttl":{}}"#, Seen::Token("creation_ttl")),
    at("auth/token/create", r#"{"lease":{}}"#, Seen::Token("creation_ttl")),
    at("auth/token/create", r#"{"explicit_max_ttl":{}}"#, Seen::Token("explicit_max_ttl")),
    at("auth/token/create", r#"{"period":{}}"#, Seen::Token("period")),
    at("auth/token/create-orphan", r#"{"ttl":{}}"#, Seen::Token("creation_ttl")),
    role(r#"{"token_explicit_max_ttl":{}}"#, "token_explicit_max_ttl"),
    role(r#"{"explicit_max_ttl":{}}"#, "explicit_max_ttl"),
    role(r#"{"token_period":{}}"#, "token_period"),
    role(r#"{"period":{}}"#, "period"),
    mount(r#"{"type":"kv","config":{"default_lease_ttl":{}}}"#, "default_lease_ttl"),
    mount(r#"{"type":"kv","config":{"max_lease_ttl":{}}}"#, "max_lease_ttl"),
    at(
        "sys/mounts/out/tune",
        r#"{"default_lease_ttl":{}}"#,
        Seen::At("sys/mounts/out/tune", "default_lease_ttl"),
    ),
    at(
        "sys/mounts/out/tune",
        r#"{"max_lease_ttl":{}}"#,
        Seen::At("sys/mounts/out/tune", "max_lease_ttl"),
    ),
    at(
        "sys/auth/token/tune",
        r#"{"max_lease_ttl":{}}"#,
        Seen::At("sys/auth/token/tune", "max_lease_ttl"),
    ),
    at("out/roles/other", r#"{"ttl":{}}"#, Seen::At("out/roles/other", "ttl")),
    at("sys/leases/renew", r#"{"lease_id":"<lease>","increment":{}}"#, Seen::Lease),
    at("auth/token/renew", r#"{"token":"<token>","increment":{}}"#, Seen::Auth),
    at("auth/token/renew-accessor", r#"{"accessor":"<accessor>","increment":{}}"#, Seen::Auth),
    at(
        "versioned/config",
        r#"{"delete_version_after":{}}"#,
        Seen::At("versioned/config", "delete_version_after"),
    ),
    at(
        "versioned/metadata/a",
        r#"{"delete_version_after":{}}"#,
        Seen::At("versioned/metadata/a", "delete_version_after"),
    ),
];

const fn at(path: &'static str, body: &'static str, seen: Seen) -> Place {
    Place { path, body, seen }
}

const fn role(body: &'static str, field: &'static str) -> Place {
    at("auth/token/roles/r", body, Seen::At("auth/token/roles/r", field))
}

const fn mount(body: &'static str, field: &'static str) -> Place {
    at("sys/mounts/new", body, Seen::At("sys/mounts/new/tune", field))
}

/// A core with a mount of each kind, and what can be renewed.
struct Table {
    bench: Bench,
    names: Vec<(&'static str, String)>,
}

impl Table {
    async fn new() -> Self {
        let bench = Bench::new().await.with_credentials().await;
        bench.write("sys/mounts/versioned", r#"{"type":"kv","options":{"version":"2"}}"#).await;
        bench.settle().await;
        let lease = bench.read("out/creds/dev").await.lease;
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

    fn body(&self, place: &Place, value: &str) -> String {
        let body = place.body.replace("{}", value);
        self.names.iter().fold(body, |body, (name, text)| body.replace(name, text))
    }

    async fn seen(&self, place: &Place, got: Got) -> Ttl {
        let seconds = |json: &str| Ttl::parse(json.trim_matches('"')).unwrap();
        match place.seen {
            Seen::Token(field) => {
                let token = got.auth.text("client_token").unwrap();
                let body = format!(r#"{{"token":"{token}"}}"#);
                seconds(self.bench.write("auth/token/lookup", &body).await.json(field))
            }
            Seen::At(path, field) => seconds(self.bench.read(path).await.json(field)),
            Seen::Lease => Ttl::from_secs(got.ttl),
            Seen::Auth => seconds(got.auth.get("lease_duration").unwrap().get()),
        }
    }
}

#[tokio::test]
async fn every_duration_is_rounded_up_to_whole_seconds() {
    let table = Table::new().await;
    for place in &PLACES {
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
            // A role without a role's other lifetimes, and a mount that is made anew.
            for path in ["auth/token/roles/r", "sys/mounts/new", "out/roles/other"] {
                table.bench.ok(Verb::Delete, path, "").await;
            }
            for path in ["sys/mounts/out/tune", "sys/auth/token/tune"] {
                let own = r#"{"default_lease_ttl":"system","max_lease_ttl":"system"}"#;
                table.bench.write(path, own).await;
            }
            let body = table.body(place, value);
            let got = table.bench.write(place.path, &body).await;
            let seen = table.seen(place, got).await;
            assert_eq!(seen, Ttl::from_secs(secs), "{} {body}", place.path);
        }
    }
}

#[tokio::test]
async fn what_is_no_duration_is_refused_everywhere() {
    let table = Table::new().await;
    for place in &PLACES {
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
            let body = table.body(place, value);
            let error = table.bench.fails(Verb::Write, place.path, &body).await;
            assert!(error.kind().is_users(), "{} {body}: {error}", place.path);
        }
        // For versions of KV it means "never", in the settings of the mount.
        if place.path == "versioned/config" {
            continue;
        }
        for value in ["\"-500ms\"", "-0.5", "\"-2s\""] {
            let body = table.body(place, value);
            let error = table.bench.fails(Verb::Write, place.path, &body).await;
            assert!(error.kind().is_users(), "{} {body}: {error}", place.path);
        }
    }
}

/// A default above its maximum is refused where both are known.
#[tokio::test]
async fn a_default_above_its_maximum_is_refused() {
    let table = Table::new().await;
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
            error.kind().is_users() && error.to_string().contains("TTL"),
            "{path} {body}: {error}"
        );
    }
    let tune = |body: &'static str| table.bench.write("sys/mounts/out/tune", body);
    tune(r#"{"default_lease_ttl":"2h","max_lease_ttl":"3h"}"#).await;
    // One of the two at a time.
    let below = r#"{"max_lease_ttl":"1h"}"#;
    table.bench.fails(Verb::Write, "sys/mounts/out/tune", below).await;
    let above = r#"{"default_lease_ttl":"4h"}"#;
    table.bench.fails(Verb::Write, "sys/mounts/out/tune", above).await;
    // A maximum alone also bounds the server's default.
    tune(r#"{"default_lease_ttl":"system","max_lease_ttl":"1h"}"#).await;
    let seen = table.bench.read("sys/mounts/out/tune").await;
    assert_eq!((seen.json("default_lease_ttl"), seen.json("max_lease_ttl")), ("3600", "3600"));
}
