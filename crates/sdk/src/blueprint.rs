//! [`Blueprint`]: an engine as a list of declarations.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::action::{ActionPath, Handler, Input, Reply};
use crate::backend::Backend;
use crate::credential::{Credential, NeededDocument};
use crate::document::Document;
use crate::engine::{
    Description, Engine, EngineError, Factory, FoldedPaths, Kind, Mount, Operation, SpecialPaths,
};
use crate::field::{FieldSpec, InvalidInput};
use crate::free_form::FreeForm;
use crate::intent::{INTENT_FOLDER, UNDO_FOLDER, WAL_FOLDER};
use crate::leased::{LeasedKind, LeasedPath};
use crate::openapi::{PathDoc, Verbs};
use crate::pattern::Pattern;
use crate::records::Key;
use crate::resource::{Actions, ListPath, Lister, Listing, Resource};
use crate::stored::{StoredDocument, StoredPath};
use crate::takeover::Takeover;
use crate::{Context, Error};

/// An engine, declared. Everything else follows: routing, existence checks, lists, special paths,
/// help, leases and their end.
#[derive(Clone)]
pub struct Blueprint {
    name: &'static str,
    version: &'static str,
    help: &'static str,
    exclusive: bool,
    takeover: Option<Takeover>,
    refuses_records: Option<&'static str>,
    elsewhere: Option<Elsewhere>,
    routes: Vec<Route>,
    /// Which of them was declared last: a write joins the read of its path.
    last: usize,
}

/// What is said to those who ask for a path that isn't declared.
pub(crate) type Elsewhere = fn(Operation, &str) -> Option<String>;

/// One declared path.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) pattern: Pattern,
    pub(crate) help: &'static str,
    pub(crate) root: bool,
    pub(crate) unauthenticated: bool,
    /// Its captures are taken in lower case, whatever their case in the request.
    pub(crate) folds_case: bool,
    pub(crate) target: Target,
}

/// What stands behind a path.
#[derive(Clone)]
pub(crate) enum Target {
    Document(Arc<dyn StoredPath>),
    FreeForm(Arc<FreeForm>),
    Credential(Arc<dyn LeasedPath>),
    Actions(Box<Actions>),
}

impl Blueprint {
    /// An engine without paths. `version` is its semantic version: `env!("CARGO_PKG_VERSION")`.
    pub fn new(name: &'static str, version: &'static str) -> Self {
        Self {
            name,
            version,
            help: "",
            exclusive: false,
            takeover: None,
            refuses_records: None,
            elsewhere: None,
            routes: Vec::new(),
            last: 0,
        }
    }

    /// What the engine is for, in a sentence or two.
    #[must_use]
    pub fn help(mut self, help: &'static str) -> Self {
        self.help = help;
        self
    }

    /// Reports another version: for a second binary of the same engine.
    #[must_use]
    pub fn with_version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    /// Two instances of this engine must never run side by side, not even during a reload.
    #[must_use]
    pub fn exclusive(mut self) -> Self {
        self.exclusive = true;
        self
    }

    /// A document, or a collection of documents: create, read, update, delete and list.
    #[must_use]
    pub fn document<D: Document>(self) -> Self {
        let target = Target::Document(Arc::new(StoredDocument::<D>::new()));
        self.route(D::PATH, D::HELP, D::ROOT, target)
    }

    /// Documents of any form: the client's JSON objects, kept and given back as they are.
    #[must_use]
    pub fn free_form(self, path: &'static str, help: &'static str, form: FreeForm) -> Self {
        self.route(path, help, false, Target::FreeForm(Arc::new(form)))
    }

    /// Things that the engine keeps in its own way.
    #[must_use]
    pub fn resource(self, path: &'static str, help: &'static str, resource: Resource) -> Self {
        self.route(path, help, false, Target::Actions(Box::new(resource.0)))
    }

