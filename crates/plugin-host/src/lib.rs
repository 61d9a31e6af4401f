//! Plug-in processes. A binary is verified, launched, connected to and watched; what comes out is
//! an [`Engine`](strongroom_sdk::engine::Engine) like any other.
//!
//! Not here: which plug-ins are registered and which version a mount runs, both the core's; and
//! the wire itself, which is the plug-in protocol's and the SDK's.
//!
//! In reading order:
//!
//! - [`host`]: [`PluginHost`], the one thing others use
//! - [`spec`]: [`Spec`], what is to be run
//! - [`binary`]: the file that was hashed is the file that runs
//! - [`environment`]: what a plug-in is told, and what it must not be told
//! - [`spawn`]: children that die with the server; the only unsafe code of the project
//! - [`process`]: from a file to a connection
//! - `keeper`: the watch over a process, to its end
//! - [`output`]: what a plug-in prints, as lines of our log
//! - [`pool`]: which instances share a process
//! - `place`: a seat in a process, and the instance that may be there
//! - [`engine`]: [`PluginEngine`](engine::PluginEngine), an instance that outlives its process
#![deny(missing_docs)]

pub mod binary;
pub mod engine;
pub mod environment;
mod error;
pub mod host;
mod keeper;
mod meter;
pub mod output;
mod place;
pub mod pool;
pub mod process;
pub mod spawn;
pub mod spec;
#[cfg(test)]
mod tests;

pub use error::{Answer, Error, StartFailure};
pub use host::{Options, PluginHost};
pub use spec::Spec;
