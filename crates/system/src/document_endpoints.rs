//! [`DocumentEndpoints`]: the endpoints of documents that are read, written and deleted by name, such
//! as policies and token roles.

use strongroom_schema::field::FieldSpec;

use crate::endpoint::{ApiEndpoint, EndpointAccess, EndpointHandler, VerbHandlers};

/// The two endpoints of one kind of documents: the names of all, and a document by its name.
pub(crate) struct DocumentEndpoints {
    /// The path of the list of names.
    pub(crate) list_pattern: &'static str,
    pub(crate) list_help: &'static str,
    pub(crate) list: Option<EndpointHandler>,
    /// Whether reading the path of the list returns the list as well, as older paths do.
    pub(crate) read_returns_list: bool,
    /// The path of a document, whose only capture is the name.
    pub(crate) pattern: &'static str,
    pub(crate) help: &'static str,
    /// The fields of a document.
    pub(crate) fields: &'static [&'static [FieldSpec]],
    pub(crate) read: Option<EndpointHandler>,
    pub(crate) write: Option<EndpointHandler>,
    pub(crate) delete: Option<EndpointHandler>,
}

impl DocumentEndpoints {
    /// The endpoints, the list first. Policies decide about both.
    pub(crate) const fn endpoints(&self) -> [ApiEndpoint; 2] {
        let names = VerbHandlers {
            read: if self.read_returns_list { self.list } else { None },
            list: self.list,
            ..VerbHandlers::NONE
        };
        let document = VerbHandlers {
            read: self.read,
            write: self.write,
            delete: self.delete,
            ..VerbHandlers::NONE
        };
        let access = EndpointAccess::Policy;
        [
            ApiEndpoint {
                pattern: self.list_pattern,
                help: self.list_help,
                fields: &[],
                handlers: names,
                access,
            },
            ApiEndpoint {
                pattern: self.pattern,
                help: self.help,
                fields: self.fields,
                handlers: document,
                access,
            },
        ]
    }
}
