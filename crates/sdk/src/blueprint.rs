//! [`Blueprint`]: an engine as a list of declarations.

mod checks;
mod documents;
mod route;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use strongroom_engine::intent::WAL_FOLDER;
use strongroom_engine::{EngineDescription, MountKind, Operation, RawRequestBody, SpecialPaths};
use strongroom_schema::display::PathDisplay;
use strongroom_schema::pattern::RoutePattern;

use crate::action::{ActionHandler, ErasedAction, Input, RawBodyHandler, Response};
use crate::context::PasswordPolicyReader;
use crate::credential::{Credential, RequiredDocument};
use crate::document::Document;
use crate::document_hooks::DocumentHooks;
use crate::document_part::DocumentPart;
use crate::free_form::FreeForm;
use crate::internal_documents::InternalDocument;
use crate::leased_credential::{ErasedCredential, LeasedCredential};
use crate::lifecycle::LifecycleDeclarations;
use crate::login::Login;
use crate::login_handler::LoginHandler;
use crate::migration::Migration;
use crate::records::RecordKey;
use crate::resource::{
    ErasedListAction, ListHandler, ListHereHandler, Listing, Resource, RouteActions,
};
use crate::stored_document::TypedDocument;
use crate::{Context, Error};

pub(crate) use self::route::{Route, RouteTarget};

/// The declaration of an engine. Routing, existence checks, lists, special paths, help, OpenAPI and
/// lease handling follow from it. It is also the
/// [`EngineFactory`](crate::engine::EngineFactory) that creates the instances.
#[derive(Clone)]
pub struct Blueprint {
    name: &'static str,
    version: &'static str,
    kind: MountKind,
    help: &'static str,
    outside_system: Option<&'static str>,
    password_policy: Option<PasswordPolicyReader>,
    exclusive: bool,
    migration: Option<Migration>,
    migrated_rejection: Option<&'static str>,
    unknown_path_hint: Option<UnknownPathHint>,
    pub(crate) lifecycle: LifecycleDeclarations,
    /// Buckets of records that are stored under the seal.
    sealed_buckets: Vec<&'static str>,
    /// The buckets of records that are excluded from replication.
    local_buckets: Vec<&'static str>,
    routes: Vec<Route>,
    internal_documents: Vec<InternalDocument>,
    /// Index of the route declared last; a read and a write declared for one path share a route.
    last_declared: usize,
}

/// Returns the hint for requests to a path that isn't declared, if there is one.
pub(crate) type UnknownPathHint = fn(Operation, &str) -> Option<String>;

impl Blueprint {
    /// A secrets engine without paths. `name` is the engine's name, by which it is mounted;
    /// `version` is its semantic version, usually `env!("CARGO_PKG_VERSION")`.
    pub fn new(name: &'static str, version: &'static str) -> Self {
        Self {
            name,
            version,
            kind: MountKind::Secret,
            help: "",
            outside_system: None,
            password_policy: None,
            exclusive: false,
            migration: None,
            migrated_rejection: None,
            unknown_path_hint: None,
            lifecycle: LifecycleDeclarations::default(),
            sealed_buckets: Vec::new(),
            local_buckets: Vec::new(),
            routes: Vec::new(),
            internal_documents: Vec::new(),
            last_declared: 0,
        }
    }

    /// An auth method without paths; name and version as for [`new`](Self::new). It declares at
    /// least one [`login`](Self::login), and no credentials.
    pub fn auth_method(name: &'static str, version: &'static str) -> Self {
        Self { kind: MountKind::Auth, ..Self::new(name, version) }
    }

    /// Sets the description of the engine for its help page, in a sentence or two.
    #[must_use]
    pub fn help(mut self, help: &'static str) -> Self {
        self.help = help;
        self
    }

    /// Sets the name of the outside system in error messages, such as `"token service"`. Without it
    /// they have the name of the engine.
    #[must_use]
    pub fn outside_system(mut self, name: &'static str) -> Self {
        self.outside_system = Some(name);
        self
    }

