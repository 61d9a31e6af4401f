//! Runs plug-in processes: verifies the binary, launches it, connects to it and monitors it. The
//! result is an [`Engine`](strongroom_engine::Engine) like any other.
//!
//! Not part of this crate: the catalog and the version that a mount runs, which are the core's, and
//! the wire protocol, which belongs to the plug-in protocol crate and the SDK.
//!
//! In reading order:
//!
//! - [`host`]: [`PluginHost`], the entry point for other crates
//! - [`spec`]: [`LaunchSpec`], the registered plug-in to run
//! - [`binary`]: makes sure that the file that was hashed is the file that runs
//! - [`kept_copies`]: private copies that must not be removed now
//! - [`elf`]: checks whether a file is a program for this machine
//! - [`launch_file`]: the file that a process executes, inaccessible to other processes
//! - [`environment`]: the environment variables of a plug-in process
//! - [`variable_rules`]: the variables that a registration may not set
//! - [`trust`]: the operator's list of plug-ins that may run
//! - [`spawn`]: child processes that execute an open file and end with the server; the only unsafe
//!   code of the project
//! - [`process`]: from a verified file to a connected process
//! - `process_monitor`: monitors a process until it ends; `process_metrics`: counts and measures
//!   them
//! - [`output`]: turns a plug-in's output into lines of the server's log
//! - [`process_pool`]: lets instances share a process
//! - `instance_slot`: an instance's reference to a process, and its cleanup there
//! - [`engine`]: [`PluginEngine`](engine::PluginEngine), an instance that survives restarts of its
//!   process
//! - `system_errors`: readable texts for errors of the operating system
// The fuzz targets' checks, which the tests share, name this crate from outside.
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
