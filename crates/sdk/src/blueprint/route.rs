//! [`Route`]: one declared path, what handles its requests, and how OpenAPI describes it.

use std::sync::Arc;

use strongroom_engine::intent::{INTENT_FOLDER, UNDO_FOLDER, WAL_FOLDER};
use strongroom_schema::display::PathDisplay;
use strongroom_schema::field::{FieldSpec, InvalidInput};
use strongroom_schema::openapi::{PathDoc, PathVerbs};
use strongroom_schema::pattern::RoutePattern;

use crate::durable_action::ErasedDurableAction;
use crate::free_form::FreeForm;
use crate::leased_credential::ErasedCredential;
use crate::login_handler::ErasedLogin;
use crate::resource::RouteActions;
use crate::stored_document::ErasedDocument;

/// One declared path and what handles it.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) pattern: RoutePattern,
    pub(crate) help: &'static str,
    pub(crate) root: bool,
    pub(crate) unauthenticated: bool,
    /// Captures are converted to lower case, whatever their case in the request.
    pub(crate) folds_case: bool,
    /// How user interfaces and code generators present the path.
    pub(crate) display: PathDisplay,
    pub(crate) target: RouteTarget,
}

/// What handles the requests to a path.
#[derive(Clone)]
pub(crate) enum RouteTarget {
    Document(Arc<dyn ErasedDocument>),
    FreeForm(Arc<FreeForm>),
    Credential(Arc<dyn ErasedCredential>),
    Login(Arc<dyn ErasedLogin>),
    DurableAction(Arc<dyn ErasedDurableAction>),
    Actions(Box<RouteActions>),
}

impl Route {
    /// The fields that a client may send to this path.
    pub(crate) fn fields(&self) -> Vec<&'static FieldSpec> {
        match &self.target {
            RouteTarget::Document(document) => {
                document.fields().into_iter().filter(|spec| !spec.internal).collect()
            }
            RouteTarget::FreeForm(_) => Vec::new(),
            RouteTarget::Credential(credential) => credential.fields(),
            RouteTarget::Login(login) => login.fields().iter().collect(),
            RouteTarget::DurableAction(action) => action.fields().iter().collect(),
            RouteTarget::Actions(actions) => actions.all_fields(),
        }
    }

    /// The path, and for a collection the folder that lists it, as OpenAPI describes them.
    pub(crate) fn path_docs(&self) -> Vec<PathDoc<'static>> {
        let all = PathVerbs { read: true, write: true, delete: true, ..PathVerbs::default() };
        let (verbs, creates) = match &self.target {
            RouteTarget::Document(_) => {
                (PathVerbs { list: self.pattern.ends_in_rest(), ..all }, true)
            }
            RouteTarget::FreeForm(_) => (PathVerbs { list: true, ..all }, true),
            RouteTarget::Credential(credential) => {
                let by = credential.issued_by();
                let (read, write) = (by.includes_read(), by.includes_write());
                (PathVerbs { read, write, ..PathVerbs::default() }, false)
            }
            RouteTarget::Login(_) | RouteTarget::DurableAction(_) => {
                (PathVerbs { write: true, ..PathVerbs::default() }, false)
            }
            RouteTarget::Actions(actions) => {
                let verbs = PathVerbs {
                    read: actions.read.is_some(),
                    list: actions.list.is_some() || actions.list_here.is_some(),
                    write: actions.write.is_some(),
                    patch: actions.patch.is_some(),
                    delete: actions.delete.is_some(),
                };
                (verbs, actions.exists.is_some())
            }
        };
        let folder =
            self.pattern.list_folder().filter(|_| matches!(self.target, RouteTarget::Document(_)));
        let (of_list, of_items) = self.display.of_list_and_items();
        let path = PathDoc {
            pattern: self.pattern.as_str(),
            help: self.help,
            fields: self.fields(),
            verbs,
            free_form: self.accepts_any_field(),
            raw_body: self.takes_raw_body(),
            creates,
            root: self.root,
            unauthenticated: self.unauthenticated,
            display: if folder.is_some() { of_items } else { self.display },
        };
        let list = folder.map(|folder| PathDoc {
            pattern: folder.trim_end_matches('/'),
            help: "Lists what there is.",
            fields: Vec::new(),
            verbs: PathVerbs { list: true, ..PathVerbs::default() },
            creates: false,
            raw_body: false,
            display: of_list,
            ..path.clone()
        });
        list.into_iter().chain([path]).collect()
    }

    pub(super) fn check_defaults(&self) -> Result<(), InvalidInput> {
        match &self.target {
            RouteTarget::Document(document) => document.check_defaults(),
            RouteTarget::Actions(actions) => actions.check_defaults(),
            RouteTarget::Login(login) => login.check_defaults(),
            RouteTarget::DurableAction(action) => action.check_defaults(),
            RouteTarget::Credential(credential) => credential.check_defaults(),
            RouteTarget::FreeForm(_) => Ok(()),
        }
    }

    pub(super) fn is_of_kind(&self, kind: &str) -> bool {
        matches!(&self.target, RouteTarget::Credential(credential) if credential.kind() == kind)
    }

    /// Whether documents of this path could be stored in the folders where the SDK keeps intents.
    pub(super) fn reaches_reserved_folders(&self) -> bool {
        let stores = matches!(self.target, RouteTarget::Document(_) | RouteTarget::FreeForm(_));
        let own = [INTENT_FOLDER, UNDO_FOLDER, WAL_FOLDER];
        stores && own.iter().any(|folder| self.pattern.reaches_into(folder.trim_end_matches('/')))
    }

    /// Whether writes get the request's body unparsed.
    pub(crate) fn takes_raw_body(&self) -> bool {
        matches!(&self.target, RouteTarget::Actions(actions) if actions.takes_raw_body)
    }

    /// Whether the path accepts fields of any name.
    pub(crate) fn accepts_any_field(&self) -> bool {
        matches!(self.target, RouteTarget::FreeForm(_))
    }
}
