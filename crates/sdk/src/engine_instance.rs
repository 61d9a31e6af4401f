//! [`EngineInstance`]: a running instance of a [`Blueprint`], which implements [`Engine`] for the
//! core.

mod intent_rollback;
mod single_task;
mod storage_migration;

use std::borrow::Cow;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use strongroom_engine::{
    CanonicalPath, DataResponse, Engine, EngineDescription, EngineError, EngineRequest,
    EngineResponse, Existence, FieldKinds, LeaseContext, MountContext, Operation, StatusKind,
    catch_panic,
};
use strongroom_schema::field::{FieldWarnings, apply_captures};
use strongroom_schema::pattern::PathCaptures;
use strongroom_types::RawObject;
use strongroom_types::path::check_segments;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::single_task::SingleTask;
use crate::Context;
use crate::blueprint::{Blueprint, Route, RouteTarget};
use crate::context::InstanceServices;
use crate::document::{DocumentStore, name_error};
use crate::help;
use crate::intent::IntentStore;
use crate::key_migration::{KeyMigratingStorage, current_key};
use crate::lease_fields::credential_kind;
use crate::leased_credential::ErasedCredential;
use crate::lifecycle::{BackgroundTasks, TaskScheduler};
use crate::migration::MigrationGate;
use crate::records::RecordStore;
use crate::resource::{ErasedListAction, Listing};
use crate::stored_document::{ErasedDocument, list_response};

/// An instance of an engine at one mount, with its background tasks.
pub(crate) struct EngineInstance {
    blueprint: Blueprint,
    description: EngineDescription,
    services: Arc<InstanceServices>,
    intents: IntentStore,
    tasks: TaskTracker,
    closing: CancellationToken,
    intent_rollback: Arc<SingleTask>,
    migration_gate: Arc<MigrationGate>,
    migration_task: Arc<SingleTask>,
    keyed_storage: Arc<KeyMigratingStorage>,
    key_migration_task: Arc<SingleTask>,
    scheduler: TaskScheduler,
}

impl EngineInstance {
    pub(crate) fn new(
        blueprint: Blueprint,
        description: EngineDescription,
        mut mount: MountContext,
    ) -> Self {
        let moved_keys = Arc::new(KeyMigratingStorage::new(mount.storage));
        mount.storage = moved_keys.clone();
        let (tasks, closing) = (TaskTracker::new(), CancellationToken::new());
        let documents = DocumentStore::new(
            mount.storage.clone(),
            tasks.clone(),
            &mount.config,
            blueprint.declared_documents(),
        );
        let intents = IntentStore::new(mount.clone());
        let records = RecordStore::new(mount.storage.clone());
        let owned_tasks = BackgroundTasks::new(tasks.clone(), closing.clone());
        let services = Arc::new(InstanceServices {
            mount,
            documents,
            records,
            tasks: owned_tasks,
            system: blueprint.outside_system_name(),
            password_policy: blueprint.password_policy_reader(),
            #[cfg(feature = "http")]
            http: crate::http::HttpClient::new(blueprint.outside_system_name()),
        });
        let scheduler = TaskScheduler::new(&blueprint.lifecycle);
        Self {
            blueprint,
            description,
            services,
            intents,
            tasks,
            closing,
            intent_rollback: Arc::default(),
            migration_gate: Arc::default(),
            migration_task: Arc::default(),
            keyed_storage: moved_keys,
            key_migration_task: Arc::default(),
            scheduler,
        }
    }

    /// Replaces the request's path by the normalised form that policies were checked against.
    fn canonicalize_path(&self, request: &mut EngineRequest) {
        if let CanonicalPath::Folded(Cow::Owned(path)) = self.canonical_path(&request.path) {
            request.path = path;
        }
    }

    fn match_route(&self, path: &str) -> Option<(&Route, PathCaptures)> {
        let routes = self.blueprint.routes().iter();
        routes.into_iter().find_map(|route| Some((route, route.pattern.match_path(path)?)))
    }

