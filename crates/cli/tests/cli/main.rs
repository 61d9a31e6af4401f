//! The binary as users start it: commands against a server, and the server as a process.

mod cases;
mod process;
mod server;
