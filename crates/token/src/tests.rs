//! Tests of the token store over an in-memory barrier.

mod batch;
mod trees;

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use strongroom_barrier::{Barrier, Batch, testing};
use strongroom_storage::memory::MemoryStorage;
use strongroom_types::clock::ManualClock;
use strongroom_types::{Clock, ErrorKind, PolicyName, Secret, TokenType, Ttl};

use crate::accessor_hash::AccessorHash;
use crate::{
    Error, IssuedToken, MAX_DEPTH, NewToken, RevocationMark, TidyReport, Token, TokenKey,
    TokenStore, UseOutcome,
};

struct TokenFixture {
    barrier: Barrier,
    tokens: TokenStore,
    clock: ManualClock,
}

impl TokenFixture {
    async fn new() -> Self {
        let clock = ManualClock::default();
        let time: Arc<dyn Clock> = Arc::new(clock.clone());
        let barrier =
            testing::open_barrier(Arc::new(MemoryStorage::new()), time, |barrier, batch| {
                TokenStore::initialise(barrier.view("token/"), batch);
            })
            .await;
        let tokens =
            TokenStore::load(barrier.view("token/"), TokenStore::CACHE_BYTES).await.unwrap();
        Self { barrier, tokens, clock }
    }

    async fn create(&self, new: NewToken) -> Result<IssuedToken, strongroom_barrier::Error> {
        let mut batch = Batch::new();
        let created = self.tokens.create(&mut batch, new, self.clock.now());
        self.barrier.commit(batch).await.map(|_| created)
    }

    async fn create_child(&self, parent: Option<&IssuedToken>) -> IssuedToken {
        self.create(NewToken { parent: parent.map(|p| p.key.clone()), ..default_params() })
            .await
            .unwrap()
    }

    async fn is_usable(&self, token: &IssuedToken) -> bool {
        let found = self.tokens.look_up(token.id.expose_secret(), self.clock.now()).await.unwrap();
        found.is_some()
    }
}

fn default_params() -> NewToken {
    NewToken {
        id: None,
        parent: None,
        policies: vec![PolicyName::default_policy()],
        path: "auth/token/create".to_owned(),
        display_name: "token".to_owned(),
        meta: None,
        ttl: Ttl::from_secs(60),
        renewable: true,
        period: Ttl::ZERO,
        explicit_max_ttl: Ttl::ZERO,
        num_uses: 0,
        role: None,
        bound_cidrs: Vec::new(),
    }
}

#[tokio::test]
async fn the_id_is_nowhere_in_what_is_stored() {
    let bench = TokenFixture::new().await;
    let token = bench.create_child(None).await;
    let id = token.id.expose_secret();
    assert!(id.starts_with("hvs.") && id.len() == 28);
    let view = bench.barrier.view("token/");
    for key in view.list_keys("", None, 100).await.unwrap() {
        let value = view.get(&key).await.unwrap().unwrap().value;
        assert!(!key.contains(id));
        assert!(!String::from_utf8_lossy(&value).contains(id), "{key}");
    }
    assert!(!format!("{:?}", token.token).contains(id));
}

#[tokio::test]
async fn cve_2026_115362_tokens_are_found_by_id_and_accessor_until_they_expire() {
    let bench = TokenFixture::new().await;
    let token = bench.create_child(None).await;
    assert!(bench.is_usable(&token).await);
    let now = bench.clock.now();
    let by_accessor = bench.tokens.look_up_by_accessor(&token.token.accessor, now).await.unwrap();
    assert_eq!(by_accessor.unwrap().key, token.key);
    assert!(bench.tokens.look_up("hvs.unknown", now).await.unwrap().is_none());
    bench.clock.advance(Duration::from_secs(60));
    assert!(!bench.is_usable(&token).await);
    let now = bench.clock.now();
    assert!(bench.tokens.look_up_by_accessor(&token.token.accessor, now).await.unwrap().is_none());
}

#[tokio::test]
async fn a_chosen_id_is_taken_once() {
    let bench = TokenFixture::new().await;
    let chosen = || NewToken { id: Some(Secret::from_text("root")), ..default_params() };
    bench.create(chosen()).await.unwrap();
    assert!(bench.create(chosen()).await.err().unwrap().is_precondition());
}

