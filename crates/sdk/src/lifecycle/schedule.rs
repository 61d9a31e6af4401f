//! [`TaskSchedule`]: when a task is due, and what is known of its last runs.

use std::fmt::Write;
use std::time::Duration;

use strongroom_engine::{EngineError, TaskOutcome};
use strongroom_types::{Timestamp, chain};

/// The unit of the delay after a failure: twice this after the second failure in a row, four times
/// this after the third, and so on.
const RETRY_DELAY: Duration = Duration::from_secs(60);
/// The delay at which doubling stops, for tasks with an interval that is not shorter.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(3600);
/// How much earlier than its time a task may start, and the part of its interval that this may be.
/// Without it a task with the interval of the periodic calls would miss every second one.
const MAX_SLACK: Duration = Duration::from_secs(5);
const SLACK_DIVISOR: u32 = 10;

/// The result of one run.
#[derive(Debug)]
pub(super) enum RunResult {
    Succeeded,
    Failed(EngineError),
    /// The run was dropped after this time limit.
    TimedOut(Duration),
}

/// When a task runs next, and the results of its last runs. Times of the schedule are monotonic;
/// timestamps are for people.
#[derive(Debug)]
pub(super) struct TaskSchedule {
    /// `None` for a task that runs until it has succeeded once.
    interval: Option<Duration>,
    is_running: bool,
    /// When the task is due; `None` once it needn't run again.
    next_run: Option<Duration>,
    failures: u32,
    last_success: Option<Timestamp>,
    last_failure: Option<(Timestamp, String)>,
    /// The text of the failure in the log, while the task fails.
    logged: Option<String>,
}

/// What is to be written to the log about a run, if anything.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RunLog {
    /// The same as at the run before.
    Nothing,
    /// The task fails, or fails in another way: the error with its causes.
    Failing(String),
    /// The task works again after this number of failures.
    Recovered(u32),
}

impl TaskSchedule {
    /// A task that is due at once.
    pub(super) fn new(interval: Option<Duration>) -> Self {
        Self {
            interval,
            is_running: false,
            next_run: Some(Duration::ZERO),
            failures: 0,
            last_success: None,
            last_failure: None,
            logged: None,
        }
    }

    /// Marks the task as running if it is due and not running. Returns whether it was.
    pub(super) fn begin(&mut self, now: Duration) -> bool {
        let is_due = self.next_run.is_some_and(|next| next <= now.saturating_add(self.slack()));
        let begins = is_due && !self.is_running;
        self.is_running |= begins;
        begins
    }

    /// Marks the task as not running, without a result: its run was dropped.
    pub(super) fn abandon(&mut self) {
        self.is_running = false;
    }

    /// Records the result of a run that began at `began`. `now` and `time` are the time of its end
    /// by the monotonic and by the wall clock.
    pub(super) fn finish(
        &mut self,
        result: &RunResult,
        began: Duration,
        now: Duration,
        time: Timestamp,
    ) -> RunLog {
        self.is_running = false;
        let (message, text) = match result {
            RunResult::Succeeded => {
                self.next_run = self.interval.map(|interval| began.saturating_add(interval));
                self.last_success = Some(time);
                let failures = std::mem::take(&mut self.failures);
                let was_failing = self.logged.take().is_some();
                return if was_failing { RunLog::Recovered(failures) } else { RunLog::Nothing };
            }
            RunResult::Failed(error) => (error.to_string(), chain(error).to_string()),
            RunResult::TimedOut(limit) => {
                let text = format!("it did not end within {} s", limit.as_secs_f64());
                (text.clone(), text)
            }
        };
        self.failures = self.failures.saturating_add(1);
        self.next_run = Some(now.saturating_add(self.retry_delay()));
        self.last_failure = Some((time, message));
        if self.logged.as_ref() == Some(&text) {
            return RunLog::Nothing;
        }
        self.logged = Some(text.clone());
        RunLog::Failing(text)
    }

    /// The delay of the next run after a failure: zero after the first one, so that the next
    /// periodic call retries.
    fn retry_delay(&self) -> Duration {
        let Some(doublings) = self.failures.checked_sub(2) else { return Duration::ZERO };
        let delay = RETRY_DELAY.saturating_mul(2_u32.saturating_pow(doublings.saturating_add(1)));
        let longest = self.interval.unwrap_or(MAX_RETRY_DELAY);
        delay.min(longest.clamp(RETRY_DELAY, MAX_RETRY_DELAY))
    }

    fn slack(&self) -> Duration {
        let interval = self.interval.unwrap_or(MAX_RETRY_DELAY);
        (interval / SLACK_DIVISOR).min(MAX_SLACK)
    }

    /// The interval and the results of the last runs, in lines for the help page.
    pub(super) fn describe(&self) -> String {
        let mut text = match self.interval {
            Some(Duration::ZERO) => "runs at every periodic call".to_owned(),
            Some(interval) => format!("runs every {} s", interval.as_secs_f64()),
            None => "runs once, after the start".to_owned(),
        };
        match self.last_success {
            Some(at) => _ = write!(text, "\nlast success: {at}"),
            None => text.push_str("\nhas not succeeded since the start"),
        }
        if let Some((at, message)) = &self.last_failure {
            _ = write!(text, "\nlast failure: {at}: {}", message.replace('\n', " "));
        }
        if self.failures > 0 {
            _ = write!(text, "\nfailures in a row: {}", self.failures);
        }
        text
    }
}

