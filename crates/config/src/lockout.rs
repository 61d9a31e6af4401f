//! `user_lockout`: not supported. Only a stanza that disables it is accepted.

use crate::reading::{ConfigError, ConfigSection};

pub(crate) fn check_user_lockout(section: &ConfigSection<'_>) -> Result<(), ConfigError> {
    for block in section.blocks::<1>("user_lockout")? {
        let [method] = block.labels;
        let mut is_disabled = false;
        section.nested(block.body).read_flag("disable_lockout", &mut is_disabled)?;
        if !is_disabled {
            let text = "user_lockout: user lockout is not supported yet: write disable_lockout = true, or \
                        remove the stanza";
            return Err(ConfigError::at_location(&section.location_of_key(method), text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::Config;

    #[test]
    fn only_a_lockout_that_is_switched_off_is_accepted() {
        let read = |stanza: &str| {
            let text = format!(
                "storage \"inmem\" {{}}\nlistener \"tcp\" {{ tls_disable = true }}\n{stanza}"
            );
            let config = Config::parse(&text, "t.hcl").map_err(|error| error.to_string())?;
            Ok::<_, String>(config.warnings)
        };
        let off = "user_lockout \"all\" { disable_lockout = true }";
        assert_eq!(read(off).unwrap(), [""; 0]);
        let off_in_text =
            "user_lockout \"all\" {\n lockout_threshold = \"5\"\n disable_lockout = \"true\"\n}";
        assert_eq!(read(off_in_text).unwrap(), [""; 0]);
        for on in [
            "user_lockout \"all\" {}",
            "user_lockout \"all\" { lockout_threshold = 3 }",
            "user_lockout \"all\" { disable_lockout = false }",
        ] {
            let error = read(on).unwrap_err();
            assert!(error.starts_with("t.hcl:3:14: user_lockout: "), "{error}");
        }
        // A disabled stanza doesn't make an enabled one acceptable.
        let error = read(&format!("{off}\nuser_lockout \"userpass\" {{}}")).unwrap_err();
        assert!(error.starts_with("t.hcl:4:"), "{error}");
        assert!(read("user_lockout \"all\" { disable_lockout = 7 }").is_err());
    }
}
