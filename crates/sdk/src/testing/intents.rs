//! Intents of a [`TestHost`]: credentials whose state is uncertain.

use strongroom_types::Timestamp;

use super::host::TestHost;
use crate::intent::decode_intent;

impl TestHost {
    /// Has the engine undo all credentials whose state is uncertain: advances the clock to the time
    /// at which the next one is due, makes the periodic call, waits until the engine has searched for
    /// the credential, and repeats this until no intent is left. Calls to the engine that are under
    /// way must have ended before, since the clock passes their time limits.
    ///
    /// # Panics
    ///
    /// If an intent doesn't change within 20 seconds of real time, because the outside system refuses
    /// to undo the credential or doesn't respond; or if the engine's periodic call fails.
    pub async fn settle_intents(&self) {
        loop {
            let before = self.intents_with_due_times();
            let Some(due) = before.iter().map(|(_, due)| *due).min() else { return };
            self.advance(due.since(self.now())).await;
            if let Err(error) = self.run_periodic().await {
                panic!("the periodic call failed: {error}");
            }
            let changed = || async { self.intents_with_due_times() != before };
            self.wait_until("the engine undoes a credential", changed).await;
        }
    }

    /// The keys of the intents, and when the engine searches for their credentials next.
    fn intents_with_due_times(&self) -> Vec<(String, Timestamp)> {
        let due = |key: String| {
            let entry = self.stored_entry(&key)?;
            let intent = decode_intent(&key, &entry.value)?;
            Some((key, intent.next_attempt_at()))
        };
        self.open_intents().into_iter().filter_map(due).collect()
    }
}
