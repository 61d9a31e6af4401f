//! Plug-in processes. A binary is verified, launched, connected to and watched; what comes out is
//! an [`Engine`](strongroom_sdk::engine::Engine) like any other.
//!
//! Not here: which plug-ins are registered and which version a mount runs, both the core's; and
//! the wire itself, which is the plug-in protocol's and the SDK's.
//!
//! In reading order:
//!
//! - [`host`]: [`PluginHost`], the one thing others use
//! - [`spec`]: [`LaunchSpec`], what is to be run
//! - [`binary`]: the file that was hashed is the file that runs
//! - [`kept_copies`]: copies that must not be removed now
//! - [`elf`]: whether a file is a program for this machine
//! - [`launch_file`]: what a process executes, out of everybody's reach
//! - [`environment`]: what a plug-in is told, and what it must not be told
//! - [`variable_rules`]: which variables a registration may not set
//! - [`trust`]: the operator's list of what may run
//! - [`spawn`]: children that run one open file and die with the server; the only
//!   unsafe code of the project
//! - [`process`]: from a file to a connection
//! - `keeper`: the watch over a process, to its end
//! - [`output`]: what a plug-in prints, as lines of our log
//! - [`process_pool`]: which instances share a process
//! - `place`: a seat in a process, and the instance that may be there
//! - [`engine`]: [`PluginEngine`](engine::PluginEngine), an instance that outlives its process
#![deny(missing_docs)]

// The fuzz targets' checks, which the tests share, see the crate from outside.
#[cfg(test)]
extern crate self as strongroom_plugin_host;

pub mod binary;
pub mod elf;
pub mod engine;
pub mod environment;
mod error;
#[cfg(test)]
mod fuzzed;
pub mod host;
mod instance_slot;
#[cfg(test)]
mod isolation_tests;
pub mod kept_copies;
pub mod launch_file;
pub mod output;
pub mod process;
mod process_metrics;
mod process_monitor;
pub mod process_pool;
pub mod spawn;
pub mod spec;
mod system_errors;
#[cfg(test)]
mod tests;
pub mod trust;
pub mod variable_rules;

pub use error::{Error, PluginMessage, StartFailure};
pub use host::{Options, PluginHost};
pub use spec::LaunchSpec;
