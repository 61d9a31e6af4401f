//! Work that an engine does beside requests: at the start of an instance, periodically, in the
//! background of a request, and when the instance closes.
//!
//! ```
//! use std::time::Duration;
//! use strongroom_sdk::{Blueprint, Context, Error, Response};
//!
//! async fn check_connection(_: Context) -> Result<(), Error> { Ok(()) }
//! async fn rotate_password(_: Context) -> Result<(), Error> { Ok(()) }
//! async fn log_out(_: Context) -> Result<(), Error> { Ok(()) }
//! # async fn rebuild_index(_: Context) -> Result<(), Error> { Ok(()) }
//!
//! /// Starts the work and responds at once.
//! async fn start_rebuild(context: Context, (): ()) -> Result<Response, Error> {
//!     context.spawn("rebuild", rebuild_index(context.clone()))?;
//!     Ok(Response::no_content())
//! }
//!
//! let day = Duration::from_secs(24 * 3600);
//! let engine = Blueprint::new("example", "1.0.0")
//!     .on_start(check_connection)
//!     .periodic("rotate", day, rotate_password)
//!     .run_limit(Duration::from_secs(300))
//!     .on_close(log_out)
//!     .write("rebuild", "Rebuilds the index.", start_rebuild);
//! # drop(engine);
//! ```
//!
//! | declaration | runs | after a failure |
//! |---|---|---|
//! | [`on_start`] | once per instance, after it was initialised | is run again, until it succeeds |
//! | [`periodic`] | at the host's periodic call, when its interval has passed since its last successful run began | is run again, with a growing delay |
//! | [`on_close`] | once, after all other tasks of the instance were stopped | is logged |
//! | [`Context::spawn`] | once, at once | is logged |
//!
//! Hosts make their periodic call about once a minute, so no task runs more often. The first call
//! runs every periodic task, since nothing about earlier instances is stored: a task that must keep
//! to its interval across restarts stores the time of its last run itself.
//!
//! All tasks belong to the instance. No request, periodic call, removal of the mount or seal waits
//! for one: a task is dropped at its next await when the instance closes or its time limit has
//! passed, and a task that panics counts as failed. At most one run of each task is under way. Since
//! a run may be dropped, and during a reload may overlap with a run of the new instance, it must
//! leave nothing that the next run can't continue.
//!
//! A failure of `on_start` or of a periodic task is visible in three places:
//!
//! - in the log, with the task's name and the causes of the error: when the task begins to fail, when
//!   the error changes, and when the task works again
//! - in the help of the mount (`path-help` of its root), with the times of the last success and the
//!   last failure, and with the message of the error but not its causes. Like every error message it
//!   must not contain secrets
//! - under Strongroom, for an engine that is linked into the server, in the metric
//!   `strongroom.engine.task_runs`. The plug-in protocol has no metrics
//!
//! [`on_start`]: crate::Blueprint::on_start
//! [`periodic`]: crate::Blueprint::periodic
//! [`on_close`]: crate::Blueprint::on_close
//! [`Context::spawn`]: crate::Context::spawn

mod background;
mod blueprint;
mod declaration;
mod schedule;
mod scheduler;
mod spawn;

use std::time::Duration;

pub(crate) use background::BackgroundTasks;
pub(crate) use declaration::LifecycleDeclarations;
pub(crate) use scheduler::TaskScheduler;

/// How long one run of `on_start` or of a periodic task may take, unless
/// [`Blueprint::run_limit`](crate::Blueprint::run_limit) sets another time.
pub const DEFAULT_RUN_LIMIT: Duration = Duration::from_secs(60);

/// How long `on_close` may take. Hosts end a plug-in process about two seconds after they asked it
/// to close, and a seal waits for engines that are linked in.
pub const CLOSE_LIMIT: Duration = Duration::from_millis(1500);

/// The maximum number of tasks of [`Context::spawn`](crate::Context::spawn) that may run in one
/// instance at the same time.
pub const MAX_BACKGROUND_TASKS: usize = 64;
