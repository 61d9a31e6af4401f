//! [`Error`]: why a plug-in can't be registered, started or used.

use std::error::Error as _;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::io::Errno;
use strongroom_engine_wire::InstanceSetupError;
use strongroom_plugin_protocol::handshake::HandshakeError;
use strongroom_plugin_protocol::tls::IdentityError;
use strongroom_plugin_protocol::transport::channel::ConnectError;

use crate::system_errors::system_error_text;

/// Why a plug-in can't be run.
///
/// The text may reach every client of a mount. So it contains no path of this machine and no output
/// of the plug-in; those are in the log, by [`details`](Self::details), and in the response to the
/// operator who registers the plug-in, by [`explanation`](Self::explanation).
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The plug-in folder, or the folder of copies, has a wrong owner or permissions, or can't be
    /// read.
    #[error("the {role} can't be used: {reason}; the server's log names it")]
    Folder {
        /// Which folder it is, as "plug-in folder".
        role: &'static str,
        /// The path of the folder. Not shown to clients.
        folder: PathBuf,
        /// What is wrong with it, without its path.
        reason: String,
    },
    /// The registered command does not name a file that may be run.
    #[error("the plug-in command {command:?} can't be used: {reason}")]
    Command {
        /// The command as it was registered.
        command: String,
        /// Why the file can't be used, without its path.
        reason: String,
    },
    /// The file's SHA-256 differs from the registered one.
    #[error("the plug-in {command:?} can't be started: checksums did not match")]
    Checksum {
        /// The command as it was registered.
        command: String,
    },
    /// The registration sets an environment variable that it must not set.
    #[error("the plug-in's environment can't be used: {0}")]
    Environment(String),
    /// The registration has too many arguments, or one that contains a NUL character.
    #[error("the plug-in's arguments can't be used: {0}")]
    Arguments(String),
    /// The trust file does not allow the plug-in to run.
    #[error(
        "the plug-in {plugin} may not be run: the plugin_trust file doesn't allow it: {reason}"
    )]
    Untrusted {
        /// The plug-in's name and version.
        plugin: String,
        /// What the trust file does not allow.
        reason: String,
    },
    /// The trust file can't be read or parsed, so no plug-in is run.
    #[error("the plugin_trust file can't be used; see the server's log")]
    TrustFile {
        /// The path of the trust file. Not shown to clients.
        file: PathBuf,
        /// What is wrong with it, with its path and the line.
        reason: String,
    },
    /// The process was started but did not complete the handshake and the first calls.
    #[error("the plug-in {plugin} did not start: {reason}{}", evidence.where_it_is())]
    Start {
        /// The plug-in's name and version.
        plugin: String,
        /// The step that failed, and its cause.
        reason: Arc<StartFailure>,
        /// What the process wrote before it failed.
        evidence: StartOutput,
    },
    /// The process runs, but the instance could not be set up in it.
    #[error("{}", of_set_up(.0))]
    SetUp(Arc<InstanceSetupError>),
    /// The plug-in runs, but failed to initialize or has the wrong type.
    #[error("the plug-in {plugin} failed: {reason}")]
    Failed {
        /// The plug-in's name and version.
        plugin: String,
        /// What went wrong, which may be the plug-in's own message.
        reason: String,
    },
    /// The host is being closed, so nothing is started any more.
    #[error("the server is stopping")]
    Closed,
}

impl Error {
    /// Whether changing the registration or the plug-in's file could help. If not, the cause lies
    /// with the server or its machine.
    pub fn is_plugin_fault(&self) -> bool {
        match self {
            Self::Command { .. } | Self::Checksum { .. } => true,
            Self::Environment(_) | Self::Arguments(_) | Self::Untrusted { .. } => true,
            Self::SetUp(error) => {
                !matches!(**error, InstanceSetupError::Offer(_) | InstanceSetupError::Instance(_))
            }
            Self::Failed { .. } => true,
            Self::Start { reason, .. } => reason.is_plugin_fault(),
            Self::Folder { .. } | Self::TrustFile { .. } | Self::Closed => false,
        }
    }

