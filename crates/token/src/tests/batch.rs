//! Tokens that are their own record.

use super::*;
use crate::{Cidr, MAX_BATCH_CHARS};

fn sealed(bench: &Bench, new: NewToken) -> Created {
    bench.tokens.seal_batch(new, bench.clock.now()).unwrap()
}

fn under(parent: &Created) -> NewToken {
    NewToken { parent: Some(parent.key.clone()), ..plain() }
}

#[tokio::test]
async fn a_batch_token_costs_no_storage_and_carries_all_it_is() {
    let bench = Bench::new().await;
    let parent = bench.child(None).await;
    let before = bench.barrier.view("token/").keys("", None, 100).await.unwrap();
    let meta = Some([("team".to_owned(), "red".to_owned())].into());
    let bound_cidrs = vec![Cidr::parse("10.0.0.0/8").unwrap()];
    let role = Some("ci".to_owned());
    let token = sealed(&bench, NewToken { meta, bound_cidrs, role, ..under(&parent) });
    assert!(token.id.expose_secret().starts_with("hvb."));
    let now = bench.clock.now();
    let found = bench.tokens.look_up(token.id.expose_secret(), now).await.unwrap().unwrap();
    assert_eq!(*found.token, token.token);
    assert!(found.token.is_batch() && found.token.accessor.as_str().is_empty());
    assert_eq!(bench.barrier.view("token/").keys("", None, 100).await.unwrap(), before);
    // What it says is readable by nobody else.
    let id = token.id.expose_secret();
    let bytes = data_encoding::BASE64URL_NOPAD.decode(&id.as_bytes()[4..]).unwrap();
    assert!(!String::from_utf8_lossy(&bytes).contains("default"));
}

#[tokio::test]
async fn a_batch_token_ends_with_its_time() {
    let bench = Bench::new().await;
    let token = sealed(&bench, plain());
    bench.clock.advance(Duration::from_secs(59));
    assert!(bench.works(&token).await);
    bench.clock.advance(Duration::from_secs(1));
    assert!(!bench.works(&token).await);
    let endless = sealed(&bench, NewToken { ttl: Ttl::ZERO, ..plain() });
    assert!(!bench.works(&endless).await, "one that says it never ends is none of ours");
}

/// A request that is still under way at a seal must not be told that it has a token, or that it has
/// none: the keys that were put in the place of the real ones say nothing.
#[tokio::test]
async fn a_closed_store_makes_no_batch_token_and_judges_none() {
    let bench = Bench::new().await;
    let token = sealed(&bench, plain());
    assert!(bench.works(&token).await);
    bench.barrier.close();
    bench.tokens.close();
    let now = bench.clock.now();
    let made = bench.tokens.seal_batch(plain(), now).err().unwrap();
    assert_eq!(made.kind(), ErrorKind::Sealed);
    let judged = bench.tokens.look_up(token.id.expose_secret(), now).await.unwrap_err();
    assert_eq!(judged.kind(), ErrorKind::Sealed);
}