    /// A folder that can be listed, and nothing else.
    #[must_use]
    pub fn list<F, Fut>(self, path: &'static str, help: &'static str, action: F) -> Self
    where
        F: Fn(Context, Listing) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply, Error>> + Send + 'static,
    {
        let list: Arc<dyn ListPath> = Arc::new(Lister(action));
        let actions = Actions { list: Some(list), ..Actions::default() };
        self.route(path, help, false, Target::Actions(Box::new(actions)))
    }

    /// Takes over mounts that kept free-form documents: when one is opened, `convert` says for each
    /// document what it becomes, the record that stands for it first. Documents move in batches
    /// that are each whole, so that none is lost or there twice, wherever the process dies; the
    /// next start goes on. Requests are refused with `meanwhile` until all have moved, which begins
    /// with the first of them or with the next periodic call. A document that is damaged stays where it
    /// is, and the mount serves without it. No other instance runs beside this one.
    #[must_use]
    pub fn takes_over_free_form<F>(mut self, meanwhile: &'static str, convert: F) -> Self
    where
        F: Fn(&Context, &str, Bytes) -> Vec<(Key, Bytes)> + Send + Sync + 'static,
    {
        self.exclusive = true;
        self.takeover = Some(Takeover { meanwhile, convert: Arc::new(convert) });
        self
    }

    /// Not to be opened on a mount that keeps records: another edition took it over, and this one
    /// would hide what is there. The operator is told `why`.
    #[must_use]
    pub fn refuses_records(mut self, why: &'static str) -> Self {
        self.refuses_records = Some(why);
        self
    }

    /// What to tell those who ask for a path that isn't declared, if anything: they get "not found",
    /// with that as a warning.
    #[must_use]
    pub fn elsewhere(mut self, hint: fn(Operation, &str) -> Option<String>) -> Self {
        self.elsewhere = Some(hint);
        self
    }

    /// A leased credential.
    #[must_use]
    pub fn credential<C: Credential>(self, credential: C) -> Self {
        let target = Target::Credential(Arc::new(LeasedKind::new(credential)));
        self.route(C::PATH, C::HELP, false, target)
    }

    /// An action that answers a read.
    #[must_use]
    pub fn read<I, F, Fut>(self, path: &'static str, help: &'static str, action: F) -> Self
    where
        I: Input,
        F: Fn(Context, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply, Error>> + Send + 'static,
    {
        let action: Arc<dyn ActionPath> = Arc::new(Handler::new(action));
        self.action(path, help, Some(action), None)
    }

    /// An action that answers a write. It needs the `update` capability; what can be *created* is a
    /// document, which knows whether it exists.
    #[must_use]
    pub fn write<I, F, Fut>(self, path: &'static str, help: &'static str, action: F) -> Self
    where
        I: Input,
        F: Fn(Context, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply, Error>> + Send + 'static,
    {
        let action: Arc<dyn ActionPath> = Arc::new(Handler::new(action));
        self.action(path, help, None, Some(action))
    }

    /// The path declared last needs no token.
    #[must_use]
    pub fn unauthenticated(mut self) -> Self {
        if let Some(route) = self.routes.get_mut(self.last) {
            route.unauthenticated = true;
        }
        self
    }

    /// The path declared last needs the `sudo` capability as well.
    #[must_use]
    pub fn root(mut self) -> Self {
        if let Some(route) = self.routes.get_mut(self.last) {
            route.root = true;
        }
        self
    }

    /// The captures of the path declared last are names without regard to case: they reach the
    /// engine in lower case, and policies are judged on that form.
    #[must_use]
    pub fn folds_case(mut self) -> Self {
        if let Some(route) = self.routes.get_mut(self.last) {
            route.folds_case = true;
        }
        self
    }

    fn action(
        mut self,
        path: &'static str,
        help: &'static str,
        new_read: Option<Arc<dyn ActionPath>>,
        new_write: Option<Arc<dyn ActionPath>>,
    ) -> Self {
        // A read and a write of one path are one route.
        let same = self.routes.iter_mut().enumerate().find(|(_, r)| r.pattern.text() == path);
        if let Some((index, Route { target: Target::Actions(actions), .. })) = same
            && actions.exists.is_none()
            && actions.list.is_none()
        {
            actions.read = new_read.or(actions.read.take());
            actions.write = new_write.or(actions.write.take());
            self.last = index;
            return self;
        }
        let actions = Actions { read: new_read, write: new_write, ..Actions::default() };
        self.route(path, help, false, Target::Actions(Box::new(actions)))
    }

    fn route(mut self, path: &'static str, help: &'static str, root: bool, target: Target) -> Self {
        let pattern = Pattern::new(path);
        self.last = self.routes.len();
        let (unauthenticated, folds_case) = (false, false);
        self.routes.push(Route { pattern, help, root, unauthenticated, folds_case, target });
        self
    }

    /// Adds a path before all others.
    #[cfg(feature = "testing")]
    pub(crate) fn front_read<F, Fut>(
        self,
        path: &'static str,
        help: &'static str,
        action: F,
    ) -> Self
    where
        F: Fn(Context, ()) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply, Error>> + Send + 'static,
    {
        let mut with = self.read(path, help, action);
        with.routes.rotate_right(1);
        with
    }

    #[cfg(feature = "testing")]
    pub(crate) fn is_exclusive(&self) -> bool {
        self.exclusive
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

    pub(crate) fn takeover(&self) -> Option<&Takeover> {
        self.takeover.as_ref()
    }

    pub(crate) fn records_refused(&self) -> Option<&'static str> {
        self.refuses_records
    }

    pub(crate) fn hint(&self, operation: Operation, path: &str) -> Option<String> {
        self.elsewhere.and_then(|hint| hint(operation, path))
    }

    pub(crate) fn routes(&self) -> &[Route] {
        &self.routes
    }

    pub(crate) fn credential_of_kind(&self, kind: &str) -> Option<&Arc<dyn LeasedPath>> {
        self.routes.iter().find_map(|route| match &route.target {
            Target::Credential(credential) if credential.kind() == kind => Some(credential),
            _ => None,
        })
    }

    /// The version as the wire has it.
    fn tagged_version(&self) -> String {
        if self.version.starts_with('v') {
            self.version.to_owned()
        } else {
            format!("v{}", self.version)
        }
    }

    /// Declarations that hide each other, or take what is the SDK's own, are refused.
    fn check(&self) -> Result<(), EngineError> {
        let refused = |reason: String| Err(EngineError::internal(reason));
        for (index, route) in self.routes.iter().enumerate() {
            let (path, special) = (route.pattern.text(), route.pattern.as_special());
            let (before, after) =
                (self.routes.iter().take(index), self.routes.iter().skip(index + 1));
            if after.clone().any(|other| other.pattern.as_special() == special) {
                return refused(format!("the path {path:?} is declared twice"));
            }
            let example = route.pattern.example();
            if let Some(hiding) = before.clone().find(|b| b.pattern.matches(&example).is_some()) {
                let hiding = hiding.pattern.text();
                return refused(format!("the path {path:?} is hidden by {hiding:?} before it"));
            }
            if let Target::Credential(credential) = &route.target
                && before.clone().any(|before| before.is_of_kind(credential.kind()))
            {
                let kind = credential.kind();
                return refused(format!("two credentials are of the kind {kind:?}"));
            }
            if self.has_credentials() && route.stores_into_own_folders() {
                return refused(format!("documents at {path:?} could lie where intents are kept"));
            }
            if let Some(fault) = route.pattern.fault() {
                return refused(format!("the path {path:?} is none: {fault}"));
            }
            if let Err(error) = route.check_defaults() {
                return refused(format!("a default at {path:?} can't be read: {error}"));
            }
            if let Target::Credential(credential) = &route.target {
                self.check_needed(route, &**credential)?;
            }
        }
        Ok(())
    }

    /// A credential's documents can be written, and its role can be named: else every request for it
    /// would be told to write something that has no path.
    fn check_needed(&self, of: &Route, credential: &dyn LeasedPath) -> Result<(), EngineError> {
        let refused = |reason: String| Err(EngineError::internal(reason));
        let at = of.pattern.text();
        let [config, role] = credential.needed();
        if let Some(config) = config.filter(|config| config.path.contains('{')) {
            let path = config.path;
            return refused(format!("the configuration of {at:?} is a collection: {path:?}"));
        }
        if let Some(role) = role.filter(|role| role.path.contains('{'))
            && !at.contains('{')
        {
            let path = role.path;
            return refused(format!("the path {at:?} doesn't name which of {path:?} is its role"));
        }
        for NeededDocument { path, type_id } in [config, role].into_iter().flatten() {
            let special = Pattern::new(path).as_special();
            let declared = self.routes.iter().find(|route| route.pattern.as_special() == special);
            let fits = declared.is_some_and(|route| match &route.target {
                Target::Document(document) => document.type_id() == type_id,
                Target::Actions(actions) => actions.write.is_some(),
                Target::FreeForm(_) | Target::Credential(_) => false,
            });
            if !fits {
                return refused(format!(
                    "the document at {path:?}, which {at:?} needs, is not declared: see \
                     Blueprint::document"
                ));
            }
        }
        Ok(())
    }

    pub(crate) fn has_credentials(&self) -> bool {
        self.routes.iter().any(|route| matches!(route.target, Target::Credential(_)))
    }

    pub(crate) fn folded_paths(&self) -> FoldedPaths {
        let folding = self.routes.iter().filter(|route| route.folds_case);
        FoldedPaths::Declared(folding.map(|route| route.pattern.as_special()).collect())
    }

    fn description(&self) -> Description {
        let mut special = SpecialPaths::default();
        for route in &self.routes {
            let path = route.pattern.as_special();
            if route.root {
                special.root.push(path.clone());
            }
            if route.unauthenticated {
                special.unauthenticated.push(path);
            }
            if let Target::Document(document) = &route.target {
                let key = document.key(&storage_prefix(&route.pattern));
                if document.seal_wrap() {
                    special.seal_wrap_storage.push(key.clone());
                }
                if document.local() {
                    special.local_storage.push(key);
                }
            }
        }
        if self.has_credentials() {
            special.local_storage.push(WAL_FOLDER.to_owned());
        }
        Description {
            kind: Kind::Secrets,
            version: self.tagged_version(),
            special,
            wants_token_hash: false,
            folded: self.folded_paths(),
            exclusive: self.exclusive,
        }
    }
}

/// The storage key of a single document, or the folder of a collection.
fn storage_prefix(pattern: &Pattern) -> String {
    match pattern.folder() {
        Some(folder) => folder.to_owned(),
        None => pattern.text().to_owned(),
    }
}

#[async_trait]
impl Factory for Blueprint {
    fn name(&self) -> &str {
        self.name
    }

    fn version(&self) -> String {
        self.tagged_version()
    }

    fn kind(&self) -> Kind {
        Kind::Secrets
    }

    async fn open(&self, mount: Mount) -> Result<Arc<dyn Engine>, EngineError> {
        self.check()?;
        Ok(Arc::new(Backend::new(self.clone(), self.description(), mount)))
    }
}

impl fmt::Debug for Blueprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<_> = self.routes.iter().map(|route| route.pattern.text()).collect();
        f.debug_struct("Blueprint").field("name", &self.name).field("paths", &paths).finish()
    }
}

impl Route {
    /// The fields a client may send here.
    pub(crate) fn fields(&self) -> Vec<&'static FieldSpec> {
        match &self.target {
            Target::Document(document) => document.fields().iter().collect(),
            Target::FreeForm(_) | Target::Credential(_) => Vec::new(),
            Target::Actions(actions) => actions.fields(),
        }
    }

