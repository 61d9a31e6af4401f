//! The tokens in memory: a map by hash, and an index for every other look-up, so that none of them
//! gets slower as the number of tokens grows.

use std::collections::{BTreeMap, BTreeSet};

use strongroom_types::Timestamp;

use crate::store::TokenDetails;

/// All tokens, each under its SHA-256.
///
/// Expired tokens stay until [`remove_expired`](Self::remove_expired) and are never returned.
#[derive(Default)]
pub(crate) struct TokenTable {
    by_hash: BTreeMap<String, TokenDetails>,
    hash_by_id: BTreeMap<String, String>,
    hash_by_name: BTreeMap<String, String>,
    hash_by_expiry: BTreeSet<(Timestamp, String)>,
}

impl TokenTable {
    /// Adds a token, or replaces the one with this hash and returns the old one.
    pub(crate) fn insert(&mut self, hash: String, token: TokenDetails) -> Option<TokenDetails> {
        let replaced = self.remove(&hash);
        self.hash_by_id.insert(token.id.clone(), hash.clone());
        self.hash_by_name.insert(token.name.clone(), hash.clone());
        self.hash_by_expiry.insert((token.expires_at, hash.clone()));
        self.by_hash.insert(hash, token);
        replaced
    }

    /// Removes a token, expired or not.
    pub(crate) fn remove(&mut self, hash: &str) -> Option<TokenDetails> {
        let token = self.by_hash.remove(hash)?;
        self.hash_by_id.remove(&token.id);
        // If this token had expired, its name may already belong to a newer one.
        if self.hash_by_name.get(&token.name).is_some_and(|named| named == hash) {
            self.hash_by_name.remove(&token.name);
        }
        self.hash_by_expiry.remove(&(token.expires_at, hash.to_owned()));
        Some(token)
    }

    /// Removes all expired tokens. The time it takes depends on their number only.
    pub(crate) fn remove_expired(&mut self, now: Timestamp) {
        while let Some((expires_at, hash)) = self.hash_by_expiry.first()
            && *expires_at <= now
        {
            let hash = hash.clone();
            self.remove(&hash);
        }
    }

    pub(crate) fn find_by_hash(&self, hash: &str, now: Timestamp) -> Option<&TokenDetails> {
        self.by_hash.get(hash).filter(|token| token.expires_at > now)
    }

    /// The token with this id, and its hash.
    pub(crate) fn find_by_id(&self, id: &str, now: Timestamp) -> Option<(&str, &TokenDetails)> {
        let hash = self.hash_by_id.get(id)?;
        Some((hash, self.find_by_hash(hash, now)?))
    }

    pub(crate) fn find_by_name(&self, name: &str, now: Timestamp) -> Option<&TokenDetails> {
        self.find_by_hash(self.hash_by_name.get(name)?, now)
    }

    /// All live tokens, ordered by hash.
    pub(crate) fn live_tokens(&self, now: Timestamp) -> impl Iterator<Item = &TokenDetails> {
        self.by_hash.values().filter(move |token| token.expires_at > now)
    }

    /// The number of live tokens. It counts expired ones one by one; these are few, because every
    /// change removes them.
    pub(crate) fn live_count(&self, now: Timestamp) -> usize {
        let expired = self.hash_by_expiry.iter().take_while(|(expires_at, _)| *expires_at <= now);
        self.by_hash.len() - expired.count()
    }

    /// The map by hash, as the state file stores it.
    pub(crate) fn as_map(&self) -> &BTreeMap<String, TokenDetails> {
        &self.by_hash
    }
}

impl From<BTreeMap<String, TokenDetails>> for TokenTable {
    fn from(tokens: BTreeMap<String, TokenDetails>) -> Self {
        let mut table = Self::default();
        for (hash, token) in tokens {
            table.insert(hash, token);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn timestamp(seconds: u64) -> Timestamp {
        Timestamp::parse_rfc3339("2026-01-01T00:00:00Z").unwrap().plus(Duration::from_secs(seconds))
    }

    fn sample_token(id: &str, name: &str, expires_at: Timestamp) -> TokenDetails {
        TokenDetails {
            id: id.to_owned(),
            name: name.to_owned(),
            permissions: Vec::new(),
            created_at: timestamp(0),
            expires_at,
        }
    }

    #[test]
    fn every_index_follows_a_renewal_and_a_removal() {
        let mut table = TokenTable::default();
        table.insert("h1".to_owned(), sample_token("1", "a", timestamp(10)));
        table.insert("h2".to_owned(), sample_token("2", "b", timestamp(20)));
        table.insert("h1".to_owned(), sample_token("1", "a", timestamp(30)));

        // With the old expiry it would be removed here.
        table.remove_expired(timestamp(15));
        assert_eq!(table.find_by_id("1", timestamp(15)).unwrap().0, "h1");
        assert_eq!(table.live_count(timestamp(25)), 1);
        table.remove_expired(timestamp(25));
        assert!(table.find_by_name("b", timestamp(0)).is_none(), "removed, not only hidden");

        table.remove("h1");
        assert!(table.by_hash.is_empty() && table.hash_by_id.is_empty());
        assert!(table.hash_by_name.is_empty() && table.hash_by_expiry.is_empty());
    }

    #[test]
    fn an_expired_token_does_not_take_its_name_from_a_newer_one() {
        let mut table = TokenTable::default();
        table.insert("old".to_owned(), sample_token("1", "a", timestamp(10)));
        table.insert("new".to_owned(), sample_token("2", "a", timestamp(30)));
        table.remove_expired(timestamp(20));
        assert_eq!(table.find_by_name("a", timestamp(20)).unwrap().id, "2");
    }
}
