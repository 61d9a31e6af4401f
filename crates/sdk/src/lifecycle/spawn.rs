//! [`Context::spawn`]: background tasks that a request or another task starts.

use strongroom_engine::catch_panic;
use strongroom_types::chain;

use crate::{Context, Error};

impl Context {
    /// Runs `task` in the background until it completes or the instance closes. `name` identifies it
    /// in the log, to which a failure or a panic is written. The task has no time limit of its own,
    /// and is lost if the process dies.
    ///
    /// # Errors
    ///
    /// A "try again" error (503) if [`MAX_BACKGROUND_TASKS`](crate::lifecycle::MAX_BACKGROUND_TASKS) such tasks are running in this
    /// instance, or the instance is closing. The task isn't started then.
    ///
    /// # Cancel safety
    ///
    /// When the instance closes the task is dropped at its next await. What it writes must be
    /// something that a later task can continue.
    pub fn spawn(
        &self,
        name: &'static str,
        task: impl Future<Output = Result<(), Error>> + Send + 'static,
    ) -> Result<(), Error> {
        let tasks = &self.services().tasks;
        let permit = tasks.acquire_permit()?;
        let mount_uuid = self.services().mount.uuid.clone();
        tasks.spawn_until_close(async move {
            let _permit = permit;
            if let Err(error) = catch_panic(async { Ok(task.await?) }).await {
                let error = chain(&error);
                tracing::warn!(task = name, mount_uuid, %error, "a background task failed");
            }
        });
        Ok(())
    }

    /// Like [`Context::spawn`], unless a task of this name that was started in the same way is still
    /// running in this instance. Returns whether the task was started.
    ///
    /// # Errors
    ///
    /// As [`Context::spawn`].
    ///
    /// # Cancel safety
    ///
    /// As [`Context::spawn`].
    pub fn spawn_single(
        &self,
        name: &'static str,
        task: impl Future<Output = Result<(), Error>> + Send + 'static,
    ) -> Result<bool, Error> {
        let Some(running) = self.services().tasks.begin_single(name) else { return Ok(false) };
        self.spawn(name, async move {
            let _running = running;
            task.await
        })?;
        Ok(true)
    }
}
