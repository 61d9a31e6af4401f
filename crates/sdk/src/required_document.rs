//! [`RequiredDocument`]: the documents that a credential needs, such as its configuration and its
//! role.

use std::any::TypeId;
use std::sync::Arc;

use async_trait::async_trait;

use crate::document::Document;
use crate::{Context, Error};

/// A document that a credential requires, or `()` for none. Implemented for every [`Document`] and
/// for [`EitherDocument`]; there is nothing to implement in an engine.
#[async_trait]
pub trait RequiredDocument: Send + Sync + 'static {
    /// Loads the document that the first captures of a path name, or returns a user error that names
    /// the document to write first.
    #[doc(hidden)]
    async fn load_required(context: &Context, captures: &[&str]) -> Result<Arc<Self>, Error>;

    /// The documents that may be loaded; empty for `()`.
    #[doc(hidden)]
    fn document_specs() -> Vec<RequiredDocumentSpec>;
}

/// The path and the type of a document that a credential requires.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct RequiredDocumentSpec {
    pub(crate) path: &'static str,
    pub(crate) type_id: TypeId,
}

impl RequiredDocumentSpec {
    /// How many captures name the document.
    pub(crate) fn capture_count(&self) -> usize {
        capture_count(self.path)
    }
}

fn capture_count(path: &str) -> usize {
    path.matches('{').count()
}

#[async_trait]
impl RequiredDocument for () {
    async fn load_required(_: &Context, _: &[&str]) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(()))
    }

    fn document_specs() -> Vec<RequiredDocumentSpec> {
        Vec::new()
    }
}

#[async_trait]
impl<D: Document> RequiredDocument for D {
    async fn load_required(context: &Context, captures: &[&str]) -> Result<Arc<Self>, Error> {
        match naming_captures::<D>(captures) {
            [] => context.config().await,
            names => match context.documents().get::<D>(names).await? {
                Some(document) => Ok(document),
                None => Err(Context::missing_document::<D>(&names.join("/"))),
            },
        }
    }

    fn document_specs() -> Vec<RequiredDocumentSpec> {
        vec![RequiredDocumentSpec { path: D::PATH, type_id: TypeId::of::<D>() }]
    }
}

/// The captures that name a document of this type: as many as its path has.
fn naming_captures<'c, 'n, D: Document>(captures: &'c [&'n str]) -> &'c [&'n str] {
    captures.get(..capture_count(D::PATH)).unwrap_or(captures)
}

/// A role that is read from one of two documents: from `A` if it exists, otherwise from `B`. For
/// example the settings of one user, and those for users who have none of their own:
///
/// ```
/// use strongroom_sdk::{CommaList, Document, EitherDocument};
///
/// /// The scope of a user's tokens.
/// #[derive(Document)]
/// #[document(path = "users/{name}")]
/// struct UserScope {
///     /// Names of groups.
///     groups: CommaList,
/// }
///
/// /// The scope of the tokens of users without a scope of their own.
/// #[derive(Document)]
/// #[document(path = "config/users")]
/// struct UsualScope {
///     /// Names of groups.
///     groups: CommaList,
/// }
///
/// /// The `Role` of a credential at `tokens/{name}`.
/// type TokenScope = EitherDocument<UserScope, UsualScope>;
///
/// fn groups(scope: &TokenScope) -> &CommaList {
///     match scope {
///         EitherDocument::First(user) => &user.groups,
///         EitherDocument::Second(usual) => &usual.groups,
///     }
/// }
/// # let _ = groups;
/// ```
pub enum EitherDocument<A, B> {
    /// The document of the first type exists.
    First(Arc<A>),
    /// It doesn't, and this is the document of the second type.
    Second(Arc<B>),
}

impl<A, B> std::fmt::Debug for EitherDocument<A, B> {
    /// Names the variant; the documents may contain secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::First(_) => "First",
            Self::Second(_) => "Second",
        })
    }
}

#[async_trait]
impl<A: Document, B: Document> RequiredDocument for EitherDocument<A, B> {
    async fn load_required(context: &Context, captures: &[&str]) -> Result<Arc<Self>, Error> {
        let first = context.documents().get::<A>(naming_captures::<A>(captures)).await?;
        let chosen = match first {
            Some(first) => Self::First(first),
            None => Self::Second(B::load_required(context, captures).await?),
        };
        Ok(Arc::new(chosen))
    }

    fn document_specs() -> Vec<RequiredDocumentSpec> {
        let mut specs = <A as RequiredDocument>::document_specs();
        specs.extend(<B as RequiredDocument>::document_specs());
        specs
    }
}