    async fn handle_request(
        &self,
        request: &mut EngineRequest,
    ) -> Result<EngineResponse, EngineError> {
        self.canonicalize_path(request);
        if request.operation != Operation::Help {
            // If entries can't be moved, the next attempt is made by the periodic call.
            if !self.keyed_storage.is_stuck() {
                self.spawn_key_migration();
            }
            self.check_migrated()?;
        }
        match request.operation {
            Operation::Help => {
                let tasks = self.scheduler.help_section();
                return Ok(help::help_response(&self.blueprint, &request.path, &tasks));
            }
            Operation::List => return Box::pin(self.handle_list(request)).await,
            Operation::Renew if request.auth.is_some() => {
                return Box::pin(self.renew_login(request)).await;
            }
            Operation::Renew | Operation::Revoke => {
                return Box::pin(self.handle_lease(request)).await;
            }
            _ => {}
        }
        let Some((route, captures)) = self.match_route(&request.path) else {
            return self.respond_unknown_path(request);
        };
        let warnings = if route.accepts_any_field() {
            FieldWarnings::default()
        } else {
            let declared = route.fields();
            apply_captures(declared.iter().map(|spec| spec.name), &captures, &mut request.fields)
        };
        let mut response = self.dispatch_to_route(route, &captures, request).await?;
        if let (EngineResponse::Nothing, RouteTarget::Document(_)) = (&response, &route.target)
            && is_write(request.operation)
            && warnings.ignored.is_some()
        {
            // The fields of a document are declared. Without a warning a misspelt one would go
            // unnoticed.
            response = EngineResponse::Data(DataResponse::new(RawObject::null()));
        }
        Ok(with_warnings(response, warnings))
    }

    /// The response to a request for a path that isn't declared.
    fn respond_unknown_path(&self, request: &EngineRequest) -> Result<EngineResponse, EngineError> {
        match self.blueprint.unknown_path_hint(request.operation, &request.path) {
            Some(hint) => Ok(EngineResponse::NotFound(DataResponse {
                warnings: vec![hint],
                ..DataResponse::new(RawObject::null())
            })),
            None => Err(EngineError::Status(StatusKind::UnsupportedPath)),
        }
    }

    async fn check_existence(&self, request: &EngineRequest) -> Result<Existence, EngineError> {
        self.check_migrated()?;
        let path = match self.canonical_path(&request.path) {
            CanonicalPath::Folded(path) => path,
            CanonicalPath::CaseSensitive | CanonicalPath::Unknown => Cow::Borrowed(&*request.path),
        };
        let (route, captures) =
            self.match_route(&path).ok_or(EngineError::Status(StatusKind::UnsupportedPath))?;
        let names = capture_values(&captures);
        let key = route.pattern.storage_key(&names);
        let exists = match &route.target {
            // The write itself will report the invalid name.
            RouteTarget::Document(_) if route.pattern.check_captures(&names).is_err() => false,
            RouteTarget::Document(document) => {
                let key = document.storage_key(&key);
                document.exists(&self.services.documents, &key).await?
            }
            RouteTarget::FreeForm(form) => form.exists(&self.services, &key).await?,
            RouteTarget::Actions(actions) => match &actions.exists {
                Some(check) if actions.write.is_some() => {
                    let context = Context::for_request(self.services.clone(), request);
                    let context = context.without_creation();
                    check.exists(context, captures.first_value().to_owned()).await?
                }
                _ => return Ok(Existence::NoCheck),
            },
            RouteTarget::Credential(_) | RouteTarget::Login(_) | RouteTarget::DurableAction(_) => {
                return Ok(Existence::NoCheck);
            }
        };
        Ok(if exists { Existence::Exists } else { Existence::Absent })
    }

