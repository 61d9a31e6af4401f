//! [`Input`]: the fields that an endpoint takes, as a struct.

use strongroom_types::Fields;

use crate::field::{FieldSpec, InvalidInput};

/// The parameters of an endpoint or an action. Derive it; captures of the path are fields like
/// those of the body.
pub trait Input: Sized + Send + 'static {
    /// The declared fields, for help, OpenAPI and the checking of policies.
    const FIELDS: &'static [FieldSpec];

    /// Parses the fields that the client sent.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] if a field has the wrong form, or a required one is missing.
    fn from_fields(fields: &Fields) -> Result<Self, InvalidInput>;

    /// Parses each field's default, so that one which its own field can't parse is found before a
    /// request needs it.
    #[doc(hidden)]
    fn check_defaults() -> Result<(), InvalidInput> {
        Ok(())
    }
}

/// For actions without parameters: the fields of the request are ignored.
impl Input for () {
    const FIELDS: &'static [FieldSpec] = &[];

    fn from_fields(_: &Fields) -> Result<Self, InvalidInput> {
        Ok(())
    }
}
