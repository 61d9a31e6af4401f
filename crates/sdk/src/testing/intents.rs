//! Intents and plans of a [`TestHost`]: credentials and actions whose state is uncertain.

use std::time::Duration;

use strongroom_types::Timestamp;

use super::host::TestHost;
use crate::durable_action::{PLAN_BUCKET, repetition_time};
use crate::intent::decode_intent;
use crate::records::RecordKey;

/// The longest time after a failed completion before the engine tries again.
const RETRY_DELAY: Duration = Duration::from_secs(60);

/// A stored intent or plan.
#[derive(Clone, Debug, PartialEq, Eq)]
enum UncertainEntry {
    /// An intent, and when the engine searches for its credential next.
    Intent(String, Timestamp),
    /// A plan, at any time.
    Plan(String),
}

impl TestHost {
    /// Has the engine undo all credentials whose state is uncertain, and complete all durable actions
    /// that were interrupted: advances the clock to the time at which the next one is due, makes the
    /// periodic call, waits until the engine has searched for the credential or completed the action,
    /// and goes on until no intent and no plan is left. Calls to the engine that are under way must
    /// have ended before, since the clock passes their time limits.
    ///
    /// # Panics
    ///
    /// If an intent doesn't change within 20 seconds of real time, or a plan stays, because the
    /// outside system refuses or doesn't respond; or if the engine's periodic call fails.
    pub async fn settle_intents(&self) {
        loop {
            let uncertain = self.uncertain_entries();
            let Some(next) = uncertain.iter().map(|(_, due)| *due).min() else { return };
            self.advance(next.since(self.now())).await;
            if let Err(error) = self.run_periodic().await {
                panic!("the periodic call failed: {error}");
            }
            // The clock must not be advanced while the engine is still at one of them.
            let now = self.now();
            let due = uncertain.into_iter().filter(|(_, due)| *due <= now).map(|(entry, _)| entry);
            let due: Vec<UncertainEntry> = due.collect();
            let are_done = || async {
                let left = self.uncertain_entries();
                !left.iter().any(|(entry, _)| due.contains(entry))
            };
            self.wait_until("the engine undoes a credential or completes an action", are_done)
                .await;
        }
    }

    /// The intents and plans, and when the engine tries to end their uncertainty next.
    fn uncertain_entries(&self) -> Vec<(UncertainEntry, Timestamp)> {
        let intents = self.open_intents().into_iter().filter_map(|key| {
            let entry = self.stored_entry(&key)?;
            let due = decode_intent(&key, &entry.value)?.next_attempt_at();
            Some((UncertainEntry::Intent(key, due), due))
        });
        let folder = RecordKey::new(PLAN_BUCKET, "");
        let stored = self.stored_keys().into_iter();
        let plans = stored.filter(|key| key.starts_with(folder.as_str())).filter_map(|key| {
            let due = repetition_time(&self.stored_entry(&key)?.value)?.plus(RETRY_DELAY);
            Some((UncertainEntry::Plan(key), due))
        });
        intents.chain(plans).collect()
    }
}
