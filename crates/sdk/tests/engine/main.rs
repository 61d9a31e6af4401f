//! Tests of engines as their hosts see them.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may be blunt, and so may what it is made of"
)]

mod account_library;
mod call_timeouts;
mod caller;
mod contention;
mod contract;
mod declarations;
mod display_attributes;
mod document_lists;
mod document_names;
mod document_parts;
mod durable_actions;
mod fake_system;
mod field_attributes;
mod field_kinds;
mod harness;
mod harness_tools;
mod headers_and_warnings;
mod issuing;
mod key_migration;
mod lifecycle;
mod raw_bodies;
mod redirects;
mod replaced_documents;
mod static_credentials;
mod undeclared_documents;
mod wrapping;
mod write_responses;