    /// The name of the outside system in error messages.
    pub(crate) fn outside_system_name(&self) -> &'static str {
        self.outside_system.unwrap_or(self.name)
    }

    /// Says where the configuration names the server's password policy for the passwords that the
    /// engine generates ([`Context::new_password`]), such as those of [`dynamic_account`],
    /// [`static_credential`] and [`root_password`]. If the name is empty, and without this declaration,
    /// they have 32 letters and digits.
    ///
    /// ```
    /// # use strongroom_sdk::{Blueprint, Document};
    /// /// How to reach the directory.
    /// #[derive(Document)]
    /// #[document(path = "config", seal_wrap)]
    /// struct Config {
    ///     /// Password policy for generated passwords.
    ///     password_policy: String,
    /// }
    ///
    /// let engine = Blueprint::new("directory", "1.0.0")
    ///     .document::<Config>()
    ///     .password_policy(|config: &Config| &config.password_policy);
    /// # drop(engine);
    /// ```
    ///
    /// [`dynamic_account`]: Self::dynamic_account
    /// [`static_credential`]: Self::static_credential
    /// [`root_password`]: Self::root_password
    #[must_use]
    pub fn password_policy<D: Document>(mut self, name_in: fn(&D) -> &str) -> Self {
        self.password_policy = Some(PasswordPolicyReader::new(move |context: Context| {
            Box::pin(async move {
                let config = D::load_required(&context, &[]).await?;
                Ok(name_in(&config).to_owned())
            })
        }));
        self
    }

    pub(crate) fn password_policy_reader(&self) -> Option<PasswordPolicyReader> {
        self.password_policy.clone()
    }

    /// Sets another version, for a second binary that contains the same engine.
    #[must_use]
    pub fn with_version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    /// Declares that two instances for one mount must never run side by side, not even during a
    /// reload.
    #[must_use]
    pub fn exclusive(mut self) -> Self {
        self.exclusive = true;
        self
    }

    /// Adds a document, or a collection of documents, with create, read, update, delete and list.
    #[must_use]
    pub fn document<D: DocumentHooks>(self) -> Self {
        self.push_document_route::<D>(RouteTarget::Document(Arc::new(TypedDocument::<D>::new())))
    }

    pub(crate) fn push_document_route<D: DocumentHooks>(self, target: RouteTarget) -> Self {
        let with = self.push_route(D::PATH, D::HELP, D::ROOT, target);
        if D::FOLDS_CASE { with.folds_case() } else { with }
    }

    /// Announces that records in this bucket are stored under the seal.
    pub(crate) fn stores_sealed_records(mut self, bucket: &'static str) -> Self {
        if !self.sealed_buckets.contains(&bucket) {
            self.sealed_buckets.push(bucket);
        }
        self
    }

    /// Adds free-form documents: JSON objects from clients, stored and returned unchanged.
    /// Documents are created, read, replaced, deleted and listed at the paths that `path` matches.
    #[must_use]
    pub fn free_form(self, path: &'static str, help: &'static str, form: FreeForm) -> Self {
        self.push_route(path, help, false, RouteTarget::FreeForm(Arc::new(form)))
    }

    /// Adds a path whose objects the engine stores in its own way; see [`Resource`].
    #[must_use]
    pub fn resource(self, path: &'static str, help: &'static str, resource: Resource) -> Self {
        self.push_route(path, help, false, RouteTarget::Actions(Box::new(resource.0)))
    }

    /// Adds a path that can only be listed.
    #[must_use]
    pub fn list<F, Fut>(self, path: &'static str, help: &'static str, action: F) -> Self
    where
        F: Fn(Context, Listing) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, Error>> + Send + 'static,
    {
        let list: Arc<dyn ErasedListAction> = Arc::new(ListHandler(action));
        let actions = RouteActions { list: Some(list), ..RouteActions::default() };
        self.push_route(path, help, false, RouteTarget::Actions(Box::new(actions)))
    }

    /// Adds a path at which some fields of a document are read, written and reset; see
    /// [`DocumentPart`].
    #[must_use]
    pub fn document_part(self, path: &'static str, help: &'static str, part: DocumentPart) -> Self {
        self.push_route(path, help, false, RouteTarget::Actions(Box::new(part.into_actions())))
    }

    /// Adds an action for lists of `path` itself, such as `role/{name}/secret-id`, where
    /// [`list`](Self::list) and [`Resource::list`] are for the folder that the last capture of a path
    /// is in. The captures are the input of the action. The [`Listing`] has an empty folder. A read
    /// and a write of the same path may be declared too.
    #[must_use]
    pub fn list_at<I, F, Fut>(self, path: &'static str, help: &'static str, action: F) -> Self
    where
        I: Input,
        F: Fn(Context, I, Listing) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, Error>> + Send + 'static,
    {
        let list: Arc<dyn ErasedAction> = Arc::new(ListHereHandler::new(action));
        let actions = RouteActions { list_here: Some(list), ..RouteActions::default() };
        self.push_actions(path, help, actions)
    }

    /// Adds an action for deletes of `path`. A read and a write of the same path may be declared too.
    #[must_use]
    pub fn delete<I, F, Fut>(self, path: &'static str, help: &'static str, action: F) -> Self
    where
        I: Input,
        F: Fn(Context, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, Error>> + Send + 'static,
    {
        let action: Arc<dyn ErasedAction> = Arc::new(ActionHandler::new(action));
        let actions = RouteActions { delete: Some(action), ..RouteActions::default() };
        self.push_actions(path, help, actions)
    }

    /// Excludes the records in a bucket from replication to other clusters. `bucket` is what
    /// [`RecordKey::new`] is called with.
    #[must_use]
    pub fn local_records(mut self, bucket: &'static str) -> Self {
        self.local_buckets.push(bucket);
        self
    }

    /// Migrates mounts that contain free-form documents, for an engine that stores records instead.
    ///
    /// `convert` returns the records that replace a document, the one that represents it first.
    /// Documents are moved in batches, each atomic on hosts with atomic storage, so none is lost or
    /// duplicated if the process dies; the next start continues. The migration begins with the
    /// first request or periodic call, and until it has finished requests are rejected with the
    /// message `meanwhile`. A damaged document stays where it is and is named in the log. The
    /// engine becomes [`exclusive`](Self::exclusive).
    #[must_use]
    pub fn migrates_free_form<F>(mut self, meanwhile: &'static str, convert: F) -> Self
    where
        F: Fn(&Context, &str, Bytes) -> Vec<(RecordKey, Bytes)> + Send + Sync + 'static,
    {
        self.exclusive = true;
        self.migration =
            Some(Migration { unavailable_message: meanwhile, convert: Arc::new(convert) });
        self
    }

    /// Refuses to initialise on a mount that contains records: another version of the engine has
    /// migrated it, and this one would hide those records. `why` is the error message for the
    /// operator.
    #[must_use]
    pub fn reject_if_migrated(mut self, why: &'static str) -> Self {
        self.migrated_rejection = Some(why);
        self
    }

    /// Sets a function that may return a hint for requests to undeclared paths. The client then
    /// receives 404 with the hint as a warning; without a hint, the error "unsupported path".
    #[must_use]
    pub fn on_unknown_path(mut self, hint: fn(Operation, &str) -> Option<String>) -> Self {
        self.unknown_path_hint = Some(hint);
        self
    }

    /// Adds a leased credential, issued when its path is read.
    #[must_use]
    pub fn credential<C: Credential>(self, credential: C) -> Self {
        let target = RouteTarget::Credential(Arc::new(LeasedCredential::new(credential)));
        self.push_route(C::PATH, C::HELP, false, target)
    }

    /// Adds a login of an auth method. Its path takes writes without a token.
    #[must_use]
    pub fn login<L: Login>(self, login: L) -> Self {
        let target = RouteTarget::Login(LoginHandler::new(login));
        self.push_route(L::PATH, L::HELP, false, target).unauthenticated()
    }

    /// Adds an action for reads of `path`. A read and a write of the same path may both be
    /// declared.
    #[must_use]
    pub fn read<I, F, Fut>(self, path: &'static str, help: &'static str, action: F) -> Self
    where
        I: Input,
        F: Fn(Context, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, Error>> + Send + 'static,
    {
        let action: Arc<dyn ErasedAction> = Arc::new(ActionHandler::new(action));
        let actions = RouteActions { read: Some(action), ..RouteActions::default() };
        self.push_actions(path, help, actions)
    }

    /// Adds an action for writes to `path`, which need the `update` capability. An object that can
    /// be *created* needs an existence check: declare a [`document`](Self::document) or a
    /// [`resource`](Self::resource). The action can't create documents that clients create; see
    /// [`DocumentStore`](crate::document::DocumentStore).
    #[must_use]
    pub fn write<I, F, Fut>(self, path: &'static str, help: &'static str, action: F) -> Self
    where
        I: Input,
        F: Fn(Context, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, Error>> + Send + 'static,
    {
        let action: Arc<dyn ErasedAction> = Arc::new(ActionHandler::new(action));
        let actions = RouteActions { write: Some(action), ..RouteActions::default() };
        self.push_actions(path, help, actions)
    }

    /// Adds an action for writes to `path` that gets the request's body unparsed, with its content
    /// type: an uploaded file, or a protocol whose requests aren't JSON. Its input are the captures of
    /// the path and the parameters of the query. It needs the `update` capability; conditions of
    /// policies on parameters see those of the query only. Patches of the path are not supported.
    ///
    /// The body has the listener's limit of a request, `max_request_size` (32 MiB by default), and on an
    /// [`unauthenticated`](Self::unauthenticated) path its `max_unauthenticated_request_size`. All of it
    /// is in memory while the action runs.
    ///
    /// **Only for engines that are linked into the server.** The plug-in protocol has no place for the
    /// body, under Strongroom as under Vault and OpenBao, so a plug-in with such a path can't be
    /// mounted; the error says why. In tests run such an engine with
    /// [`Transport::Linked`](crate::testing::Transport::Linked).
    ///
    /// # Examples
    ///
    /// ```
    /// use strongroom_sdk::{Blueprint, Context, Error, Input, RawRequestBody, Response};
    ///
    /// /// Where the file is stored.
    /// #[derive(Input)]
    /// struct UploadInput {
    ///     /// Name of the file; taken from the path.
    ///     name: String,
    /// }
    ///
    /// async fn upload(_: Context, to: UploadInput, body: RawRequestBody) -> Result<Response, Error> {
    ///     if body.content_type != "application/pem-certificate-chain" {
    ///         return Err(Error::user("send a certificate chain in PEM"));
    ///     }
    ///     // Parse and store `body.bytes` under `to.name`.
    ///     # let _ = to.name;
    ///     Ok(Response::no_content())
    /// }
    ///
    /// let engine = Blueprint::new("files", "1.0.0").raw_body("files/{name}", "A file.", upload);
    /// # drop(engine);
    /// ```
    #[must_use]
    pub fn raw_body<I, F, Fut>(self, path: &'static str, help: &'static str, action: F) -> Self
    where
        I: Input,
        F: Fn(Context, I, RawRequestBody) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, Error>> + Send + 'static,
    {
        let action: Arc<dyn ErasedAction> = Arc::new(RawBodyHandler::new(action));
        let (write, takes_raw_body) = (Some(action), true);
        let actions = RouteActions { write, takes_raw_body, ..RouteActions::default() };
        self.push_actions(path, help, actions)
    }

    /// Allows requests without a token to the path declared last.
    #[must_use]
    pub fn unauthenticated(mut self) -> Self {
        if let Some(route) = self.routes.get_mut(self.last_declared) {
            route.unauthenticated = true;
        }
        self
    }

    /// Sets how user interfaces and code generators present the path declared last: in OpenAPI as
    /// `x-vault-displayAttrs`, and in the operation ids, which are derived as Vault's framework does. Of a
    /// collection the list gets the navigation, the items get action and verb, and both the rest.
    /// Fields have `#[field(display(…))]`.
    ///
    /// ```
    /// # use strongroom_sdk::{Blueprint, Document, PathDisplay};
    /// /// What a token may do.
    /// #[derive(Document)]
    /// #[document(path = "roles/{name}")]
    /// struct Role {
    ///     /// Permissions, one per line.
    ///     #[field(display(name = "Permissions", edit_type = "textarea"))]
    ///     permissions: String,
    /// }
    ///
    /// // `api-token-list-role`, `api-token-read-role`, `api-token-write-role`, `api-token-delete-role`
    /// let display = PathDisplay::new().navigation().item_type("Role").operation_suffix("role");
    /// let engine = Blueprint::new("api-token", "1.0.0").document::<Role>().display(display);
    /// # drop(engine);
    /// ```
    #[must_use]
    pub fn display(mut self, display: PathDisplay) -> Self {
        if let Some(route) = self.routes.get_mut(self.last_declared) {
            route.display = display;
        }
        self
    }

    /// Requires the `sudo` capability, in addition to the usual one, for the path declared last.
    #[must_use]
    pub fn root(mut self) -> Self {
        if let Some(route) = self.routes.get_mut(self.last_declared) {
            route.root = true;
        }
        self
    }

    /// Makes the captures of the path declared last case-insensitive: the engine receives them in
    /// lower case, and policies are checked against that form. For a document, declare it with the
    /// document: [`Document::FOLDS_CASE`], which says to which other
    /// paths it extends.
    #[must_use]
    pub fn folds_case(mut self) -> Self {
        if let Some(route) = self.routes.get_mut(self.last_declared) {
            route.folds_case = true;
        }
        self
    }

    fn push_actions(mut self, path: &'static str, help: &'static str, added: RouteActions) -> Self {
        // The actions of one path share a route.
        let same = self.routes.iter_mut().enumerate().find(|(_, r)| r.pattern.as_str() == path);
        if let Some((index, Route { target: RouteTarget::Actions(actions), .. })) = same
            && actions.exists.is_none()
            && actions.list.is_none()
        {
            actions.read = added.read.or(actions.read.take());
            if added.write.is_some() {
                (actions.write, actions.takes_raw_body) = (added.write, added.takes_raw_body);
            }
            actions.delete = added.delete.or(actions.delete.take());
            actions.list_here = added.list_here.or(actions.list_here.take());
            self.last_declared = index;
            return self;
        }
        self.push_route(path, help, false, RouteTarget::Actions(Box::new(added)))
    }

    pub(crate) fn push_route(
        mut self,
        path: &'static str,
        help: &'static str,
        root: bool,
        target: RouteTarget,
    ) -> Self {
        let pattern = RoutePattern::new(path);
        self.last_declared = self.routes.len();
        let (unauthenticated, folds_case) = (false, false);
        let display = PathDisplay::new();
        self.routes.push(Route {
            pattern,
            help,
            root,
            unauthenticated,
            folds_case,
            display,
            target,
        });
        self
    }

    /// Adds a path before all others, so that it takes precedence.
    #[cfg(feature = "testing")]
    pub(crate) fn prepend_read<F, Fut>(
        self,
        path: &'static str,
        help: &'static str,
        action: F,
    ) -> Self
    where
        F: Fn(Context, ()) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, Error>> + Send + 'static,
    {
        let mut with = self.read(path, help, action);
        with.routes.rotate_right(1);
        with
    }

    #[cfg(feature = "testing")]
    pub(crate) fn is_exclusive(&self) -> bool {
        self.exclusive
    }

    pub(crate) fn mount_kind(&self) -> MountKind {
        self.kind
    }

    pub(crate) fn own_name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn own_version(&self) -> &'static str {
        self.version
    }

    pub(crate) fn engine_help(&self) -> &'static str {
        self.help
    }

    pub(crate) fn migration(&self) -> Option<&Migration> {
        self.migration.as_ref()
    }

    pub(crate) fn migrated_rejection(&self) -> Option<&'static str> {
        self.migrated_rejection
    }

    pub(crate) fn unknown_path_hint(&self, operation: Operation, path: &str) -> Option<String> {
        self.unknown_path_hint.and_then(|hint| hint(operation, path))
    }

    pub(crate) fn routes(&self) -> &[Route] {
        &self.routes
    }

    pub(crate) fn credential_of_kind(&self, kind: &str) -> Option<&Arc<dyn ErasedCredential>> {
        self.routes.iter().find_map(|route| match &route.target {
            RouteTarget::Credential(credential) if credential.kind() == kind => Some(credential),
            _ => None,
        })
    }

    /// The version with a leading `v`, as the plug-in wire transmits it.
    pub(crate) fn tagged_version(&self) -> String {
        if self.version.starts_with('v') {
            self.version.to_owned()
        } else {
            format!("v{}", self.version)
        }
    }

    pub(crate) fn has_credentials(&self) -> bool {
        self.routes.iter().any(|route| matches!(route.target, RouteTarget::Credential(_)))
    }

    pub(crate) fn description(&self) -> EngineDescription {
        let mut special = SpecialPaths::default();
        for route in &self.routes {
            let path = route.pattern.to_special_path();
            if route.root {
                special.root.push(path.clone());
            }
            if route.takes_raw_body() {
                special.binary.push(path.clone());
            }
            if route.unauthenticated {
                special.unauthenticated.push(path);
            }
        }
        for (pattern, document) in self.all_documents() {
            let key = document.storage_key(&storage_prefix(pattern));
            if document.seal_wrap() {
                special.seal_wrap_storage.push(key.clone());
            }
            if document.local() {
                special.local_storage.push(key);
            }
        }
        for bucket in &self.local_buckets {
            special.local_storage.push(RecordKey::new(bucket, "").as_str().to_owned());
        }
        if self.has_credentials() {
            special.local_storage.push(WAL_FOLDER.to_owned());
        }
        for bucket in &self.sealed_buckets {
            special.seal_wrap_storage.push(RecordKey::new(bucket, "").as_str().to_owned());
        }
        EngineDescription {
            kind: self.kind,
            version: self.tagged_version(),
            special_paths: special,
            wants_token_hash: false,
            folded_paths: self.folded_paths(),
            exclusive: self.exclusive,
        }
    }
}

/// The storage key of a single document, or the folder of a collection.
fn storage_prefix(pattern: &RoutePattern) -> String {
    let path = pattern.as_str();
    path.split_once('{').map_or(path, |(folder, _)| folder).to_owned()
}

impl fmt::Debug for Blueprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<_> = self.routes.iter().map(|route| route.pattern.as_str()).collect();
        f.debug_struct("Blueprint").field("name", &self.name).field("paths", &paths).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn no_content_action(_: Context, (): ()) -> Result<Response, Error> {
        Ok(Response::no_content())
    }

    #[test]
    fn attributes_are_of_the_path_declared_last_also_when_it_joins_another() {
        let engine = Blueprint::new("test", "1.0.0").read("a", "", no_content_action).read(
            "b",
            "",
            no_content_action,
        );
        let special = engine
            .write("a", "", no_content_action)
            .root()
            .unauthenticated()
            .description()
            .special_paths;
        assert_eq!((special.root, special.unauthenticated), (vec!["a".into()], vec!["a".into()]));
    }
}
