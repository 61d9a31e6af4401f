//! Removing a mount without leaving anything behind outside: requests are shut out and those inside
//! end first, so that no lease comes after the last one was ended; then leases; then what has no
//! lease because the request for it failed. Only then is the storage deleted that knows of all
//! this. Until then the mount stays, takes no requests, and is tried again.

use std::time::Duration;

use strongroom_barrier::Batch;
use strongroom_sdk::engine::EngineError;
use strongroom_sdk::intent::{INTENT_FOLDER, UNDO_FOLDER};
use strongroom_types::ErrorKind;

use crate::error::{Error, shown};
use crate::mounts::handle::ShutOut;
use crate::mounts::{EngineHandle, MountEntry};
use crate::unsealed::Unsealed;

/// A mount that is marked as going away.
pub(crate) struct Removal<'a> {
    pub(crate) open: &'a Unsealed,
    pub(crate) entry: &'a MountEntry,
}

/// How long whoever asked waits for what is still being undone.
const UNDOING: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_secs(1);
/// Beyond the deadline of the requests inside.
const MARGIN: Duration = Duration::from_secs(5);

impl Removal<'_> {
    /// From now on no request gets in; resolves when those inside have ended.
    pub(crate) async fn shut_requests_out(&self, why: ShutOut) -> Result<(), Error> {
        let Some(engine) = self.engine() else { return Ok(()) };
        engine.shut_out(why);
        let Some(instance) = engine.instance() else { return Ok(()) };
        let clock = self.open.clock();
        let late = self.open.settings.request_timeout.saturating_add(MARGIN);
        tokio::select! {
            () = instance.drained() => Ok(()),
            () = clock.sleep(late) => Err(late_requests(why)),
        }
    }

    /// Lets the engine undo what was made for requests that failed.
    pub(crate) async fn undo_what_has_no_lease(&self) -> Result<(), Error> {
        let clock = self.open.clock();
        let began = clock.running();
        let mut trouble = None;
        while self.has_something_to_undo().await? {
            let left = UNDOING.saturating_sub(clock.running().saturating_sub(began));
            if left.is_zero() {
                return Err(self.still_undoing(trouble.as_ref()));
            }
            // An engine that fails, doesn't answer or can't be started is asked again: its outside
            // system may come back.
            trouble = self.ask_to_undo(left).await.err();
            clock.sleep(STEP).await;
        }
        Ok(())
    }

    /// Gives the engine its periodic call, in which it undoes what it can.
    async fn ask_to_undo(&self, patience: Duration) -> Result<(), EngineError> {
        let Some(engine) = self.engine() else { return Ok(()) };
        let asked = async { engine.enter_to_end().await?.engine.periodic().await };
        tokio::select! {
            outcome = asked => outcome,
            () = self.open.clock().sleep(patience) => {
                Err(EngineError::internal("it did not answer in time"))
            }
        }
    }

    fn still_undoing(&self, trouble: Option<&EngineError>) -> Error {
        let trouble =
            trouble.map(|error| format!(", and the engine fails: {}", shown(&error.to_string())));
        later(&format!(
            "credentials of requests that failed are still being undone, because the outside system \
             can't be asked{} (if it never comes back, {} gives them up)",
            trouble.unwrap_or_default(),
            self.way_out()
        ))
    }

    /// A lease that can't be ended, and what to do about it.
    pub(crate) fn leases_are_left(&self, error: Error) -> Error {
        if error.kind() != ErrorKind::Internal {
            return error;
        }
        let way_out = self.way_out();
        Error::internal(format!("{error} (if it never can be, {way_out} gives the leases up)"))
    }

    /// The command, and the path, that give up what can't be ended.
    fn way_out(&self) -> String {
        let route = self.entry.route();
        let prefix = route.trim_end_matches('/');
        format!("\"lease revoke -force -prefix {prefix}\" (sys/leases/revoke-force/{prefix})")
    }

    /// Gives up what has no lease, for an outside system that doesn't come back: nobody will end it
    /// but that system itself. Gives how many credentials may be left there.
    pub(crate) async fn give_up(&self) -> Result<usize, Error> {
        const PAGE: usize = 256;
        let storage = self.open.barrier.view(&self.entry.storage_prefix());
        let mut left = 0;
        for folder in [INTENT_FOLDER, UNDO_FOLDER] {
            let mut after: Option<String> = None;
            loop {
                let names = storage.children(folder, after.as_deref(), PAGE).await?;
                let Some(last) = names.last() else { break };
                after = Some(last.clone());
                let mut batch = Batch::new();
                for name in names.iter().filter(|name| is_ours(name)) {
                    storage.delete(&mut batch, &format!("{folder}{name}"));
                    left += 1;
                }
                storage.commit(batch).await?;
            }
        }
        Ok(left)
    }

    fn engine(&self) -> Option<EngineHandle> {
        let table = self.open.mounts.table();
        table.by_uuid(self.entry.uuid.as_str())?.engine().cloned()
    }

    async fn has_something_to_undo(&self) -> Result<bool, Error> {
        const ENOUGH: usize = 16;
        let storage = self.open.barrier.view(&self.entry.storage_prefix());
        for folder in [INTENT_FOLDER, UNDO_FOLDER] {
            let names = storage.children(folder, None, ENOUGH).await?;
            if names.iter().any(|name| is_ours(name)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Entries as the SDK makes them, named by a UUID: another engine may have folders of these names
/// for something else.
fn is_ours(name: &str) -> bool {
    strongroom_types::MountUuid::parse(name).is_ok()
}

fn late_requests(why: ShutOut) -> Error {
    let what = "requests inside the engine did not end";
    match why {
        ShutOut::Removed => later(what),
        ShutOut::Moved => Error::plain(ErrorKind::Unavailable, what),
    }
}

fn later(what: &str) -> Error {
    let text = format!("{what}; the mount takes no requests any more and is removed after that");
    Error::plain(ErrorKind::Unavailable, text)
}
