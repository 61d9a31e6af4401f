//! `service_registration`: not supported; a warning names the consequence.

use crate::compatibility::REGISTRATION_KINDS;
use crate::reading::{ConfigError, ConfigSection};

pub(crate) fn check_service_registration(
    section: &ConfigSection<'_>,
    warnings: &mut Vec<String>,
) -> Result<(), ConfigError> {
    for block in section.blocks::<1>("service_registration")? {
        let [kind] = block.labels;
        let place = section.location_of_key(kind);
        let known = REGISTRATION_KINDS.iter().find(|(name, _)| *name == kind.text);
        let follows = known.map_or("the type is unknown", |(_, follows)| *follows);
        warnings.push(format!(
            "the setting service_registration {:?} has no effect at {place}: {follows}",
            kind.text
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::Config;

    #[test]
    fn warning_names_the_consequence() {
        for (kind, follows) in [
            ("kubernetes", "no pod"),
            ("consul", "active.vault"),
            ("zeroconf", "the type is unknown"),
        ] {
            let text = format!(
                "storage \"inmem\" {{}}\nlistener \"tcp\" {{ tls_disable = true }}\n\
                 service_registration \"{kind}\" {{}}"
            );
            let warnings = Config::parse(&text, "t.hcl").unwrap().warnings;
            assert_eq!(warnings.len(), 1);
            let text = &warnings[0];
            assert!(text.contains("at t.hcl:3:22: ") && text.contains(follows), "{text}");
        }
    }
}
