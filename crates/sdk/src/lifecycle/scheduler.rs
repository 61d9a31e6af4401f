//! [`TaskScheduler`]: runs the lifecycle functions of one instance.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use strongroom_engine::{EngineError, catch_panic};
use strongroom_types::chain;
use strongroom_types::clock::with_timeout;

use super::CLOSE_LIMIT;
use super::declaration::{LifecycleDeclarations, LifecycleFunction, TaskDeclaration};
use super::schedule::{RunLog, RunResult, TaskSchedule};
use crate::Context;

/// The lifecycle functions of one instance, with the schedule of its tasks.
pub(crate) struct TaskScheduler {
    tasks: Vec<Arc<ScheduledTask>>,
    on_close: Vec<LifecycleFunction>,
}

struct ScheduledTask {
    declaration: TaskDeclaration,
    schedule: Mutex<TaskSchedule>,
}

impl TaskScheduler {
    pub(crate) fn new(declarations: &LifecycleDeclarations) -> Self {
        let tasks = declarations.tasks.iter().map(|declaration| {
            let schedule = Mutex::new(TaskSchedule::new(declaration.interval));
            Arc::new(ScheduledTask { declaration: declaration.clone(), schedule })
        });
        Self { tasks: tasks.collect(), on_close: declarations.on_close.clone() }
    }

    /// Starts `on_start`, for an instance that was just initialised.
    pub(crate) fn start(&self, context: &Context) {
        let is_start = |task: &&Arc<ScheduledTask>| task.declaration.interval.is_none();
        self.tasks.iter().filter(is_start).for_each(|task| task.run_if_due(context));
    }

    /// Starts the tasks that are due. None of them is waited for.
    pub(crate) fn run_due(&self, context: &Context) {
        self.tasks.iter().for_each(|task| task.run_if_due(context));
    }

    /// Runs `on_close`, for at most [`CLOSE_LIMIT`].
    pub(crate) async fn run_on_close(&self, context: &Context) {
        for function in &self.on_close {
            let call = catch_panic(async { Ok(function(context.clone()).await?) });
            let outcome = with_timeout(&**context.clock(), CLOSE_LIMIT, call).await;
            let timed_out = || Err(EngineError::internal("it did not end in time"));
            if let Err(error) = outcome.unwrap_or_else(timed_out) {
                let mount_uuid = &context.services().mount.uuid;
                tracing::warn!(mount_uuid, error = %chain(&error), "on_close failed");
            }
        }
    }

    /// The tasks and the results of their last runs as a section of the help page; empty if there
    /// are no tasks.
    pub(crate) fn help_section(&self) -> String {
        let mut text = String::new();
        for task in &self.tasks {
            if text.is_empty() {
                text.push_str("\n## BACKGROUND TASKS\n");
            }
            text.push_str(&format!("\n    {}\n", task.declaration.name));
            for line in task.lock_schedule().describe().lines() {
                text.push_str(&format!("        {line}\n"));
            }
        }
        text
    }
}

impl ScheduledTask {
    fn lock_schedule(&self) -> MutexGuard<'_, TaskSchedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a run if the task is due and isn't running.
    fn run_if_due(self: &Arc<Self>, context: &Context) {
        if !self.lock_schedule().begin(context.clock().monotonic_time()) {
            return;
        }
        let run = TaskRun { task: self.clone(), is_finished: false };
        let context = context.clone();
        let tasks = context.services().tasks.clone();
        tasks.spawn_until_close(async move { run.run(&context).await });
    }
}

/// A run of a task. If it is dropped before it has finished, the task counts as not running.
struct TaskRun {
    task: Arc<ScheduledTask>,
    is_finished: bool,
}

impl TaskRun {
    async fn run(mut self, context: &Context) {
        let TaskDeclaration { name, limit, function, .. } = &self.task.declaration;
        let clock = context.clock();
        let began = clock.monotonic_time();
        let call = catch_panic(async { Ok(function(context.clone()).await?) });
        let result = match with_timeout(&**clock, *limit, call).await {
            Some(Ok(())) => RunResult::Succeeded,
            Some(Err(error)) => RunResult::Failed(error),
            None => RunResult::TimedOut(*limit),
        };
        let ended = (clock.monotonic_time(), clock.now());
        let log = self.task.lock_schedule().finish(&result, began, ended.0, ended.1);
        self.is_finished = true;
        let mount = &context.services().mount;
        mount.system.record_task_run(name, result.outcome());
        let mount_uuid = &mount.uuid;
        match log {
            RunLog::Nothing => {}
            RunLog::Failing(error) => {
                tracing::warn!(task = name, mount_uuid, error, "a task of an engine fails");
            }
            RunLog::Recovered(failures) => {
                tracing::info!(
                    task = name,
                    mount_uuid,
                    failures,
                    "a task of an engine works again"
                );
            }
        }
    }
}

impl Drop for TaskRun {
    fn drop(&mut self) {
        // Another run may have begun since this one was recorded as finished.
        if !self.is_finished {
            self.task.lock_schedule().abandon();
        }
    }
}
