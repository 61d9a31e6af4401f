//! [`RequestIds`]: generates request ids.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use strongroom_types::{Entropy, RequestId};

/// Generates request ids from random bytes drawn in blocks: the generator needs nearly as long for
/// 16 bytes as for 1024. Ids appear in responses and logs and are not secret, so unused bytes may
/// stay in memory.
pub(crate) struct RequestIds {
    entropy: Arc<dyn Entropy>,
    buffer: Mutex<RandomBuffer>,
}

/// A block of random bytes; those before `used` have been consumed.
struct RandomBuffer {
    bytes: [u8; ID_BYTES * IDS_PER_FILL],
    used: usize,
}

const ID_BYTES: usize = 16;
const IDS_PER_FILL: usize = 64;

impl RequestIds {
    pub(crate) fn new(entropy: Arc<dyn Entropy>) -> Self {
        let bytes = [0; ID_BYTES * IDS_PER_FILL];
        let used = bytes.len();
        Self { entropy, buffer: Mutex::new(RandomBuffer { bytes, used }) }
    }

    /// A new random request id, in UUID format.
    pub(crate) fn next_id(&self) -> RequestId {
        let mut drawn = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        if drawn.used >= drawn.bytes.len() {
            self.entropy.fill(&mut drawn.bytes);
            drawn.used = 0;
        }
        let rest = drawn.bytes.get(drawn.used..).unwrap_or_default();
        let id = rest.first_chunk().copied().unwrap_or_default();
        drawn.used += ID_BYTES;
        drop(drawn);
        RequestId::from_random_bytes(id)
    }
}

impl fmt::Debug for RequestIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestIds").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use strongroom_types::entropy::SeededEntropy;

    use super::*;

    #[test]
    fn ids_are_unique_uuids() {
        let ids = RequestIds::new(Arc::new(SeededEntropy::new(1)));
        let given: HashSet<String> =
            (0..3 * IDS_PER_FILL).map(|_| ids.next_id().as_str().to_owned()).collect();
        assert_eq!(given.len(), 3 * IDS_PER_FILL);
        for id in given {
            assert_eq!((id.len(), &id[14..15]), (36, "4"), "{id}");
        }
    }
}
