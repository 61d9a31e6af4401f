//! [`Backend`]: an instance of a [`Blueprint`], which is what the core gets to see.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use strongroom_types::Timestamp;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Context;
use crate::blueprint::{Blueprint, Route, Target};
use crate::context::Services;
use crate::document::Documents;
use crate::engine::{
    Description, Engine, EngineError, Existence, LeaseContext, Mount, Operation, Request, Response,
    StatusKind,
};
use crate::field::take_captures;
use crate::help;
use crate::intent::Intents;
use crate::leased::{LeasedPath, kind_of};
use crate::panics::caught;
use crate::pattern::Captures;
use crate::stored::listed;

/// An instance.
pub(crate) struct Backend {
    blueprint: Blueprint,
    description: Description,
    services: Arc<Services>,
    intents: Intents,
    tasks: TaskTracker,
    closing: CancellationToken,
    sweeping: Arc<Sweeping>,
}

/// The one task that undoes stale intents: two would undo side by side.
#[derive(Default)]
struct Sweeping {
    runs: Mutex<bool>,
    /// Told by a tick to look now, and not only when more is due.
    look: Notify,
}

/// Names in one answer to a list.
const LIST_LIMIT: usize = 1_000_000;

impl Backend {
    pub(crate) fn new(blueprint: Blueprint, description: Description, mount: Mount) -> Self {
        let tasks = TaskTracker::new();
        let documents = Documents::new(mount.storage.clone(), tasks.clone());
        let intents = Intents::new(mount.clone());
        let services = Arc::new(Services { mount, documents });
        let (closing, sweeping) = (CancellationToken::new(), Arc::default());
        Self { blueprint, description, services, intents, tasks, closing, sweeping }
    }

    fn route(&self, path: &str) -> Option<(&Route, Captures)> {
        let routes = self.blueprint.routes().iter();
        routes.into_iter().find_map(|route| Some((route, route.pattern.matches(path)?)))
    }

    async fn run(&self, request: Request) -> Result<Response, EngineError> {
        match request.operation {
            Operation::Help => return Ok(help::of(&self.blueprint, &request.path)),
            Operation::List => return self.list(&request).await,
            Operation::Renew | Operation::Revoke => return self.lease(&request).await,
            _ => {}
        }
        let (route, captures) =
            self.route(&request.path).ok_or(EngineError::Status(StatusKind::UnsupportedPath))?;
        let mut request = request;
        let warnings = if route.takes_any_field() {
            Vec::new()
        } else {
            let declared = route.fields();
            take_captures(declared.iter().map(|spec| spec.name), &captures, &mut request.fields)
        };
        let context = Context::of_request(self.services.clone(), &request);
        let mut response = self.dispatch(route, &captures, &context, &request).await?;
        if let Response::Data(data) = &mut response {
            data.warnings.extend(warnings);
        }
        Ok(response)
    }

    async fn check_existence(&self, request: &Request) -> Result<Existence, EngineError> {
        let (route, captures) =
            self.route(&request.path).ok_or(EngineError::Status(StatusKind::UnsupportedPath))?;
        let key = route.pattern.key(&values(&captures));
        let exists = match &route.target {
            Target::Document(document) => document.exists(&self.services.documents, &key).await?,
            Target::FreeForm(form) => form.exists(&self.services, &key).await?,
            Target::Credential(_) | Target::Action { .. } => return Ok(Existence::NoCheck),
        };
        Ok(if exists { Existence::Exists } else { Existence::Absent })
    }

    async fn dispatch(
        &self,
        route: &Route,
        captures: &Captures,
        context: &Context,
        request: &Request,
    ) -> Result<Response, EngineError> {
        let unsupported = Err(EngineError::Status(StatusKind::UnsupportedOperation));
        match &route.target {
            Target::Document(document) => {
                let key = route.pattern.key(&values(captures));
                document.handle(&self.services.documents, &key, request).await
            }
            Target::FreeForm(form) => {
                let key = route.pattern.key(&values(captures));
                form.handle(&self.services, &key, request).await
            }
            Target::Credential(credential) if request.operation == Operation::Read => {
                credential.issue(context, &self.intents, captures.first()).await
            }
            Target::Credential(_) => unsupported,
            Target::Action { read, write } => {
                let action = match request.operation {
                    Operation::Read => read,
                    Operation::Create | Operation::Update => write,
                    _ => &None,
                };
                let Some(action) = action else { return unsupported };
                action.run(context.clone(), request.operation, &request.fields).await
            }
        }
    }

