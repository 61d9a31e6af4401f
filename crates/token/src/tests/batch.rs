//! Tests of batch tokens.

use strongroom_types::Cidr;

use super::*;
use crate::MAX_BATCH_CHARS;

fn create_batch(bench: &TokenFixture, new: NewToken) -> IssuedToken {
    bench.tokens.create_batch_token(new, bench.clock.now()).unwrap()
}

fn child_params(parent: &IssuedToken) -> NewToken {
    NewToken { parent: Some(parent.key.clone()), ..default_params() }
}

#[tokio::test]
async fn a_batch_token_carries_its_record_and_uses_no_storage() {
    let bench = TokenFixture::new().await;
    let parent = bench.create_child(None).await;
    let before = bench.barrier.view("token/").list_keys("", None, 100).await.unwrap();
    let meta = Some([("team".to_owned(), "red".to_owned())].into());
    let bound_cidrs = vec![Cidr::parse("10.0.0.0/8").unwrap()];
    let role = Some("ci".to_owned());
    let token = create_batch(&bench, NewToken { meta, bound_cidrs, role, ..child_params(&parent) });
    assert!(token.id.expose_secret().starts_with("hvb."));
    let now = bench.clock.now();
    let found = bench.tokens.look_up(token.id.expose_secret(), now).await.unwrap().unwrap();
    assert_eq!(*found.token, token.token);
    assert!(found.token.is_batch() && found.token.accessor.as_str().is_empty());
    assert_eq!(bench.barrier.view("token/").list_keys("", None, 100).await.unwrap(), before);
    // The payload isn't readable without the key.
    let id = token.id.expose_secret();
    let bytes = data_encoding::BASE64URL_NOPAD.decode(&id.as_bytes()[4..]).unwrap();
    assert!(!String::from_utf8_lossy(&bytes).contains("default"));
}

#[tokio::test]
async fn a_batch_token_ends_with_its_time() {
    let bench = TokenFixture::new().await;
    let token = create_batch(&bench, default_params());
    bench.clock.advance(Duration::from_secs(59));
    assert!(bench.is_usable(&token).await);
    bench.clock.advance(Duration::from_secs(1));
    assert!(!bench.is_usable(&token).await);
    let endless = create_batch(&bench, NewToken { ttl: Ttl::ZERO, ..default_params() });
    assert!(!bench.is_usable(&endless).await, "one that says it never ends is none of ours");
}

/// A request in progress while the server seals must neither get a token nor be told that there is
/// none: the random keys that replaced the real ones in memory prove nothing.
#[tokio::test]
async fn a_closed_store_neither_creates_nor_accepts_batch_tokens() {
    let bench = TokenFixture::new().await;
    let token = create_batch(&bench, default_params());
    assert!(bench.is_usable(&token).await);
    bench.barrier.close();
    bench.tokens.close();
    let now = bench.clock.now();
    let made = bench.tokens.create_batch_token(default_params(), now).err().unwrap();
    assert_eq!(made.kind(), ErrorKind::Sealed);
    let judged = bench.tokens.look_up(token.id.expose_secret(), now).await.unwrap_err();
    assert_eq!(judged.kind(), ErrorKind::Sealed);
}

#[tokio::test]
async fn a_batch_token_ends_with_its_parent_however_that_ends() {
    let bench = TokenFixture::new().await;
    let top = bench.create_child(None).await;
    let long = NewToken { ttl: Ttl::from_secs(600), ..default_params() };
    let parents = [
        bench.create(child_params(&top)).await.unwrap(),
        bench.create(child_params(&top)).await.unwrap(),
        bench.create(child_params(&top)).await.unwrap(),
    ];
    let tokens: Vec<IssuedToken> = parents
        .iter()
        .map(|parent| {
            let parent = Some(parent.key.clone());
            create_batch(&bench, NewToken { parent, ttl: Ttl::from_secs(600), ..default_params() })
        })
        .collect();
    let orphan = create_batch(&bench, long);
    bench.tokens.mark_for_revocation(&parents[0].key, RevocationMark::Tree).await.unwrap();
    assert!(!bench.is_usable(&tokens[0]).await && bench.is_usable(&tokens[1]).await);
    // Revoking a parent with an orphan mark invalidates its batch tokens too: they can't be changed
    // to orphans.
    bench.tokens.mark_for_revocation(&parents[1].key, RevocationMark::Orphan).await.unwrap();
    assert!(!bench.is_usable(&tokens[1]).await && bench.is_usable(&tokens[2]).await);
    for parent in &parents[..2] {
        bench.tokens.remove(&parent.key, Batch::new()).await.unwrap();
    }
    assert!(!bench.is_usable(&tokens[0]).await && !bench.is_usable(&tokens[1]).await);
    bench.tokens.mark_for_revocation(&top.key, RevocationMark::Tree).await.unwrap();
    assert!(!bench.is_usable(&tokens[2]).await, "whatever is above");
    assert!(bench.is_usable(&orphan).await);
    let lasting = bench.create_child(None).await;
    let under_it =
        create_batch(&bench, NewToken { ttl: Ttl::from_secs(600), ..child_params(&lasting) });
    bench.clock.advance(Duration::from_secs(60));
    assert!(!bench.is_usable(&under_it).await, "the parent has expired");
}

#[tokio::test]
async fn a_tampered_batch_token_is_refused() {
    let bench = TokenFixture::new().await;
    let token = create_batch(&bench, default_params());
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
    let (bench, other) = (TokenFixture::new().await, TokenFixture::new().await);
    let token = create_batch(&bench, default_params());
    let (id, now) = (token.id.expose_secret(), bench.clock.now());
    assert!(other.tokens.look_up(id, now).await.unwrap().is_none());
    let reloaded =
        TokenStore::load(bench.barrier.view("token/"), TokenStore::CACHE_BYTES).await.unwrap();
    assert!(reloaded.look_up(id, now).await.unwrap().is_some());
    // A store from before batch tokens existed gets its key once.
    let view = bench.barrier.view("token/");
    let mut batch = Batch::new();
    view.delete(&mut batch, "batch-key");
    view.commit(batch).await.unwrap();
    let first = TokenStore::load(view.clone(), TokenStore::CACHE_BYTES).await.unwrap();
    assert!(first.look_up(id, now).await.unwrap().is_none());
    let made = first.create_batch_token(default_params(), now).unwrap();
    let second = TokenStore::load(view, TokenStore::CACHE_BYTES).await.unwrap();
    assert!(second.look_up(made.id.expose_secret(), now).await.unwrap().is_some());
}

#[tokio::test]
async fn a_batch_token_is_no_longer_than_a_header() {
    let bench = TokenFixture::new().await;
    let with = |bytes: usize| NewToken {
        meta: Some([("k".to_owned(), "x".repeat(bytes))].into()),
        ..default_params()
    };
    let token = create_batch(&bench, with(5_000));
    assert!(token.id.expose_secret().len() <= MAX_BATCH_CHARS && bench.is_usable(&token).await);
    for bytes in [7_000, 1 << 20] {
        let error = bench.tokens.create_batch_token(with(bytes), bench.clock.now()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
    }
}
