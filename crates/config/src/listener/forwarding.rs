//! `x_forwarded_for_…`: proxies that may set the client's address.
//!
//! ```
//! # use strongroom_config::Config;
//! let config = Config::parse(
//!     r#"
//!     storage "inmem" {}
//!     listener "tcp" {
//!         tls_disable                           = true
//!         x_forwarded_for_authorized_addrs      = "10.1.0.0/16, 10.2.0.7"
//!         x_forwarded_for_hop_skips             = 1
//!         x_forwarded_for_reject_not_authorized = true
//!         x_forwarded_for_reject_not_present    = true
//!     }
//!     "#,
//!     "server.hcl",
//! )?;
//! assert_eq!(config.listeners[0].forwarding.as_ref().unwrap().authorized.len(), 2);
//! # Ok::<(), strongroom_config::ConfigError>(())
//! ```

use std::net::IpAddr;

use ipnet::IpNet;
use strongroom_hcl::{HclValue, ValueKind};

use crate::reading::{ConfigError, ConfigSection};

/// Proxies whose `X-Forwarded-For` header sets the client's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardingConfig {
    /// The addresses and networks of the proxies.
    pub authorized: Vec<IpNet>,
    /// How many addresses at the end of the header belong to proxies and are skipped.
    pub hop_skips: usize,
    /// Whether connections from other addresses are refused. If not, their header is ignored and
    /// the connection's own address is used.
    pub reject_not_authorized: bool,
    /// Whether requests without the header are refused. If not, the connection's own address is
    /// used.
    pub reject_not_present: bool,
}

const AUTHORIZED_ADDRS: &str = "x_forwarded_for_authorized_addrs";
const HOP_SKIPS: &str = "x_forwarded_for_hop_skips";
const REJECT_NOT_AUTHORIZED: &str = "x_forwarded_for_reject_not_authorized";
const REJECT_NOT_PRESENT: &str = "x_forwarded_for_reject_not_present";

pub(super) fn read(section: &ConfigSection<'_>) -> Result<Option<ForwardingConfig>, ConfigError> {
    let authorized = read_networks(section)?;
    if authorized.is_empty() {
        section.refuse_settings(&[HOP_SKIPS], &format!("needs {AUTHORIZED_ADDRS}"))?;
        section.refuse_flag(REJECT_NOT_AUTHORIZED, &format!("needs {AUTHORIZED_ADDRS}"))?;
        section.refuse_flag(REJECT_NOT_PRESENT, &format!("needs {AUTHORIZED_ADDRS}"))?;
        return Ok(None);
    }
    let mut read = ForwardingConfig {
        authorized,
        hop_skips: 0,
        reject_not_authorized: true,
        reject_not_present: true,
    };
    if let Some(number) = section.read(HOP_SKIPS, HclValue::as_int)? {
        read.hop_skips = usize::try_from(number).map_err(|_| {
            section.invalid_setting(HOP_SKIPS, "must be a whole number, zero or above")
        })?;
    }
    section.read_flag(REJECT_NOT_AUTHORIZED, &mut read.reject_not_authorized)?;
    section.read_flag(REJECT_NOT_PRESENT, &mut read.reject_not_present)?;
    Ok(Some(read))
}

/// Reads addresses and networks, as a list or as one comma-separated string.
fn read_networks(section: &ConfigSection<'_>) -> Result<Vec<IpNet>, ConfigError> {
    let texts = section.read(AUTHORIZED_ADDRS, |value| match value.kind {
        ValueKind::List(_) => value.as_str_list(),
        _ => value.as_str().map(|text| vec![text]),
    })?;
    let parts = texts.unwrap_or_default().into_iter().flat_map(|text| text.split(','));
    let parts = parts.map(str::trim).filter(|part| !part.is_empty());
    let network = |part: &str| {
        let address = part.parse::<IpAddr>().map(IpNet::from);
        address.or_else(|_| part.parse::<IpNet>()).map_err(|_| {
            let text = format!("{part:?} is neither an address nor a network such as 10.0.0.0/8");
            section.invalid_setting(AUTHORIZED_ADDRS, text)
        })
    };
    parts.map(network).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    fn read(more: &str) -> Result<Option<ForwardingConfig>, String> {
        let text =
            format!("storage \"inmem\" {{}}\nlistener \"tcp\" {{\ntls_disable = true\n{more}\n}}");
        let config = Config::parse(&text, "t.hcl").map_err(|error| error.to_string())?;
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
        Ok(config.listeners[0].forwarding.clone())
    }

    #[test]
    fn addresses_come_as_text_or_list() {
        for text in ["\"10.0.0.0/8,::1\"", "[\"10.0.0.0/8\", \"::1\"]", "[\"10.0.0.0/8, ::1\"]"] {
            let read = read(&format!("{AUTHORIZED_ADDRS} = {text}")).unwrap().unwrap();
            let texts: Vec<String> = read.authorized.iter().map(ToString::to_string).collect();
            assert_eq!(texts, ["10.0.0.0/8", "::1/128"]);
            assert!(read.reject_not_authorized && read.reject_not_present);
            assert_eq!(read.hop_skips, 0);
        }
        assert!(read("").unwrap().is_none());
        assert!(
            read(&format!("{AUTHORIZED_ADDRS} = \"proxy\"")).unwrap_err().contains("t.hcl:4:1")
        );
        let negative = format!("{AUTHORIZED_ADDRS} = \"::1\"\n{HOP_SKIPS} = -1");
        assert!(read(&negative).unwrap_err().contains("t.hcl:5:1"));
    }

    #[test]
    fn reject_settings_need_addresses() {
        for text in [
            format!("{HOP_SKIPS} = 1"),
            format!("{REJECT_NOT_PRESENT} = true"),
            format!("{REJECT_NOT_AUTHORIZED} = true"),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.contains("t.hcl:4:1") && error.contains(AUTHORIZED_ADDRS), "{error}");
        }
        assert!(read(&format!("{REJECT_NOT_PRESENT} = false")).unwrap().is_none());
    }
}
