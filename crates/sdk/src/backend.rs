//! [`Backend`]: an instance of a [`Blueprint`], which is what the core gets to see.

use std::borrow::Cow;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use strongroom_types::path::check_segments;
use strongroom_types::{RawObject, Timestamp};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Context;
use crate::blueprint::{Blueprint, Route, Target};
use crate::context::Services;
use crate::document::Documents;
use crate::engine::{
    CanonicalPath, Data, Description, Engine, EngineError, Existence, FieldKinds, LeaseContext,
    Mount, Operation, Request, Response, StatusKind,
};
use crate::field::{FieldWarnings, take_captures};
use crate::help;
use crate::intent::Intents;
use crate::leased::{LeasedPath, kind_of};
use crate::moved_keys::{MovedKeys, new_key};
use crate::panics::caught;
use crate::pattern::Captures;
use crate::records::Records;
use crate::resource::{ListPath, Listing};
use crate::stored::listed;
use crate::takeover::{self, Gate};

/// An instance.
pub(crate) struct Backend {
    blueprint: Blueprint,
    description: Description,
    services: Arc<Services>,
    intents: Intents,
    tasks: TaskTracker,
    closing: CancellationToken,
    sweeping: Arc<Sweeping>,
    gate: Arc<Gate>,
    taking_over: Arc<Sweeping>,
    moved_keys: Arc<MovedKeys>,
    moving_keys: Arc<Sweeping>,
}

/// The one task that undoes stale intents: two would undo side by side. And the one that takes over
/// documents of an earlier version, and the one that moves entries to the keys they have now.
#[derive(Default)]
struct Sweeping {
    runs: Mutex<bool>,
    /// Told by a tick to look now, and not only when more is due.
    look: Notify,
}

impl Backend {
    pub(crate) fn new(blueprint: Blueprint, description: Description, mut mount: Mount) -> Self {
        let moved_keys = Arc::new(MovedKeys::new(mount.storage));
        mount.storage = moved_keys.clone();
        let tasks = TaskTracker::new();
        let documents = Documents::new(mount.storage.clone(), tasks.clone(), &mount.config);
        let intents = Intents::new(mount.clone());
        let records = Records::new(mount.storage.clone());
        let services = Arc::new(Services { mount, documents, records });
        let (closing, sweeping) = (CancellationToken::new(), Arc::default());
        let (gate, taking_over) = Default::default();
        Self {
            blueprint,
            description,
            services,
            intents,
            tasks,
            closing,
            sweeping,
            gate,
            taking_over,
            moved_keys,
            moving_keys: Arc::default(),
        }
    }

    /// What was before this engine must have moved before anything is asked of it.
    fn check_gate(&self) -> Result<(), EngineError> {
        match self.blueprint.takeover() {
            Some(takeover) if !self.gate.is_open() => {
                // After a failure the next attempt is left to the periodic call.
                if !self.gate.has_failed() {
                    self.take_over();
                }
                Err(EngineError::user(takeover.meanwhile))
            }
            _ => Ok(()),
        }
    }

    /// Gives a request the form of its path that policies were judged on.
    fn canonicalize(&self, request: &mut Request) {
        if let CanonicalPath::Folded(Cow::Owned(path)) = self.canonical_path(&request.path) {
            request.path = path;
        }
    }

    fn route(&self, path: &str) -> Option<(&Route, Captures)> {
        let routes = self.blueprint.routes().iter();
        routes.into_iter().find_map(|route| Some((route, route.pattern.matches(path)?)))
    }

    async fn run(&self, request: &mut Request) -> Result<Response, EngineError> {
        self.canonicalize(request);
        if request.operation != Operation::Help {
            // What is stuck is left to the periodic call.
            if !self.moved_keys.is_stuck() {
                self.move_keys();
            }
            self.check_gate()?;
        }
        match request.operation {
            Operation::Help => return Ok(help::of(&self.blueprint, &request.path)),
            Operation::List => return Box::pin(self.list(request)).await,
            Operation::Renew | Operation::Revoke => return Box::pin(self.lease(request)).await,
            _ => {}
        }
        let Some((route, captures)) = self.route(&request.path) else {
            return self.elsewhere(request);
        };
        let warnings = if route.takes_any_field() {
            FieldWarnings::default()
        } else {
            let declared = route.fields();
            take_captures(declared.iter().map(|spec| spec.name), &captures, &mut request.fields)
        };
        let context = Context::of_request(self.services.clone(), request);
        let mut response = self.dispatch(route, &captures, &context, request).await?;
        if let (Response::Nothing, Target::Document(_)) = (&response, &route.target)
            && is_write(request.operation)
            && warnings.ignored.is_some()
        {
            // A document knows its fields. What was misspelt would be missed much later.
            response = Response::Data(Data::new(RawObject::null()));
        }
        Ok(with_warnings(response, warnings))
    }