#[tokio::test]
async fn uses_are_durable_and_the_last_one_marks_for_revocation() {
    let bench = TokenFixture::new().await;
    let token = bench.create(NewToken { num_uses: 2, ..default_params() }).await.unwrap();
    let found = bench.tokens.find_by_key(&token.key).await.unwrap().unwrap();
    assert_eq!(bench.tokens.count_use(&found).await.unwrap(), UseOutcome::Remaining);
    // A stale copy doesn't restore uses.
    assert_eq!(bench.tokens.count_use(&found).await.unwrap(), UseOutcome::LastUse);
    assert!(matches!(bench.tokens.count_use(&found).await, Err(Error::Revoked)));
    assert!(!bench.is_usable(&token).await);
    let reloaded =
        TokenStore::load(bench.barrier.view("token/"), TokenStore::CACHE_BYTES).await.unwrap();
    assert_eq!(reloaded.marked_tokens(), [(token.key.clone(), RevocationMark::Tree)]);
}

#[tokio::test]
async fn uses_are_never_counted_too_often_under_a_race() {
    let bench = TokenFixture::new().await;
    let token = bench.create(NewToken { num_uses: 20, ..default_params() }).await.unwrap();
    let found = bench.tokens.find_by_key(&token.key).await.unwrap().unwrap();
    let mut tasks = Vec::new();
    for _ in 0..30 {
        tasks.push(bench.tokens.count_use(&found));
    }
    let mut spent = 0;
    for task in tasks {
        spent += u32::from(task.await.is_ok());
    }
    assert_eq!(spent, 20);
}

#[tokio::test]
async fn the_last_use_commits_once_with_its_batch() {
    let bench = TokenFixture::new().await;
    let one_use = || NewToken { num_uses: 1, ..default_params() };
    for by_spending in [false, true] {
        let token = bench.create(one_use()).await.unwrap();
        // Both callers read the token before either used it.
        let found = bench.tokens.find_by_key(&token.key).await.unwrap().unwrap();
        if by_spending {
            assert_eq!(bench.tokens.count_use(&found).await.unwrap(), UseOutcome::LastUse);
        } else {
            bench.tokens.consume_last_use(&found, Batch::new()).await.unwrap();
        }
        assert!(bench.tokens.mark_of(&token.key).is_some() && !bench.is_usable(&token).await);
        let mut batch = Batch::new();
        let other = bench.tokens.create(&mut batch, default_params(), bench.clock.now());
        let late = bench.tokens.consume_last_use(&found, batch).await;
        assert!(matches!(late, Err(Error::Revoked)), "{late:?}");
        assert!(!bench.is_usable(&other).await, "nothing of the late one's batch happens");
        assert!(matches!(bench.tokens.count_use(&found).await, Err(Error::Revoked)));
    }
    // It works for the last use only, and only if uses are limited.
    for num_uses in [0, 2] {
        let token = bench.create(NewToken { num_uses, ..default_params() }).await.unwrap();
        let found = bench.tokens.find_by_key(&token.key).await.unwrap().unwrap();
        assert!(bench.tokens.consume_last_use(&found, Batch::new()).await.is_err());
        assert!(bench.is_usable(&token).await);
    }
}

#[test]
fn a_token_is_a_wrapping_token_by_that_policy_alone() {
    let with = |names: &[&str]| {
        let policies = names.iter().map(|name| PolicyName::parse(name).unwrap()).collect();
        let token = Token {
            v: 1,
            accessor: strongroom_types::Accessor::parse("a").unwrap(),
            accessor_hash: AccessorHash::default(),
            parent: None,
            policies,
            path: "kv/".to_owned(),
            display_name: String::new(),
            meta: None,
            created: strongroom_types::Timestamp::EPOCH,
            creation_ttl: Ttl::ZERO,
            expires: None,
            renewable: false,
            last_renewal: None,
            period: Ttl::ZERO,
            explicit_max_ttl: Ttl::ZERO,
            uses_left: None,
            token_type: TokenType::Service,
            role: None,
            bound_cidrs: Vec::new(),
        };
        assert!(token.lease_id(&TokenKey("k".to_owned())) == "kv/hk", "no empty segment");
        token.is_wrapping()
    };
    assert!(with(&["response-wrapping"]));
    assert!(!with(&[]) && !with(&["default"]) && !with(&["default", "response-wrapping"]));
}

