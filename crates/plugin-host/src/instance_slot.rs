//! [`InstanceSlot`]: where an instance is, or may be.

use std::sync::Arc;
use std::time::Duration;

use strongroom_plugin_protocol::generated::pb;
use strongroom_plugin_protocol::generated::pb::backend_client::BackendClient;
use strongroom_plugin_protocol::metadata::ForInstance;
use strongroom_plugin_protocol::transport::AnySize;
use strongroom_types::Clock;
use strongroom_types::clock::with_timeout;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;
use tonic::Request as Call;

use crate::process::ProcessLauncher;
use crate::process_pool::ProcessRef;

/// A seat, and the name of the instance that the process may know by now: other instances may
/// live on beside it, so it is cleaned up when this is dropped, in the background.
#[derive(Debug)]
pub(crate) struct InstanceSlot {
    process_ref: Option<ProcessRef>,
    instance: String,
    clock: Arc<dyn Clock>,
    tracker: TaskTracker,
}

/// How long cleaning up may take.
const CLEAN_UP_TIMEOUT: Duration = Duration::from_secs(2);

impl InstanceSlot {
    pub(crate) fn new(seat: ProcessRef, instance: &str, launcher: &ProcessLauncher) -> Self {
        let (clock, tracker) = (launcher.clock.clone(), launcher.tracker.clone());
        Self { process_ref: Some(seat), instance: instance.to_owned(), clock, tracker }
    }

    /// Leaves a process that knows the instance no more.
    pub(crate) async fn release(mut self) {
        if let Some(seat) = self.process_ref.take() {
            seat.release().await;
        }
    }

    /// Has the process forget the instance, and leaves.
    pub(crate) async fn clean_up(mut self) {
        if let Some(seat) = self.process_ref.take() {
            clean_up(seat, &self.instance, &*self.clock).await;
        }
    }
}

impl Drop for InstanceSlot {
    fn drop(&mut self) {
        // Without a runtime the seat is dropped, which stops a process that nobody else uses.
        if let Some(seat) = self.process_ref.take()
            && let Ok(runtime) = Handle::try_current()
        {
            let (instance, clock) = (std::mem::take(&mut self.instance), self.clock.clone());
            let task = async move { clean_up(seat, &instance, &*clock).await };
            self.tracker.spawn_on(task, &runtime);
        }
    }
}

async fn clean_up(seat: ProcessRef, instance: &str, clock: &dyn Clock) {
    let process = seat.process();
    if !process.is_lost()
        && let Ok(channel) = ForInstance::new(process.channel.clone(), instance)
    {
        let mut backend = BackendClient::new(channel).any_size();
        let mut call = Call::new(pb::Empty {});
        call.set_timeout(CLEAN_UP_TIMEOUT);
        // One that doesn't know it says so, and every other outcome is an end too.
        let _ = with_timeout(clock, CLEAN_UP_TIMEOUT, backend.cleanup(call)).await;
    }
    seat.release().await;
}
