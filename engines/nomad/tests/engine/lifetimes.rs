//! How long leases and tokens live, and which setting applies.

use strongroom_fakes::nomad::{FakeNomad, NomadVersion};
use strongroom_sdk::Ttl;
use strongroom_sdk::testing::{TestHost, json};

use super::{on_every_transport, secs, start_configured_nomad, start_configured_nomad_with};

/// For a new token: the lease's lifetime, its maximum, and Nomad's own expiry, in seconds.
async fn lifetimes_of_new_token(host: &TestHost, nomad: &FakeNomad, role: &str) -> (u64, u64, u64) {
    let got = host.read(&format!("creds/{role}")).await.unwrap();
    assert!(got.warnings.is_empty(), "{:?}", got.warnings);
    let (lease, token) = (got.lease(), nomad.tokens().pop().unwrap());
    (lease.ttl.as_secs(), lease.max_ttl.as_secs(), token.expiration_ttl.as_secs())
}

#[tokio::test]
async fn role_lifetimes_precede_config_lease_and_mount() {
    on_every_transport(|host| async move {
        let nomad = start_configured_nomad(&host).await;
        host.tune(Ttl::from_secs(120), Ttl::from_secs(7200));
        host.write("role/open", json!({ "policies": "p" })).await.unwrap();
        host.write("role/half", json!({ "policies": "p", "max_ttl": "20m" })).await.unwrap();
        host.write("role/long", json!({ "policies": "p", "max_ttl": "9h" })).await.unwrap();
        assert_eq!(lifetimes_of_new_token(&host, &nomad, "ci").await, (60, 600, 600));
        assert_eq!(lifetimes_of_new_token(&host, &nomad, "open").await, (120, 7200, 7200));
        host.write("config/lease", json!({ "ttl": "5m", "max_ttl": "30m" })).await.unwrap();
        assert_eq!(lifetimes_of_new_token(&host, &nomad, "ci").await, (60, 600, 600));
        assert_eq!(lifetimes_of_new_token(&host, &nomad, "open").await, (300, 1800, 1800));
        assert_eq!(lifetimes_of_new_token(&host, &nomad, "half").await, (300, 1200, 1200));
        assert_eq!(
            lifetimes_of_new_token(&host, &nomad, "long").await,
            (300, 7200, 7200),
            "within the mount's"
        );
    })
    .await;
}

/// Storing the intent takes a fraction of a second.
#[tokio::test]
async fn a_fraction_of_a_second_shortens_nothing() {
    on_every_transport(|host| async move {
        let nomad = start_configured_nomad(&host).await;
        host.write("role/ci", json!({ "ttl": "10m" })).await.unwrap();
        host.slow_writes(std::time::Duration::from_millis(300));
        assert_eq!(lifetimes_of_new_token(&host, &nomad, "ci").await, (600, 600, 600));
    })
    .await;
}

#[tokio::test]
async fn a_renewed_lease_lives_on_until_nomads_own_expiry_and_not_beyond() {
    on_every_transport(|host| async move {
        let nomad = start_configured_nomad(&host).await;
        let got = host.read("creds/ci").await.unwrap();
        let (id, secret) = (&got.lease().id, got.text("secret_id"));
        // Later changes of role and mount don't matter.
        let more = json!({ "ttl": "1h", "max_ttl": "20h" });
        host.write("role/ci", more).await.unwrap();
        for left in [570, 540, 510] {
            host.advance(secs(30)).await;
            let renewed = host.renew(id, Ttl::from_secs(36_000)).await.unwrap();
            assert_eq!(renewed.ttl.as_secs(), left);
            assert!(nomad.accepts(&secret));
        }
        assert_eq!(nomad.tokens()[0].expires.as_deref(), Some("2030-01-01T00:10:00Z"));
        host.advance(secs(509)).await;
        assert_eq!(host.renew(id, Ttl::ZERO).await.unwrap().ttl.as_secs(), 1);
        host.advance(secs(1)).await;
        assert!(host.leases().is_empty() && nomad.tokens().is_empty());
    })
    .await;
}

#[tokio::test]
async fn leases_are_capped_by_nomads_max_expiration() {
    on_every_transport(|host| async move {
        let nomad = start_configured_nomad(&host).await;
        host.write("role/open", json!({ "policies": "p" })).await.unwrap();
        let got = host.read("creds/open").await.unwrap();
        assert_eq!(
            got.warnings,
            ["Nomad lets no token live longer than 24h0m0s (its acl.token_max_expiration_ttl): the \
              lease's longest lifetime is that and not 768h0m0s"]
        );
        let lease = got.lease();
        assert_eq!((lease.ttl.as_secs(), lease.max_ttl.as_secs()), (86_400, 86_400));
        assert_eq!(nomad.tokens().len(), 1, "the refusal left nothing behind");
        assert_eq!(nomad.tokens()[0].expiration_ttl.as_secs(), 86_400);
        host.advance(secs(3600)).await;
        let renewed = host.renew(&lease.id, Ttl::from_secs(90_000)).await.unwrap();
        assert_eq!(renewed.ttl.as_secs(), 82_800);
        host.advance(secs(82_800)).await;
        assert!(host.leases().is_empty() && nomad.tokens().is_empty());
    })
    .await;
}

#[tokio::test]
async fn the_expiration_limit_is_read_from_nomads_error() {
    on_every_transport(|host| async move {
        let longest = Ttl::from_secs(400);
        let nomad =
            start_configured_nomad_with(&host, |options| options.max_expiration = longest).await;
        let got = host.read("creds/ci").await.unwrap();
        assert_eq!(got.warnings.len(), 1);
        assert!(got.warnings[0].contains("6m40s") && got.warnings[0].contains("10m0s"));
        assert_eq!(got.lease().max_ttl, longest);
        assert_eq!(nomad.tokens()[0].expiration_ttl, longest);
    })
    .await;
}

#[tokio::test]
async fn below_nomads_shortest_expiry_only_the_lease_ends_the_token() {
    on_every_transport(|host| async move {
        let nomad = start_configured_nomad(&host).await;
        host.write("role/ci", json!({ "ttl": "10s", "max_ttl": "30s" })).await.unwrap();
        assert_eq!(lifetimes_of_new_token(&host, &nomad, "ci").await, (10, 30, 0));
        assert_eq!(nomad.tokens()[0].expires, None);
        host.advance(secs(10)).await;
        assert!(nomad.tokens().is_empty());
        // With exactly this value, there is one.
        host.write("role/ci", json!({ "max_ttl": "60s" })).await.unwrap();
        assert_eq!(lifetimes_of_new_token(&host, &nomad, "ci").await, (10, 60, 60));
    })
    .await;
}

#[tokio::test]
async fn an_old_nomad_without_expiry_adds_a_warning() {
    on_every_transport(|host| async move {
        let nomad = start_configured_nomad_with(&host, |options| {
            options.version = NomadVersion::BeforeExpiry;
        })
        .await;
        let got = host.read("creds/ci").await.unwrap();
        assert_eq!(
            got.warnings,
            ["this Nomad has no token expiry: only the end of the lease deletes the token"]
        );
        assert_eq!((got.lease().ttl.as_secs(), got.lease().max_ttl.as_secs()), (60, 600));
        host.renew(&got.lease().id, Ttl::ZERO).await.unwrap();
        host.revoke(&got.lease().id).await.unwrap();
        assert!(nomad.tokens().is_empty());
    })
    .await;
}
