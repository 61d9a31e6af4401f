//! Why a plug-in can't be run.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::io::Errno;
use strongroom_plugin_protocol::handshake::HandshakeError;
use strongroom_plugin_protocol::tls::IdentityError;
use strongroom_plugin_protocol::transport::channel::ConnectError;
use strongroom_sdk::wire::SetUpError;

/// Why a plug-in can't be run.
///
/// The text may reach every client of a mount. So it has no path of this machine and nothing that
/// a plug-in printed; those are in the log, with [`details`](Self::details).
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The folder of plug-ins, or of their copies, is not fit for use.
    #[error("the {role} can't be used: {reason}; the server's log names it")]
    Folder {
        /// What it is for.
        role: &'static str,
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
    #[error("the plug-in {plugin} did not start: {reason}; the server's log says more")]
    Start {
        /// Name and version.
        plugin: String,
        /// What happened.
        reason: Arc<StartFailure>,
    },
    /// It runs, and the instance could not be set up.
    #[error("{}", of_set_up(.0))]
    SetUp(Arc<SetUpError>),
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

impl Error {
    /// Whether another registration, or another file, would help. What remains is the server's
    /// own trouble, or that of its machine.
    pub fn is_of_the_plugin(&self) -> bool {
        match self {
            Self::Command { .. } | Self::Checksum { .. } | Self::Environment(_) => true,
            Self::SetUp(error) => {
                !matches!(**error, SetUpError::Offer(_) | SetUpError::Instance(_))
            }
            Self::Failed { .. } => true,
            Self::Start { reason, .. } => reason.is_of_the_plugin(),
            Self::Folder { .. } | Self::Closed => false,
        }
    }

    /// The text for the log: with paths, and what the system or the other end said.
    pub fn details(&self) -> String {
        match self {
            Self::Folder { role, folder, reason } => {
                format!("the {role} {}: {reason}", folder.display())
            }
            Self::Start { reason, .. } => {
                let cause = reason.source().map(|cause| format!(": {cause}"));
                format!("{reason}{}", cause.unwrap_or_default())
            }
            Self::SetUp(error) => error.to_string(),
            other => other.to_string(),
        }
    }
}

/// Without what the wire or the system says. A refusal is what the plug-in's author wants the
/// caller to read.
fn of_set_up(error: &SetUpError) -> String {
    match error {
        SetUpError::Call { call, .. } => {
            format!("the plug-in failed while it was set up: {call}; the server's log says more")
        }
        SetUpError::Offer(_) => "the plug-in can't be offered its services".to_owned(),
        other => other.to_string(),
    }
}

impl From<SetUpError> for Error {
    fn from(error: SetUpError) -> Self {
        Self::SetUp(Arc::new(error))
    }
}

/// Steps of a start that can fail. The text is ours alone; what others said is the source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartFailure {
    /// The system could not start it.
    #[error("the system can't run it: {0}")]
    Spawn(io::Error),
    /// Its socket folder, or its pipes.
    #[error("its socket folder or pipes can't be made")]
    Prepare(#[source] io::Error),
    /// No certificate for our side.
    #[error("no certificate can be made for it")]
    Identity(#[from] IdentityError),
    /// TLS can't be set up.
    #[error("mutual TLS can't be set up")]
    Tls(#[from] rustls::Error),
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
    #[error("{}", of_handshake(.0))]
    Handshake(#[from] HandshakeError),
    /// There is no talking to it.
    #[error("there is no connecting to it")]
    Connect(#[from] ConnectError),
    /// It doesn't say that it is well.
    #[error("it is not healthy")]
    Health(#[source] Answer),
    /// All of it together took too long.
    #[error("it was not ready within {0} s")]
    Slow(u64),
}

impl StartFailure {
    fn is_of_the_plugin(&self) -> bool {
        match self {
            // Not built for this system, or no program; everything else is want of something.
            Self::Spawn(error) => matches!(
                error.raw_os_error(),
                Some(errno) if [Errno::NOEXEC, Errno::ACCESS, Errno::NOENT].contains(&Errno::from_raw_os_error(errno))
            ),
            Self::Prepare(_) | Self::Identity(_) | Self::Slow(_) => false,
            Self::Tls(_) | Self::Ended(_) | Self::Silent(_) => true,
            Self::Handshake(_) | Self::Connect(_) | Self::Health(_) => true,
        }
    }
}

/// Without words of the plug-in.
fn of_handshake(error: &HandshakeError) -> String {
    match error {
        HandshakeError::CoreVersion(_) => {
            "it speaks another core protocol version than 1".to_owned()
        }
        other => other.to_string(),
    }
}

/// What a plug-in said, in its own words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Answer(pub(crate) String);

#[cfg(test)]
mod tests {
    use super::*;

    fn start(reason: StartFailure) -> Error {
        Error::Start { plugin: "custom".to_owned(), reason: Arc::new(reason) }
    }

    #[test]
    fn clients_are_told_our_reasons_alone() {
        let error = start(StartFailure::Health(Answer("hunter2".to_owned())));
        let shown = error.to_string();
        assert!(
            shown.starts_with("the plug-in custom did not start: it is not healthy"),
            "{shown}"
        );
        assert!(!shown.contains("hunter2"));
        assert_eq!(error.details(), "it is not healthy: hunter2");
        let folder = Error::Folder {
            role: "plug-in folder",
            folder: "/srv/somewhere".into(),
            reason: "its group may write to it".to_owned(),
        };
        assert!(!folder.to_string().contains("/srv"), "{folder}");
        assert!(folder.details().contains("/srv/somewhere"));
    }

    #[test]
    fn a_machine_in_trouble_is_not_the_plugins_fault() {
        let spawn = |errno: Errno| start(StartFailure::Spawn(errno.into()));
        assert!(spawn(Errno::NOEXEC).is_of_the_plugin());
        assert!(!spawn(Errno::AGAIN).is_of_the_plugin());
        assert!(!spawn(Errno::NOMEM).is_of_the_plugin());
        assert!(start(StartFailure::Ended("status 1".to_owned())).is_of_the_plugin());
        assert!(!Error::Closed.is_of_the_plugin());
    }
}