    /// The text for the log, with paths and the messages of the system and of the plug-in.
    pub fn details(&self) -> String {
        match self {
            Self::Folder { role, folder, reason } => {
                format!("the {role} {}: {reason}", folder.display())
            }
            Self::TrustFile { reason, .. } => format!("the plugin_trust file {reason}"),
            Self::Start { reason, .. } => reason.details(),
            Self::SetUp(error) => error.to_string(),
            other => other.to_string(),
        }
    }
}

impl Error {
    /// The text for the operator who registers the plug-in, with all details: paths, the process's
    /// output, and advice on what to do next.
    pub fn explanation(&self) -> String {
        let Self::Start { plugin, reason, evidence } = self else { return self.details() };
        let mut text = format!("the plug-in {plugin} did not start: {}", reason.explanation());
        if !evidence.first_line.is_empty() {
            let _ = write!(text, "; the first line that it wrote: {:?}", evidence.first_line);
        }
        if !evidence.last_lines.is_empty() {
            let lines = evidence.last_lines.join(" / ");
            let _ = write!(text, "; its last lines on standard error: {lines}");
        }
        if let Some(advice) = reason.advice() {
            let _ = write!(text, "; {advice}");
        }
        text
    }
}

/// What a plug-in wrote before it failed to start, reduced to printable characters and limited in
/// size.
#[derive(Clone, Default)]
pub struct StartOutput {
    /// The line that should have been the handshake; empty if there was none.
    pub first_line: String,
    /// The last lines of its standard error.
    pub last_lines: Vec<String>,
}

impl StartOutput {
    fn where_it_is(&self) -> &'static str {
        let is_empty = self.first_line.is_empty() && self.last_lines.is_empty();
        if is_empty { "" } else { "; the server's log shows what it wrote" }
    }
}

impl std::fmt::Debug for StartOutput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StartOutput({} lines)", self.last_lines.len())
    }
}

/// The text for clients, without messages of the transport or the system. A refusal is passed on,
/// because the plug-in's author meant it for the caller.
fn of_set_up(error: &InstanceSetupError) -> String {
    match error {
        InstanceSetupError::Call { call, .. } => {
            format!("the plug-in failed while it was set up: {call}; see the server's log")
        }
        InstanceSetupError::Offer(_) => "the plug-in can't be offered its services".to_owned(),
        other => other.to_string(),
    }
}

impl From<InstanceSetupError> for Error {
    fn from(error: InstanceSetupError) -> Self {
        Self::SetUp(Arc::new(error))
    }
}