    async fn dispatch_to_route(
        &self,
        route: &Route,
        captures: &PathCaptures,
        request: &EngineRequest,
    ) -> Result<EngineResponse, EngineError> {
        // Free-form documents need none.
        let context = || Context::for_request(self.services.clone(), request);
        let unsupported = Err(EngineError::Status(StatusKind::UnsupportedOperation));
        match &route.target {
            RouteTarget::Document(document) => {
                let names = capture_values(captures);
                match route.pattern.check_captures(&names) {
                    Ok(()) => {}
                    Err(error) if is_write(request.operation) => {
                        return Err(name_error(error).into());
                    }
                    Err(_) => return Ok(EngineResponse::Nothing),
                }
                let key = document.storage_key(&route.pattern.storage_key(&names));
                let name = captures.iter().last().map_or("", |(_, value)| value);
                document.handle(&context(), &key, name, request).await
            }
            RouteTarget::FreeForm(form) => {
                let key = route.pattern.storage_key(&capture_values(captures));
                form.handle(&self.services, &key, request).await
            }
            RouteTarget::Credential(credential) => {
                let by = credential.issued_by();
                let is_issue = match request.operation {
                    Operation::Read => by.includes_read(),
                    Operation::Create | Operation::Update => by.includes_write(),
                    _ => false,
                };
                if !is_issue {
                    return unsupported;
                }
                let captures = capture_values(captures);
                credential.issue(&context(), &self.intents, &captures, &request.fields).await
            }
            RouteTarget::Login(login) => match request.operation {
                Operation::Create | Operation::Update => login.log_in(&context(), request).await,
                Operation::AliasLookahead => login.look_up_alias(&request.fields),
                Operation::ResolveRole => login.resolve_role(&context(), &request.fields).await,
                _ => unsupported,
            },
            RouteTarget::DurableAction(action) if is_write(request.operation) => {
                action.handle(&context(), &capture_values(captures), &request.fields).await
            }
            RouteTarget::DurableAction(_) => unsupported,
            RouteTarget::Actions(actions) => {
                let Some(action) = actions.for_operation(request.operation) else {
                    return unsupported;
                };
                let context = match actions.exists {
                    Some(_) if request.operation != Operation::Read => context(),
                    _ => context().without_creation(),
                };
                action.handle(context, request.operation, &request.fields).await
            }
        }
    }

    async fn handle_list(&self, request: &EngineRequest) -> Result<EngineResponse, EngineError> {
        let path = match request.path.as_str() {
            "" => String::new(),
            path => format!("{}/", path.trim_end_matches('/')),
        };
        let found = self.blueprint.routes().iter().find_map(|route| {
            let below = route.pattern.match_folder(&path)?;
            match &route.target {
                RouteTarget::Document(_) if !below.is_empty() && !route.pattern.ends_in_rest() => {
                    None
                }
                RouteTarget::Document(_) if check_segments(below).is_err() => {
                    Some(ListTarget::Impossible)
                }
                RouteTarget::Document(document) => Some(ListTarget::Documents(document)),
                // A free-form folder may be at any depth, but no request can name the keys of
                // records.
                RouteTarget::FreeForm(_) if check_segments(&path).is_err() => {
                    Some(ListTarget::Impossible)
                }
                RouteTarget::FreeForm(_) => Some(ListTarget::StorageFolder(path.clone())),
                // A list action isn't told of captures above the folder, so it lists none below one.
                RouteTarget::Actions(actions) if path.starts_with(route.pattern.list_folder()?) => {
                    Some(ListTarget::Action(actions.list.as_ref()?, below))
                }
                RouteTarget::Actions(_)
                | RouteTarget::Credential(_)
                | RouteTarget::Login(_)
                | RouteTarget::DurableAction(_) => None,
            }
        });
        let warnings = FieldWarnings::for_unrecognized(&request.fields, LIST_FIELDS.into_iter());
        match found {
            Some(ListTarget::StorageFolder(folder)) => {
                let Listing { folder, after, limit } = Listing::read(&folder, &request.fields)?;
                let documents = &self.services.documents;
                let names = documents.list_names(&folder, after.as_deref(), limit).await?;
                Ok(with_warnings(list_response(&names), warnings))
            }
            Some(ListTarget::Documents(collection)) => {
                let folder = collection.storage_key(&path);
                let listing = Listing::read(&folder, &request.fields)?;
                let response = collection.list(&self.services.documents, &listing).await?;
                Ok(with_warnings(response, warnings))
            }
            Some(ListTarget::Impossible) => Ok(EngineResponse::Nothing),
            Some(ListTarget::Action(list, below)) => {
                let listing = Listing::read(below, &request.fields)?;
                let context = Context::for_request(self.services.clone(), request);
                let response = list.list(context.without_creation(), listing).await?;
                Ok(with_warnings(response, warnings))
            }
            None => match self.list_path_itself(&path, request).await? {
                Some(response) => Ok(with_warnings(response, warnings)),
                None if self.is_declared_folder(&path) => {
                    Err(EngineError::Status(StatusKind::UnsupportedOperation))
                }
                None => self.respond_unknown_path(request),
            },
        }
    }

