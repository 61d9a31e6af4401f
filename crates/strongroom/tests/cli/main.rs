//! The binary as users start it: commands against a server, and the server as a process.

#[cfg(test)]
mod cases;
#[cfg(test)]
mod files;
#[cfg(test)]
mod listeners;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod migration;
#[cfg(test)]
mod process;
#[cfg(test)]
mod recorded;
#[cfg(test)]
mod server;