    async fn list(&self, request: &Request) -> Result<Response, EngineError> {
        let path = match request.path.as_str() {
            "" => String::new(),
            path => format!("{}/", path.trim_end_matches('/')),
        };
        let listable = |route: &&Route| match &route.target {
            Target::Document(_) => route.pattern.folder() == Some(path.as_str()),
            // A free-form folder may be anywhere below.
            Target::FreeForm(_) => route.pattern.folder().is_some_and(|at| path.starts_with(at)),
            Target::Credential(_) | Target::Action { .. } => false,
        };
        if !self.blueprint.routes().iter().any(|route| listable(&route)) {
            let known = self.route(path.trim_end_matches('/')).is_some();
            let kind =
                if known { StatusKind::UnsupportedOperation } else { StatusKind::UnsupportedPath };
            return Err(EngineError::Status(kind));
        }
        let after = request.fields.text("after");
        let limit =
            request.fields.get("limit").and_then(|raw| raw.get().trim_matches('"').parse().ok());
        let limit = limit.filter(|limit| *limit > 0).unwrap_or(LIST_LIMIT);
        let names = self.services.documents.list(&path, after.as_deref(), limit).await?;
        Ok(listed(&names))
    }

    async fn lease(&self, request: &Request) -> Result<Response, EngineError> {
        let lease = request
            .lease
            .as_ref()
            .ok_or_else(|| EngineError::internal("a renewal or revocation without its lease"))?;
        let credential = self.credential(lease)?;
        let context = Context::of_request(self.services.clone(), request);
        match request.operation {
            Operation::Renew => credential.renew(&context, lease).await,
            _ => credential.revoke(&context, lease).await.map(|()| Response::Nothing),
        }
    }

    fn credential(&self, lease: &LeaseContext) -> Result<&Arc<dyn LeasedPath>, EngineError> {
        self.blueprint
            .credential_of_kind(&kind_of(lease))
            .ok_or_else(|| EngineError::internal("secret is unsupported by this backend"))
    }

    /// Undoes stale intents now, and as they become stale, until none are left or the instance
    /// closes. One such task runs at a time.
    fn sweep(&self) {
        if !self.blueprint.has_credentials() {
            return;
        }
        if std::mem::replace(&mut *self.sweeping.lock(), true) {
            self.sweeping.look.notify_one();
            return;
        }
        let sweep = Sweep {
            blueprint: self.blueprint.clone(),
            context: Context::background(self.services.clone()),
            intents: self.intents.clone(),
            sweeping: self.sweeping.clone(),
        };
        let (closing, done) = (self.closing.clone(), Done(self.sweeping.clone()));
        self.tasks.spawn(async move {
            let _done = done;
            tokio::select! {
                () = sweep.run() => {}
                () = closing.cancelled() => {}
            }
        });
    }
}

#[async_trait]
impl Engine for Backend {
    fn description(&self) -> &Description {
        &self.description
    }

    async fn initialize(&self) -> Result<(), EngineError> {
        self.sweep();
        Ok(())
    }

    async fn exists(&self, request: &Request) -> Result<Existence, EngineError> {
        // An author's `validate` and field kinds run here too.
        caught(self.check_existence(request)).await
    }

    async fn handle(&self, request: Request) -> Result<Response, EngineError> {
        caught(self.run(request)).await
    }

    async fn invalidate(&self, key: &str) {
        self.services.documents.forget(key);
    }

    async fn periodic(&self) -> Result<(), EngineError> {
        self.sweep();
        Ok(())
    }

    async fn close(&self) {
        self.closing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Backend {
    /// What it has going in the background ends with it, also when nobody closed it.
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend").field("blueprint", &self.blueprint).finish_non_exhaustive()
    }
}

/// The work of undoing stale intents.
struct Sweep {
    blueprint: Blueprint,
    context: Context,
    intents: Intents,
    sweeping: Arc<Sweeping>,
}

impl Sweep {
    async fn run(&self) {
        loop {
            match self.once().await {
                Ok(Some(next)) => tokio::select! {
                    () = self.context.clock().sleep_until(next) => {}
                    () = self.sweeping.look.notified() => {}
                },
                Ok(None) => return,
                Err(error) => {
                    // The next periodic tick tries again.
                    tracing::warn!(%error, "stale intents could not be read");
                    return;
                }
            }
        }
    }

    /// Undoes what is due; gives the moment at which more will be.
    async fn once(&self) -> Result<Option<Timestamp>, crate::Error> {
        let (due, mut next) = self.intents.due().await?;
        for due in due {
            let kind = due.intent.kind.clone();
            let Some(credential) = self.blueprint.credential_of_kind(&kind) else {
                tracing::warn!(kind, "an intent of a kind this engine doesn't have is kept");
                continue;
            };
            // One that panics must not keep the others from being undone.
            let undo = async { Ok(credential.undo(&self.context, &due).await?) };
            match caught(undo).await {
                Ok(()) => {
                    if let Some(again) = self.intents.looked(due).await? {
                        next = Some(next.map_or(again, |next| next.min(again)));
                    }
                }
                // Kept as it is: the next periodic tick tries again.
                Err(error) => {
                    tracing::warn!(%error, intent = due.uuid, "a credential could not be undone yet");
                }
            }
        }
        Ok(next)
    }
}

/// Marks the sweep as over, however it ends.
struct Done(Arc<Sweeping>);

impl Drop for Done {
    fn drop(&mut self) {
        *self.0.lock() = false;
    }
}

impl Sweeping {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn values(captures: &Captures) -> Vec<&str> {
    captures.iter().map(|(_, value)| value).collect()
}
