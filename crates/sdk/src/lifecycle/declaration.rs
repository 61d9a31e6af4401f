//! [`LifecycleDeclarations`]: the lifecycle functions that a blueprint declares.

use std::sync::Arc;
use std::time::Duration;

use strongroom_types::clock::BoxFuture;

use crate::{Context, Error};

/// A lifecycle function with its types erased.
pub(crate) type LifecycleFunction =
    Arc<dyn Fn(Context) -> BoxFuture<'static, Result<(), Error>> + Send + Sync>;

/// The lifecycle functions that a blueprint declares.
#[derive(Clone, Default)]
pub(crate) struct LifecycleDeclarations {
    /// `on_start` and the periodic tasks, in the order of their declaration.
    pub(crate) tasks: Vec<TaskDeclaration>,
    pub(crate) on_close: Vec<LifecycleFunction>,
}

/// A function that runs repeatedly, or until it has succeeded once.
#[derive(Clone)]
pub(crate) struct TaskDeclaration {
    pub(crate) name: &'static str,
    /// The interval of a periodic task; `None` for `on_start`.
    pub(crate) interval: Option<Duration>,
    /// The time limit of one run.
    pub(crate) limit: Duration,
    pub(crate) function: LifecycleFunction,
}

impl LifecycleDeclarations {
    /// What is wrong with the declarations, if anything.
    pub(crate) fn declaration_error(&self) -> Option<String> {
        if self.on_close.len() > 1 {
            return Some("on_close is declared twice".to_owned());
        }
        self.tasks.iter().enumerate().find_map(|(index, task)| {
            let name = task.name;
            if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control()) {
                return Some(format!("{name:?} is no name of a task: use a word like \"rotate\""));
            }
            let is_twice = self.tasks.iter().skip(index + 1).any(|other| other.name == name);
            is_twice.then(|| format!("the task {name:?} is declared twice"))
        })
    }
}
