//! Runs each port, linked in and over the plug-in protocol, against a fake of its outside system.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may be blunt, and so may what it is made of"
)]

mod artifactory;
mod directory;
mod fake_system;
mod github_app;
mod kubernetes_login;