    /// The path, and the folder that lists what lies at it, for OpenAPI.
    pub(crate) fn docs(&self) -> Vec<PathDoc<'static>> {
        let all = Verbs { read: true, write: true, delete: true, ..Verbs::default() };
        let (verbs, creates) = match &self.target {
            Target::Document(_) => (all, true),
            Target::FreeForm(_) => (Verbs { list: true, ..all }, true),
            Target::Credential(_) => (Verbs { read: true, ..Verbs::default() }, false),
            Target::Actions(actions) => {
                let verbs = Verbs {
                    read: actions.read.is_some(),
                    list: actions.list.is_some(),
                    write: actions.write.is_some(),
                    patch: actions.patch.is_some(),
                    delete: actions.delete.is_some(),
                };
                (verbs, actions.exists.is_some())
            }
        };
        let path = PathDoc {
            pattern: self.pattern.text(),
            help: self.help,
            fields: self.fields(),
            verbs,
            free_form: self.takes_any_field(),
            creates,
            root: self.root,
            unauthenticated: self.unauthenticated,
        };
        let folder = self.pattern.folder().filter(|_| matches!(self.target, Target::Document(_)));
        let list = folder.map(|folder| PathDoc {
            pattern: folder.trim_end_matches('/'),
            help: "Lists what there is.",
            fields: Vec::new(),
            verbs: Verbs { list: true, ..Verbs::default() },
            creates: false,
            ..path.clone()
        });
        list.into_iter().chain([path]).collect()
    }

    fn check_defaults(&self) -> Result<(), InvalidInput> {
        match &self.target {
            Target::Document(document) => document.check_defaults(),
            Target::Actions(actions) => actions.check_defaults(),
            Target::FreeForm(_) | Target::Credential(_) => Ok(()),
        }
    }

    fn is_of_kind(&self, kind: &str) -> bool {
        matches!(&self.target, Target::Credential(credential) if credential.kind() == kind)
    }

    /// Whether documents of this path can lie where the SDK keeps intents.
    fn stores_into_own_folders(&self) -> bool {
        let stores = matches!(self.target, Target::Document(_) | Target::FreeForm(_));
        let own = [INTENT_FOLDER, UNDO_FOLDER, WAL_FOLDER];
        stores && own.iter().any(|folder| self.pattern.reaches_into(folder.trim_end_matches('/')))
    }

    /// Whether any field name is acceptable.
    pub(crate) fn takes_any_field(&self) -> bool {
        matches!(self.target, Target::FreeForm(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn nothing(_: Context, (): ()) -> Result<Reply, Error> {
        Ok(Reply::no_content())
    }

    fn why_not(blueprint: &Blueprint) -> String {
        blueprint.check().map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn declarations_that_hide_each_other_are_refused() {
        let new = || Blueprint::new("test", "1.0.0");
        let twice = new().read("a/{x}", "", nothing).write("a/{y}", "", nothing);
        assert_eq!(why_not(&twice), "the path \"a/{x}\" is declared twice");
        let hidden = new().read("a/{x}", "", nothing).read("a/special", "", nothing);
        assert_eq!(why_not(&hidden), "the path \"a/special\" is hidden by \"a/{x}\" before it");
        let fine = new().read("a/special", "", nothing).read("a/{x}", "", nothing);
        assert_eq!(why_not(&fine), "");
        let both = new().read("a", "", nothing).write("a", "", nothing);
        assert_eq!(why_not(&both), "");
    }

    #[test]
    fn attributes_are_of_the_path_declared_last_also_when_it_joins_another() {
        let engine = Blueprint::new("test", "1.0.0").read("a", "", nothing).read("b", "", nothing);
        let special = engine.write("a", "", nothing).root().unauthenticated().description().special;
        assert_eq!((special.root, special.unauthenticated), (vec!["a".into()], vec!["a".into()]));
    }
}