/// A step of starting a process that failed. The text is the server's own; messages of the plug-in
/// and the system are in the source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartFailure {
    /// The operating system could not execute it.
    #[error("{}", of_spawn(.0))]
    Spawn(io::Error),
    /// The folder for its sockets could not be created.
    #[error("the folder for its sockets can't be made")]
    Sockets {
        /// The folder in which it should have been created.
        parent: PathBuf,
        /// Why it could not be created.
        #[source]
        cause: io::Error,
    },
    /// The host's certificate could not be generated.
    #[error("no certificate can be made for it")]
    Identity(#[from] IdentityError),
    /// The TLS configuration could not be created.
    #[error("mutual TLS can't be set up")]
    Tls(#[from] rustls::Error),
    /// The process ended before the handshake; the text is its exit status.
    #[error("it ended ({0}) before it was ready")]
    Ended(String),
    /// It wrote no complete line within so many seconds.
    #[error("it wrote no handshake within {0} s")]
    Silent(u64),
    /// The line that it wrote is not a handshake that the host accepts.
    #[error("{}", of_handshake(.0))]
    Handshake(HandshakeError),
    /// The connection to its socket failed.
    #[error("there is no connecting to it")]
    Connect(#[from] ConnectError),
    /// Its health check failed.
    #[error("it is not healthy")]
    Health(#[source] PluginMessage),
    /// The whole start took longer than so many seconds.
    #[error("it was not ready within {0} s")]
    Slow(u64),
}

impl StartFailure {
    /// The text for the operator, with paths and the plug-in's own messages, but without those of
    /// libraries and the system.
    fn explanation(&self) -> String {
        match self {
            Self::Connect(error) => format!("{self}: {}", connect_error_text(error)),
            Self::Identity(_) | Self::Tls(_) => format!("{self}; see the server's log"),
            other => other.details(),
        }
    }

    /// The text for the log, with the messages of libraries and of the plug-in.
    fn details(&self) -> String {
        match self {
            Self::Sockets { parent, cause } => {
                format!("{self} in {}: {}", parent.display(), system_error_text(cause))
            }
            Self::Handshake(error) => error.to_string(),
            other => match other.source() {
                Some(cause) => format!("{other}: {cause}"),
                None => other.to_string(),
            },
        }
    }

    /// What to do next, where that isn't obvious.
    fn advice(&self) -> Option<&'static str> {
        Some(match self {
            Self::Sockets { .. } => {
                "set plugin_tmpdir, or TMPDIR of the server, to a folder that it may write to and \
                 whose path is short"
            }
            Self::Ended(_) => {
                "a plug-in must serve the Vault plug-in protocol; what it needs at the start has \
                 to come from its arguments and its environment"
            }
            Self::Silent(_) => {
                "a plug-in must write its handshake to standard output as soon as it serves; \
                 plugin_start_timeout sets how long that may take"
            }
            Self::Handshake(
                HandshakeError::NotAHandshake | HandshakeError::TooLong | HandshakeError::Version,
            ) => {
                "a plug-in must write nothing to standard output before its handshake: log to \
                 standard error"
            }
            Self::Handshake(HandshakeError::NetRpc | HandshakeError::Protocol) => {
                "build it with a version of the Vault SDK that serves gRPC"
            }
            Self::Handshake(HandshakeError::Incompatible { .. }) => {
                "build it with a version of the Vault SDK that serves version 5"
            }
            Self::Handshake(HandshakeError::NoCertificate) => {
                "build it with a go-plugin that supports AutoMTLS"
            }
            _ => return None,
        })
    }

    fn is_plugin_fault(&self) -> bool {
        match self {
            // These mean a file that is no program for this system; other errors are a lack of
            // resources.
            Self::Spawn(error) => matches!(
                error.raw_os_error(),
                Some(errno) if [Errno::NOEXEC, Errno::ACCESS, Errno::NOENT].contains(&Errno::from_raw_os_error(errno))
            ),
            Self::Sockets { .. } | Self::Identity(_) | Self::Slow(_) => false,
            Self::Tls(_) | Self::Ended(_) | Self::Silent(_) => true,
            Self::Handshake(_) | Self::Connect(_) | Self::Health(_) => true,
        }
    }
}

fn of_spawn(error: &io::Error) -> String {
    let known = match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOEXEC) => {
            "the kernel doesn't run files of its format, or its interpreter's (ENOEXEC)"
        }
        Some(Errno::NOENT) => "the interpreter or loader that it names is not there (ENOENT)",
        Some(Errno::ACCESS) => {
            "the kernel doesn't allow it to be executed (EACCES): its interpreter may not be \
             executable, or a security module forbids it"
        }
        Some(Errno::TXTBSY) => "another process has its file open for writing (ETXTBSY)",
        Some(Errno::AGAIN | Errno::NOMEM) => {
            return format!(
                "the machine has no room for another process: {}",
                system_error_text(error)
            );
        }
        _ => return format!("the system can't run it: {}", system_error_text(error)),
    };
    known.to_owned()
}

fn connect_error_text(error: &ConnectError) -> String {
    match error {
        ConnectError::Connect { address, cause } => {
            format!("{address}: {}", system_error_text(cause))
        }
        ConnectError::Tls(_) => "mutual TLS with it failed; see the server's log".to_owned(),
        ConnectError::Http(_) => "the endpoint does not support HTTP/2".to_owned(),
        other => other.to_string(),
    }
}

