//! `seal`: only the Shamir seal is supported, which needs no stanza.

use crate::compatibility::SEAL_KINDS;
use crate::reading::{ConfigError, ConfigSection};

/// The stanza's names; `kms` and `hsm` are older ones.
const NAMES: [&str; 3] = ["seal", "kms", "hsm"];

/// Refuses a seal that isn't supported. A stanza with `disabled` is ignored.
pub(crate) fn check_seal(
    section: &ConfigSection<'_>,
    warnings: &mut Vec<String>,
) -> Result<(), ConfigError> {
    for name in NAMES {
        for block in section.blocks::<1>(name)? {
            let [kind] = block.labels;
            let place = section.location_of_key(kind);
            let mut is_disabled = false;
            let inside = section.nested(block.body);
            inside.read_flag("disabled", &mut is_disabled)?;
            let is_built =
                SEAL_KINDS.iter().any(|known| known.is_supported && known.name == kind.text);
            if is_disabled || is_built {
                warnings.push(format!(
                    "the setting {name} {:?} has no effect at {place}: the Shamir seal needs no stanza",
                    kind.text
                ));
                continue;
            }
            let built: Vec<_> = SEAL_KINDS
                .iter()
                .filter(|known| known.is_supported)
                .map(|known| known.name)
                .collect();
            let text = format!(
                "{name} {:?}: this seal is not supported, only {}: remove the stanza, and unseal \
                 with key shares",
                kind.text,
                built.join(", ")
            );
            return Err(ConfigError::at_location(&place, text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::Config;

    fn read(seal: &str) -> Result<Vec<String>, String> {
        let text =
            format!("storage \"inmem\" {{}}\nlistener \"tcp\" {{ tls_disable = true }}\n{seal}");
        let config = Config::parse(&text, "t.hcl").map_err(|error| error.to_string())?;
        Ok(config.warnings)
    }

    #[test]
    fn unsupported_seal_is_refused() {
        for kind in crate::compatibility::SEAL_KINDS.iter().filter(|kind| !kind.is_supported) {
            for name in super::NAMES {
                let name = format!("{name} \"{}\"", kind.name);
                let error = read(&format!("{name} {{ key = \"hunter2\" }}")).unwrap_err();
                assert!(error.starts_with("t.hcl:3:") && error.contains("shamir"), "{error}");
                assert!(!error.contains("hunter2"));
                for off in ["true", "\"true\"", "1"] {
                    let warnings = read(&format!("{name} {{ disabled = {off} }}")).unwrap();
                    assert!(warnings[0].contains("has no effect at t.hcl:3:"), "{warnings:?}");
                }
            }
        }
        assert!(read("seal \"shamir\" {}").unwrap()[0].contains("needs no stanza"));
        assert!(read("seal \"unheard-of\" {}").unwrap_err().starts_with("t.hcl:3:"));
    }
}