#[tokio::test]
async fn a_mark_refuses_the_tree_and_new_children_at_once() {
    let bench = TokenFixture::new().await;
    let root = bench.create_child(None).await;
    let child = bench.create_child(Some(&root)).await;
    let grandchild = bench.create_child(Some(&child)).await;
    let stranger = bench.create_child(None).await;
    assert!(bench.tokens.mark_for_revocation(&child.key, RevocationMark::Tree).await.unwrap());
    assert!(bench.is_usable(&root).await && bench.is_usable(&stranger).await);
    assert!(!bench.is_usable(&child).await && !bench.is_usable(&grandchild).await);
    let late = bench.create(NewToken { parent: Some(child.key.clone()), ..default_params() }).await;
    let error = late.err().unwrap();
    assert!(error.is_precondition() && bench.tokens.is_gone_or_revoking(&child.key, &error));
    // Everything created from the token carries the same condition.
    let mut batch = Batch::new();
    bench.tokens.require_not_revoking(&mut batch, &child.key);
    bench.barrier.view("x/").put(&mut batch, "lease", Vec::new());
    assert!(bench.barrier.commit(batch).await.unwrap_err().is_precondition());
}

#[tokio::test]
async fn marks_survive_and_unknown_tokens_have_none() {
    let bench = TokenFixture::new().await;
    let token = bench.create_child(None).await;
    bench.tokens.mark_for_revocation(&token.key, RevocationMark::Tree).await.unwrap();
    let reloaded =
        TokenStore::load(bench.barrier.view("token/"), TokenStore::CACHE_BYTES).await.unwrap();
    assert_eq!(reloaded.mark_of(&token.key), Some(RevocationMark::Tree));
    let now = bench.clock.now();
    assert!(reloaded.look_up(token.id.expose_secret(), now).await.unwrap().is_none());
    let unknown = bench.tokens.key_of("hvs.unknown");
    assert!(!bench.tokens.mark_for_revocation(&unknown, RevocationMark::Tree).await.unwrap());
    assert_eq!(bench.tokens.marked_count(), 1);
}

#[tokio::test]
async fn orphans_live_on() {
    let bench = TokenFixture::new().await;
    let parent = bench.create_child(None).await;
    let child = bench.create_child(Some(&parent)).await;
    bench.tokens.mark_for_revocation(&parent.key, RevocationMark::Orphan).await.unwrap();
    assert!(!bench.is_usable(&parent).await);
    assert!(bench.is_usable(&child).await, "also while the parent goes");
    let children = bench.tokens.list_children(&parent.key, None, 10).await.unwrap();
    assert_eq!(children, std::slice::from_ref(&child.key));
    bench.tokens.orphan_child(&parent.key, &child.key).await.unwrap();
    assert!(bench.tokens.list_children(&parent.key, None, 10).await.unwrap().is_empty());
    bench.tokens.remove(&parent.key, Batch::new()).await.unwrap();
    let child = bench.tokens.find_by_key(&child.key).await.unwrap().unwrap();
    assert_eq!(child.token.parent, None);
}

#[tokio::test]
async fn a_removed_token_leaves_nothing_behind() {
    let bench = TokenFixture::new().await;
    let before = bench.barrier.view("token/").list_keys("", None, 100).await.unwrap();
    let parent = bench.create_child(None).await;
    let child = bench.create_child(Some(&parent)).await;
    for key in [&child.key, &parent.key] {
        bench.tokens.mark_for_revocation(key, RevocationMark::Tree).await.unwrap();
        bench.tokens.remove(key, Batch::new()).await.unwrap();
    }
    assert_eq!(bench.barrier.view("token/").list_keys("", None, 100).await.unwrap(), before);
    assert_eq!(bench.tokens.marked_count(), 0);
}

#[tokio::test]
async fn accessors_are_listed_in_pages() {
    let bench = TokenFixture::new().await;
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(bench.create_child(None).await.token.accessor);
    }
    let mut listed = Vec::new();
    let mut pages = bench.tokens.accessor_pages().with_page_size(2);
    while let Some(page) = pages.next_page().await.unwrap() {
        listed.extend(page);
    }
    all.sort();
    listed.sort();
    assert_eq!(listed, all);
}