    /// The response of the path's own list action; `None` if the path has none.
    async fn list_path_itself(
        &self,
        path: &str,
        request: &EngineRequest,
    ) -> Result<Option<EngineResponse>, EngineError> {
        let Some((Route { target: RouteTarget::Actions(actions), .. }, captures)) =
            self.match_route(path.trim_end_matches('/'))
        else {
            return Ok(None);
        };
        let Some(list) = &actions.list_here else { return Ok(None) };
        let mut fields = request.fields.clone();
        for (name, value) in captures.iter() {
            fields.set(name, &value);
        }
        let context = Context::for_request(self.services.clone(), request);
        list.handle(context, request.operation, &fields).await.map(Some)
    }

    /// Whether a folder is, or lies below, a declared path.
    fn is_declared_folder(&self, folder: &str) -> bool {
        let reaches = |route: &Route| {
            let above = route.pattern.list_folder().filter(|_| route.pattern.ends_in_rest());
            above.is_some_and(|above| !above.is_empty() && folder.starts_with(above))
        };
        self.match_route(folder.trim_end_matches('/')).is_some()
            || self.blueprint.routes().iter().any(reaches)
    }

    /// Renews the token of a login, by the path of the login.
    async fn renew_login(&self, request: &EngineRequest) -> Result<EngineResponse, EngineError> {
        let Some((Route { target: RouteTarget::Login(login), .. }, _)) =
            self.match_route(&request.path)
        else {
            return Err(EngineError::Status(StatusKind::UnsupportedPath));
        };
        let context = Context::for_request(self.services.clone(), request);
        login.renew(&context, request).await
    }

    async fn handle_lease(&self, request: &EngineRequest) -> Result<EngineResponse, EngineError> {
        let lease = request
            .lease
            .as_ref()
            .ok_or_else(|| EngineError::internal("a renewal or revocation without its lease"))?;
        let credential = self.credential_of_lease(lease)?;
        let context = Context::for_request(self.services.clone(), request);
        match request.operation {
            Operation::Renew => credential.renew(&context, lease).await,
            _ => credential.revoke(&context, lease).await.map(|()| EngineResponse::Nothing),
        }
    }

    fn credential_of_lease(
        &self,
        lease: &LeaseContext,
    ) -> Result<&Arc<dyn ErasedCredential>, EngineError> {
        self.blueprint
            .credential_of_kind(&credential_kind(lease))
            .ok_or_else(|| EngineError::internal("secret is unsupported by this backend"))
    }
}

#[async_trait]
impl Engine for EngineInstance {
    fn description(&self) -> &EngineDescription {
        &self.description
    }

