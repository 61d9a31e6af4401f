//! Four engines that exist in Go, written with the SDK. Each was chosen because it needs something
//! that most engines don't; the README of this crate lists what, and which part of the SDK it uses
//! for it. They are examples: each has the paths that make the engine difficult, and none has all
//! paths of the original.
//!
//! - [`github_app`]: tokens of a GitHub App's installation, which can't be found by a name
//! - [`artifactory`]: tokens of users, and an administrator's token that the engine rotates
//! - [`directory`]: accounts whose passwords are rotated, and accounts that are checked out
//! - [`kubernetes_login`]: logins with the token of a service account, which the cluster verifies

pub mod artifactory;
pub mod directory;
pub mod github_app;
pub mod kubernetes_login;
