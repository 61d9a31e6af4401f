//! Why a plug-in can't be run.

use std::io;
use std::path::PathBuf;

use strongroom_plugin_protocol::broker::OfferError;
use strongroom_plugin_protocol::handshake::HandshakeError;
use strongroom_plugin_protocol::tls::IdentityError;
use strongroom_plugin_protocol::transport::channel::ConnectError;
use strongroom_sdk::wire::SetUpError;

/// Why a plug-in can't be run. The text is for the operator.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The folder of plug-ins, or of their copies, is not fit for use.
    #[error("the folder {} can't be used for plug-ins: {reason}", folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The command of a registration names no file that may be run.
    #[error("the plug-in command {command:?} can't be used: {reason}")]
    Command {
        /// As registered.
        command: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file is not the one that was registered.
    #[error("the plug-in {command:?} can't be started: checksums did not match")]
    Checksum {
        /// As registered.
        command: String,
    },
    /// The environment of a registration holds what it must not.
    #[error("the plug-in's environment can't be used: {0}")]
    Environment(String),
    /// It was started, and did not become a plug-in.
    #[error("the plug-in {plugin} did not start: {reason}{last_words}")]
    Start {
        /// Name and version.
        plugin: String,
        /// What happened.
        reason: StartFailure,
        /// How its standard error ended, to be read by people.
        last_words: String,
    },
    /// It runs, and the instance could not be set up.
    #[error(transparent)]
    SetUp(#[from] SetUpError),
    /// The plug-in is there, and failed to initialise or to say what it is.
    #[error("the plug-in {plugin} failed: {reason}")]
    Failed {
        /// Name and version.
        plugin: String,
        /// What it said.
        reason: String,
    },
    /// The host is being closed.
    #[error("the server is stopping")]
    Closed,
}

/// Steps of a start that can fail.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartFailure {
    /// The system could not start it.
    #[error("the system can't run it: {0}")]
    Spawn(io::Error),
    /// Its socket folder, or its pipes.
    #[error("its socket folder or pipes can't be made: {0}")]
    Prepare(io::Error),
    /// No certificate for our side.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// TLS can't be set up.
    #[error("mutual TLS can't be set up: {0}")]
    Tls(String),
    /// It ended before it was ready.
    #[error(
        "it ended ({0}) before it was ready. A plug-in must be built for this system, be \
         executable and serve the Vault plug-in protocol"
    )]
    Ended(String),
    /// It said nothing for too long.
    #[error("it wrote no handshake within {0} s")]
    Silent(u64),
    /// What it said is no handshake we accept.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// There is no talking to it.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// It doesn't listen for announcements.
    #[error(transparent)]
    Offer(#[from] OfferError),
    /// It doesn't say that it is well.
    #[error("it is not healthy: {0}")]
    Health(String),
}