#[tokio::test]
async fn a_batch_token_ends_with_its_parent_however_that_ends() {
    let bench = Bench::new().await;
    let top = bench.child(None).await;
    let long = NewToken { ttl: Ttl::from_secs(600), ..plain() };
    let parents = [
        bench.make(under(&top)).await.unwrap(),
        bench.make(under(&top)).await.unwrap(),
        bench.make(under(&top)).await.unwrap(),
    ];
    let tokens: Vec<Created> = parents
        .iter()
        .map(|parent| {
            let parent = Some(parent.key.clone());
            sealed(&bench, NewToken { parent, ttl: Ttl::from_secs(600), ..plain() })
        })
        .collect();
    let orphan = sealed(&bench, long);
    bench.tokens.mark(&parents[0].key, Mark::Tree).await.unwrap();
    assert!(!bench.works(&tokens[0]).await && bench.works(&tokens[1]).await);
    // A parent that leaves its children behind takes these along: they can't be told.
    bench.tokens.mark(&parents[1].key, Mark::Orphan).await.unwrap();
    assert!(!bench.works(&tokens[1]).await && bench.works(&tokens[2]).await);
    for parent in &parents[..2] {
        bench.tokens.remove(&parent.key, Batch::new()).await.unwrap();
    }
    assert!(!bench.works(&tokens[0]).await && !bench.works(&tokens[1]).await);
    bench.tokens.mark(&top.key, Mark::Tree).await.unwrap();
    assert!(!bench.works(&tokens[2]).await, "whatever is above");
    assert!(bench.works(&orphan).await);
    let lasting = bench.child(None).await;
    let under_it = sealed(&bench, NewToken { ttl: Ttl::from_secs(600), ..under(&lasting) });
    bench.clock.advance(Duration::from_secs(60));
    assert!(!bench.works(&under_it).await, "the parent has expired");
}

#[tokio::test]
async fn a_batch_token_that_was_changed_anywhere_is_none() {
    let bench = Bench::new().await;
    let token = sealed(&bench, plain());
    let (id, now) = (token.id.expose_secret(), bench.clock.now());
    let works = async |id: &str| bench.tokens.look_up(id, now).await.unwrap().is_some();
    assert!(works(id).await);
    for at in 4..id.len() {
        let mut changed = id.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(!works(&changed).await, "character {at}");
    }
    for changed in [
        format!("{id}A"),
        format!("{id}="),
        format!("{id} "),
        id[..id.len() - 1].to_owned(),
        id.replacen("hvb.", "b.", 1),
        id.replacen("hvb.", "hvs.", 1),
        id.replacen("hvb.", "hvb.hvb.", 1),
        "hvb.".to_owned(),
        "hvb.AQ".to_owned(),
        format!("hvb.{}", "A".repeat(MAX_BATCH_CHARS)),
        format!("hvb.{}", "A".repeat(1 << 20)),
    ] {
        assert!(!works(&changed).await, "{} characters", changed.len());
    }
}

#[tokio::test]
async fn a_batch_token_belongs_to_one_server_and_survives_its_restart() {
    let (bench, other) = (Bench::new().await, Bench::new().await);
    let token = sealed(&bench, plain());
    let (id, now) = (token.id.expose_secret(), bench.clock.now());
    assert!(other.tokens.look_up(id, now).await.unwrap().is_none());
    let reloaded =
        TokenStore::load(bench.barrier.view("token/"), TokenStore::CACHE_BYTES).await.unwrap();
    assert!(reloaded.look_up(id, now).await.unwrap().is_some());
    // A store from before there were any gets its key, once.
    let view = bench.barrier.view("token/");
    let mut batch = Batch::new();
    view.delete(&mut batch, "batch-key");
    view.commit(batch).await.unwrap();
    let first = TokenStore::load(view.clone(), TokenStore::CACHE_BYTES).await.unwrap();
    assert!(first.look_up(id, now).await.unwrap().is_none());
    let made = first.seal_batch(plain(), now).unwrap();
    let second = TokenStore::load(view, TokenStore::CACHE_BYTES).await.unwrap();
    assert!(second.look_up(made.id.expose_secret(), now).await.unwrap().is_some());
}

#[tokio::test]
async fn a_batch_token_is_no_longer_than_a_header() {
    let bench = Bench::new().await;
    let with = |bytes: usize| NewToken {
        meta: Some([("k".to_owned(), "x".repeat(bytes))].into()),
        ..plain()
    };
    let token = sealed(&bench, with(5_000));
    assert!(token.id.expose_secret().len() <= MAX_BATCH_CHARS && bench.works(&token).await);
    for bytes in [7_000, 1 << 20] {
        let error = bench.tokens.seal_batch(with(bytes), bench.clock.now()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
    }
}
