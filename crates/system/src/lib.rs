//! The built-in backends: the parts of the API that the server serves itself. They implement
//! `strongroom_core::Backend` as the adapter for engines does, and are given to
//! `strongroom_core::Core::new` by the server.
//!
//! In reading order:
//!
//! - [`BUILT_INS`]: what this crate provides
//! - `endpoint`: `ApiEndpoint`, a path with its handlers and fields; `endpoint_dispatch`: calls the
//!   one that handles a request
//! - `document_endpoints`: the two endpoints of documents that have a name, such as policies
//! - `endpoint_docs`, `endpoint_readings`: the documentation of endpoints, and how policies compare
//!   their fields
//! - `sys`, `auth_token`: the endpoints below `sys/` and `auth/token/`, a file per group
//! - `cubbyhole`: the backend of `cubbyhole/`
//! - `status`: the paths that are also served while sealed
//! - `root_paths`: the paths that require `sudo`
//!
//! # Add a sys path
//!
//! 1. Write the handler beside its group in `sys/`, with its input as a derived `Input` and the
//!    services it uses as parameters.
//! 2. Add an `ApiEndpoint` to the group's `ENDPOINTS`: pattern, help, handlers, fields and access.
//!    If the path requires `sudo`, add it to `ROOT_PATHS` in `root_paths.rs`.
//! 3. Test it in `crates/system/src/tests/`, and record its responses in `tests/golden`.

mod auth_token;
mod built_ins;
mod cubbyhole;
mod document_endpoints;
mod endpoint;
mod endpoint_dispatch;
mod endpoint_docs;
mod endpoint_readings;
mod root_paths;
mod status;
mod sys;
#[cfg(test)]
mod tests;

pub use built_ins::BUILT_INS;