    fn field_kinds(&self, path: &str) -> FieldKinds {
        let path = match self.canonical_path(path) {
            CanonicalPath::Folded(path) => path,
            CanonicalPath::CaseSensitive | CanonicalPath::Unknown => Cow::Borrowed(path),
        };
        match self.match_route(&path) {
            Some((route, _)) if route.accepts_any_field() => FieldKinds::Untyped,
            Some((route, _)) => FieldKinds::Declared(route.fields().into_iter().copied().collect()),
            None => FieldKinds::Unknown,
        }
    }

    async fn initialize(&self) -> Result<(), EngineError> {
        self.inspect_storage().await?;
        self.spawn_intent_rollback();
        self.scheduler.start(&Context::background(self.services.clone()));
        Ok(())
    }

    async fn exists(&self, request: &EngineRequest) -> Result<Existence, EngineError> {
        // This too runs the engine's own `validate` and field kinds.
        catch_panic(self.check_existence(request)).await
    }

    /// Written out, because the macro's expansion would hold the request twice.
    fn handle<'s, 'r>(
        &'s self,
        mut request: EngineRequest,
    ) -> Pin<Box<dyn Future<Output = Result<EngineResponse, EngineError>> + Send + 'r>>
    where
        's: 'r,
    {
        Box::pin(async move { catch_panic(self.handle_request(&mut request)).await })
    }

    async fn invalidate(&self, key: &str) {
        self.keyed_storage.on_external_write(key);
        self.services.documents.invalidate_key(&current_key(key));
    }

    async fn periodic(&self) -> Result<(), EngineError> {
        self.spawn_key_migration();
        self.spawn_migration();
        self.spawn_intent_rollback();
        self.scheduler.run_due(&Context::background(self.services.clone()));
        Ok(())
    }

    async fn close(&self) {
        self.closing.cancel();
        // Calls that are still running keep this instance in memory; drop the cached documents,
        // which may be secret. When the server seals, storage is closed first, so nothing is cached
        // again.
        self.services.documents.clear_cache();
        self.tasks.close();
        self.tasks.wait().await;
        self.scheduler.run_on_close(&Context::background(self.services.clone())).await;
        // It may have read documents, and a write that it began may still be running.
        self.services.documents.clear_cache();
        self.tasks.wait().await;
    }
}

impl Drop for EngineInstance {
    /// Stops the background tasks even if the instance was never closed.
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

impl fmt::Debug for EngineInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineInstance").field("blueprint", &self.blueprint).finish_non_exhaustive()
    }
}

/// What a list request refers to.
enum ListTarget<'a> {
    /// A folder that can't exist.
    Impossible,
    /// The documents of a collection, or of a folder of it.
    Documents(&'a Arc<dyn ErasedDocument>),
    /// The names of free-form documents in a storage folder.
    StorageFolder(String),
    /// A list action, with the folder relative to its path.
    Action(&'a Arc<dyn ErasedListAction>, &'a str),
}

/// The fields that every list request accepts.
const LIST_FIELDS: [&str; 3] = ["after", "limit", "list"];

/// Adds warnings to a response that can carry them.
fn with_warnings(mut response: EngineResponse, warnings: FieldWarnings) -> EngineResponse {
    match &mut response {
        EngineResponse::Data(data) | EngineResponse::NotFound(data) => {
            data.warnings.extend(warnings);
        }
        EngineResponse::Leased(leased) => leased.data.warnings.extend(warnings),
        EngineResponse::Auth(auth) => auth.data.warnings.extend(warnings),
        EngineResponse::Nothing | EngineResponse::Raw(_) | EngineResponse::Redirect(_) => {}
    }
    response
}

fn is_write(operation: Operation) -> bool {
    matches!(operation, Operation::Create | Operation::Update | Operation::Patch)
}

fn capture_values(captures: &PathCaptures) -> Vec<&str> {
    captures.iter().map(|(_, value)| value).collect()
}