/// Polls a future once, then drops it.
async fn start_and_drop(work: impl Future) {
    let mut work = Box::pin(work);
    let first = std::future::poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx).is_pending())).await;
    assert!(first, "it must wait for the store");
    drop(work);
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_dropped_mark_still_reaches_memory() {
    let bench = TokenFixture::new().await;
    let (token, child) = (bench.create_child(None).await, bench.create_child(None).await);
    start_and_drop(bench.tokens.mark_for_revocation(&token.key, RevocationMark::Tree)).await;
    assert!(!bench.is_usable(&token).await);
    start_and_drop(bench.tokens.mark_children_for_revocation(std::slice::from_ref(&child.key)))
        .await;
    assert!(!bench.is_usable(&child).await);
    let once = bench.create(NewToken { num_uses: 1, ..default_params() }).await.unwrap();
    let below = bench
        .create(NewToken { parent: Some(once.key.clone()), ..default_params() })
        .await
        .unwrap();
    let found = bench.tokens.find_by_key(&once.key).await.unwrap().unwrap();
    start_and_drop(bench.tokens.count_use(&found)).await;
    assert!(!bench.is_usable(&below).await);
    let marked = bench.tokens.marked_count();
    start_and_drop(bench.tokens.remove(&token.key, Batch::new())).await;
    assert_eq!(bench.tokens.marked_count(), marked - 1);
}

#[tokio::test]
async fn revoking_as_orphan_does_not_cut_loose_the_children_of_a_revoked_tree() {
    let bench = TokenFixture::new().await;
    let parent = bench.create_child(None).await;
    let child = bench.create_child(Some(&parent)).await;
    // Two concurrent revocations: the second store knows only what is on disk.
    let racing =
        TokenStore::load(bench.barrier.view("token/"), TokenStore::CACHE_BYTES).await.unwrap();
    assert!(bench.tokens.mark_for_revocation(&parent.key, RevocationMark::Tree).await.unwrap());
    assert!(
        racing.mark_for_revocation(&parent.key, RevocationMark::Orphan).await.unwrap(),
        "it is being revoked"
    );
    assert_eq!(racing.mark_of(&parent.key), Some(RevocationMark::Tree));
    let reloaded =
        TokenStore::load(bench.barrier.view("token/"), TokenStore::CACHE_BYTES).await.unwrap();
    assert_eq!(reloaded.marked_tokens(), [(parent.key.clone(), RevocationMark::Tree)]);
    assert!(!bench.is_usable(&child).await);
    assert!(bench.tokens.mark_for_revocation(&parent.key, RevocationMark::Orphan).await.unwrap());
    assert_eq!(bench.tokens.mark_of(&parent.key), Some(RevocationMark::Tree));
    // In the other order, the tree mark replaces the orphan mark.
    let other = bench.create_child(None).await;
    assert!(bench.tokens.mark_for_revocation(&other.key, RevocationMark::Orphan).await.unwrap());
    assert!(bench.tokens.mark_for_revocation(&other.key, RevocationMark::Tree).await.unwrap());
    assert_eq!(bench.tokens.mark_of(&other.key), Some(RevocationMark::Tree));
}

#[tokio::test]
async fn a_tree_of_tokens_has_a_depth_it_cannot_pass() {
    let bench = TokenFixture::new().await;
    let top = bench.create_child(None).await;
    let mut last = bench.create_child(Some(&top)).await;
    for _ in 1..MAX_DEPTH {
        bench.tokens.check_depth(&last.key).await.unwrap();
        last = bench.create_child(Some(&last)).await;
    }
    let error = bench.tokens.check_depth(&last.key).await.unwrap_err();
    assert_eq!((error.kind(), matches!(error, Error::TooDeep)), (ErrorKind::Invalid, true));
    // A token whose parent is gone is an orphan.
    bench.tokens.mark_for_revocation(&top.key, RevocationMark::Orphan).await.unwrap();
    for child in bench.tokens.list_children(&top.key, None, 10).await.unwrap() {
        bench.tokens.orphan_child(&top.key, &child).await.unwrap();
    }
    bench.tokens.check_depth(&last.key).await.unwrap();
}

#[tokio::test]
async fn the_token_cache_is_bounded_in_bytes() {
    const META_BYTES: usize = 4 << 10;
    let mut bench = TokenFixture::new().await;
    let meta = Some([("k".to_owned(), "x".repeat(META_BYTES))].into());
    for bound in [256 << 10, 1 << 20] {
        let view = bench.barrier.view("token/");
        bench.tokens = TokenStore::load(view, bound as u64).await.unwrap();
        for _ in 0..500 {
            let new = NewToken { meta: Clone::clone(&meta), ..default_params() };
            let token = bench.create(new).await.unwrap();
            assert!(bench.is_usable(&token).await);
        }
        // A cached token takes at least the memory of its metadata.
        let bytes = bench.tokens.cached_len() * META_BYTES;
        assert!(bytes <= bound, "{bytes} bytes of metadata are known, of {bound}");
        assert!(bytes > bound / 8, "only {bytes} bytes of {bound} are used");
    }
}

