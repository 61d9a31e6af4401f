//! The address that a listener binds, and for a Unix socket its owner and permissions.
//!
//! ```
//! # use strongroom_config::{Config, ListenerEndpoint};
//! let config = Config::parse(
//!     r#"
//!     storage "inmem" {}
//!     listener "unix" {
//!         address      = "/run/strongroom/api.sock"
//!         socket_mode  = "0660"
//!         socket_group = "deploy"
//!     }
//!     "#,
//!     "server.hcl",
//! )?;
//! let ListenerEndpoint::Unix(socket) = &config.listeners[0].endpoint else { panic!() };
//! assert_eq!(socket.mode, 0o660);
//! # Ok::<(), strongroom_config::ConfigError>(())
//! ```

use std::fmt;
use std::path::PathBuf;

use strongroom_hcl::HclValue;

use crate::reading::{ConfigError, ConfigSection};

/// The address that a listener binds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenerEndpoint {
    /// A TCP address, `host:port`.
    Tcp(String),
    /// A Unix socket in the file system.
    Unix(UnixSocketConfig),
}

/// A Unix socket: its path, owner and permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixSocketConfig {
    /// The absolute path of the socket file.
    pub path: PathBuf,
    /// The permissions of the socket file. Whoever may write to it may connect.
    pub mode: u32,
    /// The owner, by name or number; `None` for the server's user.
    pub user: Option<String>,
    /// The group, by name or number; `None` for the server's group.
    pub group: Option<String>,
}

/// The default mode: only the server's own user may connect.
const OWNER_ONLY_MODE: u32 = 0o600;
const MAX_SOCKET_MODE: u32 = 0o777;

impl fmt::Display for ListenerEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(socket) => socket.path.display().fmt(f),
        }
    }
}

pub(super) fn read_tcp_endpoint(
    section: &ConfigSection<'_>,
) -> Result<ListenerEndpoint, ConfigError> {
    let mut address = "127.0.0.1:8200".to_owned();
    section.read_address("address", &mut address)?;
    let port = address.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
    if !matches!(port, Some(Ok(_))) {
        let text = "must be host and port, such as \"127.0.0.1:8200\"";
        return Err(section.invalid_setting("address", text));
    }
    Ok(ListenerEndpoint::Tcp(address))
}

/// `None` if the section has no address.
pub(super) fn read_unix_endpoint(
    section: &ConfigSection<'_>,
) -> Result<Option<ListenerEndpoint>, ConfigError> {
    let mut address = String::new();
    section.read_address("address", &mut address)?;
    if address.is_empty() {
        return Ok(None);
    }
    if !address.starts_with('/') {
        return Err(section.invalid_setting("address", "must be the absolute path of a socket"));
    }
    let mode = match section.read("socket_mode", HclValue::as_text)? {
        None | Some("") => OWNER_ONLY_MODE,
        Some(text) => {
            u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= MAX_SOCKET_MODE).ok_or_else(
                || section.invalid_setting("socket_mode", "must be octal, such as \"0660\""),
            )?
        }
    };
    let named = |name: &str| -> Result<Option<String>, ConfigError> {
        let text = section.read(name, HclValue::as_text)?;
        Ok(text.filter(|text| !text.is_empty()).map(ToOwned::to_owned))
    };
    let (user, group) = (named("socket_user")?, named("socket_group")?);
    Ok(Some(ListenerEndpoint::Unix(UnixSocketConfig { path: address.into(), mode, user, group })))
}