impl RunResult {
    pub(super) fn outcome(&self) -> TaskOutcome {
        match self {
            Self::Succeeded => TaskOutcome::Succeeded,
            Self::Failed(_) => TaskOutcome::Failed,
            Self::TimedOut(_) => TaskOutcome::TimedOut,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn failure(text: &str) -> RunResult {
        RunResult::Failed(EngineError::internal(text))
    }

    /// Calls `begin` once a minute, fails each run, and returns the minutes of the runs.
    fn minutes_of_failing_runs(interval: Option<Duration>, minutes: u32) -> Vec<u32> {
        let mut schedule = TaskSchedule::new(interval);
        let mut runs = Vec::new();
        for minute in 0..minutes {
            let now = MINUTE * minute;
            if schedule.begin(now) {
                schedule.finish(&failure("down"), now, now, Timestamp::EPOCH);
                runs.push(minute);
            }
        }
        runs
    }

    #[test]
    fn retries_are_delayed_up_to_the_interval_or_an_hour() {
        let day = Some(MINUTE * 60 * 24);
        assert_eq!(minutes_of_failing_runs(day, 260), [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]);
        assert_eq!(minutes_of_failing_runs(None, 70), [0, 1, 3, 7, 15, 31, 63]);
        assert_eq!(minutes_of_failing_runs(Some(MINUTE * 5), 20), [0, 1, 3, 7, 12, 17]);
        assert_eq!(minutes_of_failing_runs(Some(MINUTE), 5), [0, 1, 2, 3, 4]);
        assert_eq!(minutes_of_failing_runs(Some(Duration::ZERO), 5), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn the_interval_counts_from_the_start_of_the_last_successful_run() {
        let mut schedule = TaskSchedule::new(Some(MINUTE * 10));
        assert!(schedule.begin(Duration::ZERO));
        assert!(!schedule.begin(MINUTE * 3), "one run at a time");
        let ended = MINUTE * 4;
        schedule.finish(&RunResult::Succeeded, Duration::ZERO, ended, Timestamp::EPOCH);
        assert!(!schedule.begin(MINUTE * 9));
        assert!(schedule.begin(MINUTE * 10 - MAX_SLACK));
        schedule.abandon();
        assert!(schedule.begin(MINUTE * 10), "a run that was dropped is made up for");
    }

    #[test]
    fn a_task_without_an_interval_runs_until_it_has_succeeded() {
        let mut schedule = TaskSchedule::new(None);
        assert!(schedule.begin(Duration::ZERO));
        schedule.finish(&failure("down"), Duration::ZERO, Duration::ZERO, Timestamp::EPOCH);
        assert!(schedule.begin(MINUTE));
        schedule.finish(&RunResult::Succeeded, MINUTE, MINUTE, Timestamp::EPOCH);
        assert!(!schedule.begin(MINUTE * 100_000));
    }

    #[test]
    fn the_log_has_changes_only() {
        let mut schedule = TaskSchedule::new(Some(MINUTE));
        let mut finish =
            |result| schedule.finish(&result, Duration::ZERO, Duration::ZERO, Timestamp::EPOCH);
        assert_eq!(finish(RunResult::Succeeded), RunLog::Nothing);
        assert_eq!(finish(failure("down")), RunLog::Failing("down".to_owned()));
        assert_eq!(finish(failure("down")), RunLog::Nothing);
        let timed_out = || RunResult::TimedOut(MINUTE);
        assert_eq!(finish(timed_out()), RunLog::Failing("it did not end within 60 s".to_owned()));
        assert_eq!(finish(timed_out()), RunLog::Nothing);
        assert_eq!(finish(RunResult::Succeeded), RunLog::Recovered(4));
        assert_eq!(finish(RunResult::Succeeded), RunLog::Nothing);
        assert_eq!(finish(failure("down")), RunLog::Failing("down".to_owned()));
    }

    /// The causes of an error are for the log, since they may name files and addresses.
    #[test]
    fn the_help_page_has_the_message_and_the_log_also_the_cause() {
        let cause = std::io::Error::other("connection refused by 10.0.0.7");
        let error = crate::Error::internal_caused_by("the directory can't be reached", cause);
        let mut schedule = TaskSchedule::new(Some(MINUTE));
        let result = RunResult::Failed(error.into());
        let log = schedule.finish(&result, Duration::ZERO, Duration::ZERO, Timestamp::EPOCH);
        let whole = "the directory can't be reached: connection refused by 10.0.0.7";
        assert_eq!(log, RunLog::Failing(whole.to_owned()));
        let help = schedule.describe();
        assert!(help.contains("the directory can't be reached"), "{help}");
        assert!(!help.contains("10.0.0.7"), "{help}");
    }
}
