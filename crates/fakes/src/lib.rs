//! Fake external systems for tests of engines. They listen on this machine, keep state, use the
//! clock they are given, refuse what the real systems refuse with the same error texts, and fail on
//! demand. Unlike a mock, which records calls, a fake has the behaviour of the real system.
//!
//! - [`kubernetes`]: the API server of a Kubernetes cluster, as far as logins need it
//! - [`nomad`]: the ACL system of HashiCorp Nomad
//! - [`directory`]: an LDAP directory, which can misbehave
//! - [`tls`]: a certificate authority, and certificates of servers and clients
//! - [`rsa`]: keys whose signatures a fake verifies
//! - [`hostile`]: a server that sends malformed or dishonest responses
//! - [`serve`]: the HTTP listener that the fakes share, also for fakes in the tests of an engine
//!
//! `cargo run -p strongroom-fakes --example nomad` starts a fake to try an engine with.
pub mod directory;
pub mod hostile;
pub mod kubernetes;
pub mod nomad;
pub mod rsa;
pub mod serve;
pub mod tls;
