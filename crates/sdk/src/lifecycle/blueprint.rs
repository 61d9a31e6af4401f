//! The methods of [`Blueprint`] that declare lifecycle functions.

use std::sync::Arc;
use std::time::Duration;

use super::DEFAULT_RUN_LIMIT;
use super::declaration::{LifecycleFunction, TaskDeclaration};
use crate::{Blueprint, Context, Error};

/// Interrupted work is completed at every periodic call; one run may take this long.
const COMPLETION_INTERVAL: Duration = Duration::ZERO;
const COMPLETION_LIMIT: Duration = Duration::from_secs(600);

/// The name of the task that `on_start` declares.
const START_TASK: &str = "on_start";

impl Blueprint {
    /// Adds a function that runs once per instance, after the instance was initialised. It may call
    /// outside systems. The mount works meanwhile, and also if the function fails: then the failure
    /// is logged, and periodic calls run it again, with a growing delay, until it has succeeded. See
    /// [`lifecycle`](crate::lifecycle).
    #[must_use]
    pub fn on_start<F, Fut>(self, function: F) -> Self
    where
        F: Fn(Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Error>> + Send + 'static,
    {
        self.push_task(START_TASK, None, function)
    }

    /// Adds a task that runs at the host's periodic call, which comes about once a minute, when
    /// `every` has passed since its last successful run began. It may run up to a tenth of the
    /// interval early, but not more than five seconds, because the calls don't come exactly on time.
    /// After a failure it runs again at the next periodic call, then after two minutes, four, and so
    /// on, up to the interval or an hour. `name` identifies the task in the log, in the help and in
    /// metrics. See [`lifecycle`](crate::lifecycle).
    #[must_use]
    pub fn periodic<F, Fut>(self, name: &'static str, every: Duration, function: F) -> Self
    where
        F: Fn(Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Error>> + Send + 'static,
    {
        self.push_task(name, Some(every), function)
    }

    /// Sets how long one run of the `on_start` function or periodic task that was declared last may
    /// take; then the run is dropped and counts as failed. The default is
    /// [`DEFAULT_RUN_LIMIT`].
    #[must_use]
    pub fn run_limit(mut self, limit: Duration) -> Self {
        if let Some(task) = self.lifecycle.tasks.last_mut() {
            task.limit = limit;
        }
        self
    }

    /// Adds a function that runs when the instance closes, after its tasks were stopped, and is
    /// dropped after [`CLOSE_LIMIT`](crate::lifecycle::CLOSE_LIMIT). It is for ending sessions in
    /// the outside system. It must not be relied on: it doesn't run if the process dies, and at a
    /// seal storage is closed already, so that documents can't be read.
    #[must_use]
    pub fn on_close<F, Fut>(mut self, function: F) -> Self
    where
        F: Fn(Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Error>> + Send + 'static,
    {
        self.lifecycle.on_close.push(erase(function));
        self
    }

    /// Adds a task of the SDK's own, which runs at every periodic call. It doesn't run at the start: a
    /// host may hold back the writes of an instance that is not active yet, and an outside system must
    /// not be called with a password that isn't stored.
    pub(crate) fn completion_task<F, Fut>(mut self, name: &'static str, function: F) -> Self
    where
        F: Fn(Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Error>> + Send + 'static,
    {
        self = self.push_task(name, Some(COMPLETION_INTERVAL), function);
        if let Some(task) = self.lifecycle.tasks.last_mut() {
            task.limit = COMPLETION_LIMIT;
        }
        self
    }

    fn push_task<F, Fut>(
        mut self,
        name: &'static str,
        interval: Option<Duration>,
        function: F,
    ) -> Self
    where
        F: Fn(Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let task =
            TaskDeclaration { name, interval, limit: DEFAULT_RUN_LIMIT, function: erase(function) };
        self.lifecycle.tasks.push(task);
        self
    }
}

fn erase<F, Fut>(function: F) -> LifecycleFunction
where
    F: Fn(Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Error>> + Send + 'static,
{
    Arc::new(move |context| Box::pin(function(context)))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn nothing(_: Context) -> Result<(), Error> {
        Ok(())
    }

    fn declaration_error(blueprint: &Blueprint) -> Option<String> {
        blueprint.lifecycle.declaration_error()
    }

    #[test]
    fn each_task_is_declared_once_and_has_a_name() {
        let new = || Blueprint::new("test", "1.0.0");
        let hour = Duration::from_secs(3600);
        let fine =
            new().on_start(nothing).periodic("a", hour, nothing).periodic("b", hour, nothing);
        assert_eq!(declaration_error(&fine.on_close(nothing)), None);
        let twice = new().periodic("a", hour, nothing).periodic("a", hour, nothing);
        assert_eq!(declaration_error(&twice).unwrap(), "the task \"a\" is declared twice");
        let twice = new().on_start(nothing).on_start(nothing);
        assert_eq!(declaration_error(&twice).unwrap(), "the task \"on_start\" is declared twice");
        let twice = new().on_close(nothing).on_close(nothing);
        assert_eq!(declaration_error(&twice).unwrap(), "on_close is declared twice");
        for name in ["", "two words", "line\n"] {
            let error = declaration_error(&new().periodic(name, hour, nothing)).unwrap();
            assert!(error.contains("is no name of a task"), "{error}");
        }
    }

    #[test]
    fn the_time_limit_is_of_the_task_declared_last() {
        let (hour, second) = (Duration::from_secs(3600), Duration::from_secs(1));
        let engine = Blueprint::new("test", "1.0.0")
            .periodic("a", hour, nothing)
            .periodic("b", hour, nothing)
            .run_limit(second);
        let limits: Vec<_> = engine.lifecycle.tasks.iter().map(|task| task.limit).collect();
        assert_eq!(limits, [DEFAULT_RUN_LIMIT, second]);
    }
}
