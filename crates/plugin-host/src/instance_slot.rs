//! [`InstanceSlot`]: an instance's reference to the process that it runs in.

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

/// A process reference with the name of an instance that the process may have set up. On drop the
/// instance is cleaned up in the background, because other instances may continue in the process.
#[derive(Debug)]
pub(crate) struct InstanceSlot {
    process_ref: Option<ProcessRef>,
    instance: String,
    clock: Arc<dyn Clock>,
    tracker: TaskTracker,
}

/// How long the cleanup call may take.
const CLEAN_UP_TIMEOUT: Duration = Duration::from_secs(2);

impl InstanceSlot {
    pub(crate) fn new(process_ref: ProcessRef, instance: &str, launcher: &ProcessLauncher) -> Self {
        let (clock, tracker) = (launcher.clock.clone(), launcher.tracker.clone());
        Self { process_ref: Some(process_ref), instance: instance.to_owned(), clock, tracker }
    }

    /// Releases the process without a cleanup call, because it no longer has the instance.
    pub(crate) async fn release(mut self) {
        if let Some(process_ref) = self.process_ref.take() {
            process_ref.release().await;
        }
    }

    /// Lets the process clean up the instance, then releases the process.
    pub(crate) async fn clean_up(mut self) {
        if let Some(process_ref) = self.process_ref.take() {
            clean_up(process_ref, &self.instance, &*self.clock).await;
        }
    }
}

impl Drop for InstanceSlot {
    fn drop(&mut self) {
        // Without a runtime only the reference is dropped, which stops the process if no other uses
        // it.
        if let Some(process_ref) = self.process_ref.take()
            && let Ok(runtime) = Handle::try_current()
        {
            let (instance, clock) = (std::mem::take(&mut self.instance), self.clock.clone());
            let task = async move { clean_up(process_ref, &instance, &*clock).await };
            self.tracker.spawn_on(task, &runtime);
        }
    }
}

async fn clean_up(process_ref: ProcessRef, instance: &str, clock: &dyn Clock) {
    let process = process_ref.process();
    if !process.is_lost()
        && let Ok(channel) = ForInstance::new(process.channel.clone(), instance)
    {
        let mut backend = BackendClient::new(channel).any_size();
        let mut call = Call::new(pb::Empty {});
        call.set_timeout(CLEAN_UP_TIMEOUT);
        // A process that doesn't know the instance returns an error; the outcome doesn't matter.
        let _ = with_timeout(clock, CLEAN_UP_TIMEOUT, backend.cleanup(call)).await;
    }
    process_ref.release().await;
}