    /// A path that isn't declared.
    fn elsewhere(&self, request: &Request) -> Result<Response, EngineError> {
        match self.blueprint.hint(request.operation, &request.path) {
            Some(hint) => {
                Ok(Response::Missing(Data { warnings: vec![hint], ..Data::new(RawObject::null()) }))
            }
            None => Err(EngineError::Status(StatusKind::UnsupportedPath)),
        }
    }

    async fn check_existence(&self, request: &Request) -> Result<Existence, EngineError> {
        self.check_gate()?;
        let path = match self.canonical_path(&request.path) {
            CanonicalPath::Folded(path) => path,
            CanonicalPath::AsGiven | CanonicalPath::Unknown => Cow::Borrowed(&*request.path),
        };
        let (route, captures) =
            self.route(&path).ok_or(EngineError::Status(StatusKind::UnsupportedPath))?;
        let key = route.pattern.key(&values(&captures));
        let exists = match &route.target {
            Target::Document(document) => {
                let key = document.key(&key);
                document.exists(&self.services.documents, &key).await?
            }
            Target::FreeForm(form) => form.exists(&self.services, &key).await?,
            Target::Actions(actions) => match &actions.exists {
                Some(check) if actions.write.is_some() => {
                    let context = Context::of_request(self.services.clone(), request);
                    check.exists(context, captures.first().to_owned()).await?
                }
                _ => return Ok(Existence::NoCheck),
            },
            Target::Credential(_) => return Ok(Existence::NoCheck),
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
                let key = document.key(&route.pattern.key(&values(captures)));
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
            Target::Actions(actions) => {
                let Some(action) = actions.of(request.operation) else { return unsupported };
                action.run(context.clone(), request.operation, &request.fields).await
            }
        }
    }

    async fn list(&self, request: &Request) -> Result<Response, EngineError> {
        let path = match request.path.as_str() {
            "" => String::new(),
            path => format!("{}/", path.trim_end_matches('/')),
        };
        let found = self.blueprint.routes().iter().find_map(|route| {
            let below = path.strip_prefix(route.pattern.folder()?)?;
            match &route.target {
                Target::Document(document) if below.is_empty() => {
                    Some(Folder::Stored(document.key(&path)))
                }
                // A free-form folder may be anywhere below, but no request names what lies apart.
                Target::FreeForm(_) if check_segments(&path).is_err() => Some(Folder::None),
                Target::FreeForm(_) => Some(Folder::Stored(path.clone())),
                Target::Actions(actions) => Some(Folder::Listed(actions.list.as_ref()?, below)),
                Target::Document(_) | Target::Credential(_) => None,
            }
        });
        let warnings = FieldWarnings::of(&request.fields, LIST_FIELDS.into_iter());
        match found {
            Some(Folder::Stored(folder)) => {
                let Listing { folder, after, limit } = Listing::read(&folder, &request.fields)?;
                let documents = &self.services.documents;
                let names = documents.list(&folder, after.as_deref(), limit).await?;
                Ok(with_warnings(listed(&names), warnings))
            }
            Some(Folder::None) => Ok(Response::Nothing),
            Some(Folder::Listed(list, below)) => {
                let listing = Listing::read(below, &request.fields)?;
                let context = Context::of_request(self.services.clone(), request);
                let response = list.list(context, listing).await?;
                Ok(with_warnings(response, warnings))
            }
            None if self.is_known(&path) => {
                Err(EngineError::Status(StatusKind::UnsupportedOperation))
            }
            None => self.elsewhere(request),
        }
    }

