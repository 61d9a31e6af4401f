//! The size limits of caches come from the settings.

use std::sync::Arc;

use strongroom_core::Settings;
use strongroom_engine::mount_config::CACHED_BYTES_CONFIG_KEY;

use super::TestCore;
use super::blocking_storage::BlockingStorage;

#[tokio::test]
async fn entries_and_tokens_are_kept_within_their_settings() {
    for (cache_bytes, token_cache_bytes) in [(8 << 20, 8 << 20), (1, 8 << 20), (8 << 20, 1)] {
        let store = BlockingStorage::default();
        let mut bench = TestCore::with_storage(Arc::new(store.clone())).await;
        bench.write("sys/mounts/kv", r#"{"type":"kv"}"#).await;
        bench.write("kv/a", r#"{"value":"x"}"#).await;
        bench.settings = Settings { cache_bytes, token_cache_bytes, ..bench.settings };
        bench.restart().await;
        bench.read("kv/a").await;
        let before = store.read_count();
        bench.read("kv/a").await;
        assert_eq!(store.read_count() == before, cache_bytes > 1, "{cache_bytes} bytes of entries");
        let tokens = &bench.core.unsealed().unwrap().tokens.store;
        let root = tokens.key_of(&bench.root);
        let find = async || tokens.find_by_key(&root).await.unwrap().unwrap().token;
        let is_kept = Arc::ptr_eq(&find().await, &find().await);
        assert_eq!(is_kept, token_cache_bytes > 1, "{token_cache_bytes} bytes of tokens");
    }
}

/// Only the operator sets the size; nobody who mounts an engine can.
#[tokio::test]
async fn an_engine_receives_the_size_of_its_document_cache() {
    let mut bench = TestCore::new().await;
    bench.settings.document_cache_bytes = 4711;
    bench.restart().await;
    let body = format!(r#"{{"type":"kv","options":{{"{CACHED_BYTES_CONFIG_KEY}":"999999999"}}}}"#);
    bench.write("sys/mounts/kv", &body).await;
    assert_eq!(bench.plugins.last_mount_config.lock().unwrap()[CACHED_BYTES_CONFIG_KEY], "4711");
}
