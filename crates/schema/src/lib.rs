//! Declared paths of an API and the fields that they take, for the server's own endpoints and for
//! engines alike. Vault's name for the declaration of a field is `framework.FieldSchema`.
//!
//! Requests, handlers and storage are not here. Authors of engines don't depend on this crate:
//! `strongroom-sdk` re-exports what they declare fields with.
//!
//! - [`pattern`]: [`RoutePattern`](pattern::RoutePattern), a declared path such as `roles/{name}`
//! - [`field`]: [`Field`](field::Field), the kinds of fields, which parse every form in which
//!   clients send a value
//! - [`input`]: [`Input`], the fields that an endpoint takes, as a struct
//! - [`openapi`]: the OpenAPI description of declared paths
//!
//! ```
//! use strongroom_schema::{DurationSecs, Fields, Input};
//!
//! /// How long to wait.
//! #[derive(Input)]
//! struct Wait {
//!     /// Time until the next attempt.
//!     #[field(default = "1m")]
//!     interval: DurationSecs,
//! }
//!
//! let wait = Wait::from_fields(&Fields::new()).unwrap();
//! assert_eq!(wait.interval.0.as_secs(), 60);
//! assert_eq!(Wait::FIELDS[0].help, "Time until the next attempt.");
//! ```

pub mod display;
pub mod field;
pub mod input;
pub mod openapi;
pub mod pattern;

pub use field::{
    BaseUrl, CidrList, CommaList, DurationSecs, FieldChoice, HeaderList, Identifier, IntegerList,
    Json, KeyValues, LowerCase, NullableField, PolicyNames, SignedDurationSecs, Verbatim,
};
pub use input::Input;
pub use strongroom_sdk_derive::EndpointChoice as FieldChoice;
pub use strongroom_sdk_derive::EndpointInput as Input;
pub use strongroom_types::Fields;

/// The names that derived code uses.
#[doc(hidden)]
pub mod __private {
    pub use serde_json::value::RawValue;
    pub use strongroom_types::Fields;
    pub use strongroom_types::fields::write_string;

    pub use crate::Input;
    pub use crate::display::FieldDisplay;
    pub use crate::field::{
        Field, FieldChoice, FieldGroup, FieldKind, FieldSpec, InvalidInput, InvalidValue,
        LeaseSafe, LegacyName, ObjectWriter, check_default, check_listed, count_specs,
        is_plain_text, join_specs, legacy_spec, optional, rename_legacy_fields, required,
        sent_name, with_default,
    };
}
