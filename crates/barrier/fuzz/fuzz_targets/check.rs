//! Properties that must hold for every input. Shared by the fuzz target and the crate's own tests.

use strongroom_barrier::record;
use strongroom_crypto::AeadKey;
use strongroom_types::entropy::SeededEntropy;

const KEY: [u8; 32] = [7; 32];
const PLACE: &str = "logical/a/b";

/// As a stored record, the input never decrypts unless it was sealed. As a value it decrypts at its
/// own key, at no other key, and not after any modification.
pub(crate) fn any_record(bytes: &[u8]) {
    let key = AeadKey::new(&KEY).expect("a key of 32 bytes");
    let _ = record::read_term(PLACE, bytes);
    assert!(record::decrypt(&key, PLACE, bytes).is_err(), "nobody sealed this");
    let first = bytes.first().copied().unwrap_or_default();
    let seed = u64::from(first);
    let (term, wrap) = (u32::from(first) << 3, first % 2 == 1);
    let sealed = record::encrypt(&key, term, PLACE, bytes, wrap, &SeededEntropy::new(seed));
    let sealed = sealed.expect("a small value");
    assert_eq!(record::read_term(PLACE, &sealed).ok(), Some(term));
    let plain = record::decrypt(&key, PLACE, &sealed).expect("it opens");
    assert_eq!((plain.value.as_ref(), plain.seal_wrap), (bytes, wrap));
    assert!(record::decrypt(&key, "logical/a/c", &sealed).is_err(), "it was moved");
    let mut changed = sealed.to_vec();
    let at = bytes.len() * 31 % changed.len();
    changed[at] ^= 1 << (seed % 8);
    assert!(record::decrypt(&key, PLACE, &changed).is_err(), "byte {at} was changed");
    changed.truncate(at);
    assert!(record::decrypt(&key, PLACE, &changed).is_err(), "it was cut at {at}");
}
