//! [`StaticAccount`]: what every static role says; [`StaticRole`]: a role that says no more.

use std::borrow::Cow;

use super::RotationFields;
use crate::document_hooks::DocumentHooks;
use crate::{Document, check_user_name};

/// A static role: the account whose password is rotated, and when. [`StaticRole`] is one; an engine
/// that has more to say about an account implements the trait for a document of its own.
///
/// ```
/// use strongroom_sdk::Document;
/// use strongroom_sdk::static_credential::{RotationFields, StaticAccount};
///
/// /// An account of the directory whose password is rotated.
/// #[derive(Document)]
/// #[document(path = "static-role/{name}")]
/// struct DirectoryRole {
///     /// Distinguished name of the account.
///     #[field(required)]
///     dn: String,
///     #[field(embed)]
///     rotation: RotationFields,
/// }
///
/// impl StaticAccount for DirectoryRole {
///     fn account(&self) -> &str {
///         &self.dn
///     }
///
///     fn rotation(&self) -> &RotationFields {
///         &self.rotation
///     }
/// }
/// ```
pub trait StaticAccount: DocumentHooks {
    /// The name of the account in the outside system. It can't be changed while the role exists.
    fn account(&self) -> &str;

    /// What identifies the account: two roles with the same identity are refused, since each would
    /// change the password that the other one knows. The default is the name; an outside system that
    /// ignores upper and lower case returns it in lower case.
    fn account_identity(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.account())
    }

    /// When the password of the account is rotated.
    fn rotation(&self) -> &RotationFields;
}

/// An account of the outside system whose password is rotated. Its name must be one that
/// [`check_user_name`] accepts.
#[derive(Debug, Document)]
#[document(path = "static-roles/{name}")]
pub struct StaticRole {
    /// Name of the account, which must exist.
    #[field(required, check = check_user_name)]
    pub username: String,
    /// When the password is rotated.
    #[field(embed)]
    pub rotation: RotationFields,
}

impl StaticAccount for StaticRole {
    fn account(&self) -> &str {
        &self.username
    }

    fn rotation(&self) -> &RotationFields {
        &self.rotation
    }
}
