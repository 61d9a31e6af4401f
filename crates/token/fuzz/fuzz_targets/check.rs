//! Properties that must hold for every input. Shared by the fuzz target and the crate's own tests.

use std::cell::OnceCell;
use std::sync::Arc;

use strongroom_barrier::{Batch, testing};
use strongroom_storage::memory::MemoryStorage;
use strongroom_token::{NewToken, Token, TokenKey, TokenLifetime, TokenOptions, TokenStore};
use strongroom_types::clock::ManualClock;
use strongroom_types::{Accessor, Clock, PolicyName, Secret, Timestamp, Ttl};

/// A token store that contains one token.
struct FuzzTokenStore {
    runtime: tokio::runtime::Runtime,
    tokens: TokenStore,
    now: Timestamp,
}

const KNOWN: &str = "the-only-token";

impl FuzzTokenStore {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
        let now = clock.now();
        let tokens = runtime.block_on(async {
            let barrier =
                testing::open_barrier(Arc::new(MemoryStorage::new()), clock, |barrier, batch| {
                    TokenStore::initialise(barrier.view("token/"), batch);
                })
                .await;
            let tokens = TokenStore::load(barrier.view("token/"), TokenStore::CACHE_BYTES)
                .await
                .expect("a store");
            let mut batch = Batch::new();
            tokens.create(&mut batch, the_only_token(), now);
            barrier.commit(batch).await.expect("a token");
            tokens
        });
        Self { runtime, tokens, now }
    }
}

fn the_only_token() -> NewToken {
    let (path, name) = ("auth/token/create".to_owned(), "token".to_owned());
    let lifetime = TokenLifetime { renewable: true, ..TokenLifetime::of_ttl(Ttl::from_secs(60)) };
    NewToken::orphan(path, name, vec![PolicyName::default_policy()], lifetime).with_options(
        TokenOptions { id: Some(Secret::from_text(KNOWN)), ..TokenOptions::default() },
    )
}

thread_local! {
    static FUZZ_STORE: OnceCell<FuzzTokenStore> = const { OnceCell::new() };
}

/// As a token id, the input matches only the existing token, byte for byte. As a stored record it
/// is refused, or decoded and encoded again without a change.
pub(crate) fn any_token(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    FUZZ_STORE.with(|bench| {
        let FuzzTokenStore { runtime, tokens, now } = bench.get_or_init(FuzzTokenStore::new);
        let found = runtime.block_on(tokens.look_up(&text, *now)).expect("the store answers");
        assert_eq!(found.is_some(), text == KNOWN, "{text:?}");
        if let Ok(accessor) = Accessor::parse(&text) {
            let found = runtime.block_on(tokens.look_up_by_accessor(&accessor, *now));
            assert!(found.expect("the store answers").is_none(), "{text:?}");
        }
        let key = tokens.key_of(&text);
        assert!(
            !key.as_str().contains(&*text) || text.len() < 8,
            "a key tells nothing of its token"
        );
        assert_eq!(TokenKey::from_stored(key.as_str()).as_ref(), Some(&key));
    });
    if let Some(key) = TokenKey::from_stored(&text) {
        assert_eq!(key.as_str(), text);
    }
    if let Ok(token) = serde_json::from_slice::<Token>(bytes) {
        let again = serde_json::to_vec(&token).expect("it is written");
        assert_eq!(serde_json::from_slice::<Token>(&again).ok(), Some(token));
    }
}
