//! Runs the engine through the SDK's contract tests.

use strongroom_bench_noop::blueprint;
use strongroom_sdk::contract;
use strongroom_sdk::testing::{Harness, Transport};

#[tokio::test]
async fn keeps_to_the_contract() {
    contract::check(blueprint(), &[("static/one", r#"{"value":"v"}"#)]).await;
}

#[tokio::test]
async fn a_credential_has_a_lease_that_ends_and_holds_no_secret() {
    // Other hosts, such as Vault, store the response of a plug-in with the lease.
    Harness::run_on(&[Transport::Linked, Transport::Wire], blueprint(), |host| async move {
        let got = host.read("leased").await.unwrap();
        assert_eq!(got.text("secret"), "not much of one");
        let lease = got.lease().clone();
        assert!(!lease.stored_data().contains("not much of one"));
        host.revoke(&lease.id).await.unwrap();
        assert!(host.leases().is_empty());
        assert!(host.open_intents().is_empty());
    })
    .await;
}