#[test]
fn only_stored_keys_parse() {
    let text = "ab".repeat(32);
    assert_eq!(TokenKey::from_stored(&text).unwrap().as_str(), text);
    for bad in ["", "ab", &"zz".repeat(32), &"ab".repeat(33)] {
        assert!(TokenKey::from_stored(bad).is_none());
    }
}

#[tokio::test]
async fn tidying_removes_only_dangling_entries() {
    let bench = TokenFixture::new().await;
    let (parent, token) = (bench.create_child(None).await, bench.create_child(None).await);
    let child = bench.create_child(Some(&parent)).await;
    let view = bench.barrier.view("token/");
    let before = view.list_keys("", None, 100).await.unwrap();
    assert_eq!(
        bench.tokens.tidy().await.unwrap(),
        TidyReport { seen: 4, accessors: 0, children: 0 }
    );
    let gone = bench.tokens.key_of("hvs.gone");
    let mut batch = Batch::new();
    for n in 0..600 {
        let accessor = format!("a{n}");
        let left = serde_json::json!({ "accessor": accessor, "token": gone });
        view.put_json(&mut batch, &format!("accessor/{accessor}"), &left);
    }
    view.put(&mut batch, &format!("parent/{}/{gone}", parent.key), Vec::new());
    view.put(&mut batch, &format!("parent/{gone}/{gone}"), Vec::new());
    view.commit(batch).await.unwrap();
    assert_eq!(
        bench.tokens.tidy().await.unwrap(),
        TidyReport { seen: 606, accessors: 600, children: 2 }
    );
    assert_eq!(view.list_keys("", None, 100).await.unwrap(), before);
    assert!(
        bench.is_usable(&parent).await
            && bench.is_usable(&token).await
            && bench.is_usable(&child).await
    );
}

#[tokio::test]
async fn only_one_tidy_runs_at_a_time() {
    let bench = TokenFixture::new().await;
    let turn = bench.tokens.try_start_tidy().unwrap();
    assert!(bench.tokens.try_start_tidy().is_none());
    turn.run().await.unwrap();
    // A guard that is dropped without a run is released too.
    drop(bench.tokens.try_start_tidy().unwrap());
    assert!(bench.tokens.try_start_tidy().is_some());
}

#[tokio::test]
async fn a_cidr_bound_token_is_refused_without_an_address() {
    let bench = TokenFixture::new().await;
    let bound_cidrs = vec![strongroom_types::Cidr::parse("10.0.0.0/8").unwrap()];
    let token = bench.create(NewToken { bound_cidrs, ..default_params() }).await.unwrap();
    let found = bench.tokens.find_by_key(&token.key).await.unwrap().unwrap().token;
    let from = |text: &str| found.may_be_used_from(Some(text.parse().unwrap()));
    assert!(from("10.1.1.1") && from("::ffff:10.1.1.1"));
    assert!(!from("11.1.1.1") && !from("::1") && !found.may_be_used_from(None));
    let free = bench.create_child(None).await.token;
    assert!(free.may_be_used_from(None) && free.may_be_used_from("11.1.1.1".parse().ok()));
}

/// Text that was not normalised when stored must not become the name of a policy now.
#[tokio::test]
async fn cve_2026_105820_malformed_policy_names_on_a_token_are_ignored() {
    let bench = TokenFixture::new().await;
    let token = bench.create_child(None).await.token;
    let mut record = serde_json::to_value(&token).unwrap();
    record["policies"] = serde_json::json!([
        "dev",
        "ROOT",
        " root",
        "root ",
        "Root",
        "",
        "..",
        "d\u{200b}ev",
        "Dev",
        "a\nroot"
    ]);
    let read: Token = serde_json::from_value(record).unwrap();
    let names: Vec<&str> = read.policies.iter().map(PolicyName::as_str).collect();
    assert_eq!(names, ["dev", ".."]);
    assert!(!read.is_root());
}
