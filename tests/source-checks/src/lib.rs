//! Checks of the sources themselves, as opposed to what they do.
//!
//! - [`sources`]: finds and parses the Rust files of the workspace
//! - [`names`]: how many names are a single word, and how many types share their name
//! - [`cycles`]: modules of a crate that import each other in a cycle
//! - [`endpoint_tests`]: endpoints below `sys/` that no test requests
//! - [`docs`]: how long the documentation of public items is
//! - [`glossary`]: the book's table from Vault's terms to our types
//! - [`paths`]: file paths that documents name
//!
//! `cargo run -p strongroom-source-checks` prints the figures; the tests hold them.

pub mod cycles;
pub mod docs;
pub mod endpoint_tests;
pub mod glossary;
pub mod names;
pub mod paths;
pub mod sources;