/// Without the plug-in's own text.
fn of_handshake(error: &HandshakeError) -> String {
    match error {
        HandshakeError::CoreVersion(_) => "it uses a core protocol version other than 1".to_owned(),
        other => other.to_string(),
    }
}

/// A message in the plug-in's own words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PluginMessage(pub(crate) String);

#[cfg(test)]
mod tests {
    use strongroom_plugin_protocol::address::PeerAddress;

    use super::*;

    fn start_error(reason: StartFailure) -> Error {
        let evidence = StartOutput::default();
        Error::Start { plugin: "custom".to_owned(), reason: Arc::new(reason), evidence }
    }

    #[test]
    fn clients_are_told_our_reasons_alone() {
        let error = start_error(StartFailure::Health(PluginMessage("hunter2".to_owned())));
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
    fn no_reason_is_said_twice_and_the_log_is_named_only_where_it_has_more() {
        let error = start_error(StartFailure::Handshake(HandshakeError::NotAHandshake));
        for text in [error.to_string(), error.details(), error.explanation()] {
            assert_eq!(text.matches("is not a handshake").count(), 1, "{text}");
            assert!(!text.contains("log shows"), "{text}");
        }
        let Error::Start { plugin, reason, .. } = error else { panic!("it is a start") };
        let evidence = StartOutput { first_line: "starting".to_owned(), last_lines: Vec::new() };
        let error = Error::Start { plugin, reason, evidence };
        assert!(error.to_string().ends_with("; the server's log shows what it wrote"));
        assert!(!error.to_string().contains("starting"));
        let told = error.explanation();
        assert!(told.contains("the first line that it wrote: \"starting\""), "{told}");
        assert!(told.contains("log to standard error"), "{told}");
    }

    #[test]
    fn a_folder_that_can_not_be_made_is_named_to_the_operator() {
        let cause = io::Error::from(Errno::ROFS);
        let error = start_error(StartFailure::Sockets { parent: "/tmp".into(), cause });
        assert!(!error.to_string().contains("/tmp"), "{error}");
        let told = error.explanation();
        assert!(
            told.contains("in /tmp: the file system is read-only (ReadOnlyFilesystem)"),
            "{told}"
        );
        assert!(told.contains("plugin_tmpdir"), "{told}");
    }

    #[test]
    fn whoever_registers_a_plugin_reads_no_words_of_libraries() {
        let library = "received corrupt message of type InvalidContentType";
        let failures: [StartFailure; 4] = [
            StartFailure::Tls(rustls::Error::General(library.to_owned())),
            ConnectError::Tls(io::Error::other(library)).into(),
            ConnectError::Http(h2::Reason::PROTOCOL_ERROR.into()).into(),
            ConnectError::Connect {
                address: PeerAddress::unix("/run/x/socket").unwrap(),
                cause: Errno::CONNREFUSED.into(),
            }
            .into(),
        ];
        for failure in failures {
            let error = start_error(failure);
            for told in [error.to_string(), error.explanation()] {
                for theirs in ["corrupt message", "unspecific protocol error", "os error"] {
                    assert!(!told.contains(theirs), "{told}");
                }
            }
        }
    }

    #[test]
    fn a_machine_in_trouble_is_not_the_plugins_fault() {
        let spawn = |errno: Errno| start_error(StartFailure::Spawn(errno.into()));
        assert!(spawn(Errno::NOEXEC).is_plugin_fault());
        assert!(!spawn(Errno::AGAIN).is_plugin_fault());
        assert!(!spawn(Errno::NOMEM).is_plugin_fault());
        assert!(!spawn(Errno::TXTBSY).is_plugin_fault());
        assert!(start_error(StartFailure::Ended("status 1".to_owned())).is_plugin_fault());
        assert!(!Error::Closed.is_plugin_fault());
    }
}