    /// Whether a folder is, or lies in, a declared path.
    fn is_known(&self, folder: &str) -> bool {
        let reaches = |route: &Route| {
            let above = route.pattern.folder().filter(|_| route.pattern.takes_any_rest());
            above.is_some_and(|above| !above.is_empty() && folder.starts_with(above))
        };
        self.route(folder.trim_end_matches('/')).is_some()
            || self.blueprint.routes().iter().any(reaches)
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

    /// Moves what a mount kept before, until nothing of it is left or the instance closes.
    fn take_over(&self) {
        let Some(takeover) = self.blueprint.takeover().cloned() else { return };
        if self.gate.is_open() || std::mem::replace(&mut *self.taking_over.lock(), true) {
            return;
        }
        let context = Context::background(self.services.clone());
        let storage = self.services.mount.storage.clone();
        let (gate, closing) = (self.gate.clone(), self.closing.clone());
        let done = Done(self.taking_over.clone());
        self.tasks.spawn(async move {
            let _done = done;
            match takeover.run(&context, &*storage, &gate, || !closing.is_cancelled()).await {
                Ok(true) => gate.open(),
                Ok(false) => {}
                Err(error) => {
                    gate.failed();
                    tracing::warn!(
                        %error,
                        "the secrets of the previous version could not be moved yet; the next periodic \
                         call tries again"
                    );
                }
            }
        });
    }

    /// Moves what lies apart to the keys it has now, until nothing is left that can be moved or the
    /// instance closes.
    fn move_keys(&self) {
        if self.moved_keys.is_done() || std::mem::replace(&mut *self.moving_keys.lock(), true) {
            return;
        }
        let (keys, closing) = (self.moved_keys.clone(), self.closing.clone());
        let done = Done(self.moving_keys.clone());
        self.tasks.spawn(async move {
            let _done = done;
            if let Err(error) = keys.move_all(|| !closing.is_cancelled()).await {
                tracing::warn!(
                    %error,
                    "entries could not be moved to their new keys yet; the next periodic call tries again"
                );
            }
        });
    }

    /// Whether this mount may be opened as this engine, and whether it has to be taken over first.
    async fn look_at_storage(&self) -> Result<(), EngineError> {
        let storage = &*self.services.mount.storage;
        if let Err(error) = self.moved_keys.look().await {
            // The first request looks again.
            tracing::warn!(%error, "whether entries have old keys could not be seen yet");
        }
        if let Some(why) = self.blueprint.records_refused()
            && takeover::has_records(storage).await?
        {
            return Err(EngineError::user(why));
        }
        if self.blueprint.takeover().is_some() {
            // Else it begins with the first request or tick: hosts may hold back what is written while
            // an instance initialises, and this can be much.
            if !takeover::is_needed(storage).await? {
                self.gate.open();
            }
        }
        Ok(())
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

    fn field_kinds(&self, path: &str) -> FieldKinds {
        let path = match self.canonical_path(path) {
            CanonicalPath::Folded(path) => path,
            CanonicalPath::AsGiven | CanonicalPath::Unknown => Cow::Borrowed(path),
        };
        match self.route(&path) {
            Some((route, _)) if route.takes_any_field() => FieldKinds::AsSent,
            Some((route, _)) => FieldKinds::Declared(route.fields().into_iter().copied().collect()),
            None => FieldKinds::Unknown,
        }
    }

    async fn initialize(&self) -> Result<(), EngineError> {
        self.look_at_storage().await?;
        self.sweep();
        Ok(())
    }

    async fn exists(&self, request: &Request) -> Result<Existence, EngineError> {
        // An author's `validate` and field kinds run here too.
        caught(self.check_existence(request)).await
    }

    /// Written out, and not left to the macro, which would hold the request twice.
    fn handle<'s, 'r>(
        &'s self,
        mut request: Request,
    ) -> Pin<Box<dyn Future<Output = Result<Response, EngineError>> + Send + 'r>>
    where
        's: 'r,
    {
        Box::pin(async move { caught(self.run(&mut request)).await })
    }

    async fn invalidate(&self, key: &str) {
        self.moved_keys.written(key);
        self.services.documents.forget(&new_key(key));
    }

    async fn periodic(&self) -> Result<(), EngineError> {
        self.move_keys();
        self.take_over();
        self.sweep();
        Ok(())
    }

    async fn close(&self) {
        self.closing.cancel();
        // Whoever is still inside keeps this in memory: without what it read, which may be secret.
        // At a seal storage is closed before, so nothing comes back.
        self.services.documents.forget_all();
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

/// What is listed.
enum Folder<'a> {
    /// Nothing: there can be no such folder.
    None,
    /// Names of documents in a folder of storage.
    Stored(String),
    /// What an action says, of a folder below its path.
    Listed(&'a Arc<dyn ListPath>, &'a str),
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

/// The fields of a list.
const LIST_FIELDS: [&str; 3] = ["after", "limit", "list"];

/// Adds warnings to an answer that can carry them.
fn with_warnings(mut response: Response, warnings: FieldWarnings) -> Response {
    match &mut response {
        Response::Data(data) | Response::Missing(data) => data.warnings.extend(warnings),
        Response::Leased(leased) => leased.data.warnings.extend(warnings),
        Response::Nothing | Response::Raw(_) | Response::Auth(_) => {}
    }
    response
}

fn is_write(operation: Operation) -> bool {
    matches!(operation, Operation::Create | Operation::Update | Operation::Patch)
}

fn values(captures: &Captures) -> Vec<&str> {
    captures.iter().map(|(_, value)| value).collect()
}
