//! The environment variables that a registration may not set.
//!
//! Catalog entries may come from a restored store, so a variable must not make a plug-in run code
//! that was not hashed, or trust keys that the operator doesn't. So variables are refused that
//! configure loaders, interpreters, other programs, cryptography, database drivers, name
//! resolution, certificate trust or the search path. Proxies, `HOME`, regions and credentials of
//! cloud services are allowed.

/// A group of variables that configure the same kind of thing.
#[derive(Debug)]
pub struct VariableClass {
    /// What they configure, as error messages and the documentation describe it.
    pub configures: &'static str,
    /// The variables that are refused by name.
    pub names: &'static [&'static str],
    /// The prefixes of names that are refused.
    pub prefixes: &'static [&'static str],
    /// Whether a trust file may allow them. The others are refused always, because they can make a
    /// plug-in run other code.
    pub trust_file_may_allow: bool,
}

/// All refused variables, by class. `docs/src/howto/plugins.md` lists them. [`refused_class`]
/// compares names with them case-sensitively.
pub const REFUSED_VARIABLES: [VariableClass; 8] = [
    VariableClass {
        configures: "the loader or the C library",
        names: &[
            "GLIBC_TUNABLES",
            "GCONV_PATH",
            "NLSPATH",
            "LOCPATH",
            "I18NPATH",
            "TZDIR",
            "GIO_EXTRA_MODULES",
            "GIO_MODULE_DIR",
            "OMP_TOOL_LIBRARIES",
        ],
        prefixes: &["LD_", "MALLOC_", "DYLD_"],
        trust_file_may_allow: false,
    },
    VariableClass {
        configures: "an interpreter or a language runtime",
        names: &[
            "BASH_ENV",
            "ENV",
            "SHELLOPTS",
            "BASHOPTS",
            "IFS",
            "PS4",
            "PROMPT_COMMAND",
            "ZDOTDIR",
            "RUBYOPT",
            "RUBYLIB",
            "RUBYSHELL",
            "JAVA_TOOL_OPTIONS",
            "JDK_JAVA_OPTIONS",
            "_JAVA_OPTIONS",
            "CLASSPATH",
            "PHPRC",
            "PHP_INI_SCAN_DIR",
            "TCLLIBPATH",
            "AWKPATH",
            "AWKLIBPATH",
            "GODEBUG",
            "GOCOVERDIR",
            "GORACE",
            "GOTRACEBACK",
            "CAML_LD_LIBRARY_PATH",
            "OCAMLRUNPARAM",
        ],
        prefixes: &[
            "BASH_FUNC_",
            "PYTHON",
            "PERL",
            "GEM_",
            "BUNDLE_",
            "NODE_",
            "LUA_",
            "DOTNET_",
            "CORECLR_",
            "COR_",
            "COMPlus_",
            "ERL_",
            "GUILE_",
            "MONO_",
            "JULIA_",
        ],
        trust_file_may_allow: false,
    },
    VariableClass {
        configures: "programs that others start",
        names: &[
            "SSH_ASKPASS",
            "GIT_ASKPASS",
            "GIT_SSH",
            "GIT_SSH_COMMAND",
            "GIT_EXEC_PATH",
            "GIT_PROXY_COMMAND",
            "GIT_EXTERNAL_DIFF",
            "PAGER",
            "EDITOR",
            "VISUAL",
            "BROWSER",
            "SHELL",
            "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES",
        ],
        prefixes: &["GIT_CONFIG"],
        trust_file_may_allow: false,
    },
    VariableClass {
        configures: "a cryptographic library or its modules",
        names: &[
            "SSLKEYLOGFILE",
            "GOLANG_FIPS",
            "GOFIPS",
            "PKCS11_MODULE_PATH",
            "SOFTHSM2_CONF",
            "KRB5_TRACE",
            "KRB5_CONFIG",
            "GSS_MECH_CONFIG",
            "SASL_PATH",
            "SASL_CONF_PATH",
        ],
        prefixes: &["OPENSSL_", "GNUTLS_", "NSS_", "P11_KIT_"],
        trust_file_may_allow: false,
    },
    VariableClass {
        configures: "drivers of databases",
        names: &["ODBCINI", "ODBCINSTINI", "ODBCSYSINI", "LIBMYSQL_PLUGINS", "LIBMYSQL_PLUGIN_DIR"],
        prefixes: &[],
        trust_file_may_allow: false,
    },
    VariableClass {
        configures: "how names of hosts are resolved",
        names: &["HOSTALIASES", "LOCALDOMAIN", "RES_OPTIONS", "RESOLV_HOST_CONF"],
        prefixes: &[],
        trust_file_may_allow: false,
    },
    VariableClass {
        configures: "which TLS certificates are trusted",
        names: &[
            "SSL_CERT_FILE",
            "SSL_CERT_DIR",
            "CURL_CA_BUNDLE",
            "REQUESTS_CA_BUNDLE",
            "AWS_CA_BUNDLE",
            "PGSSLROOTCERT",
            "PGSSLMODE",
            "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
            "LDAPCONF",
            "LDAPRC",
        ],
        prefixes: &["LDAPTLS_", "GIT_SSL_"],
        trust_file_may_allow: true,
    },
    VariableClass {
        configures: "where programs are looked for",
        names: &["PATH"],
        prefixes: &[],
        trust_file_may_allow: true,
    },
];

/// The class of a variable that is refused; `None` if it may be set.
pub fn refused_class(name: &str) -> Option<&'static VariableClass> {
    REFUSED_VARIABLES.iter().find(|class| {
        class.names.contains(&name) || class.prefixes.iter().any(|prefix| name.starts_with(prefix))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_in_the_documentation() {
        let page = include_str!("../../../docs/src/howto/plugins.md");
        for class in &REFUSED_VARIABLES {
            let line =
                page.lines().find(|line| line.starts_with(&format!("| {} |", class.configures)));
            let line = line.unwrap_or_else(|| panic!("no line of {:?}", class.configures));
            let prefixes = class.prefixes.iter().map(|prefix| format!("`{prefix}*`"));
            for shown in class.names.iter().map(|name| format!("`{name}`")).chain(prefixes) {
                assert!(line.contains(&shown), "{shown} is missing in {line}");
            }
            let end = if class.trust_file_may_allow {
                "| a trust file can allow it |"
            } else {
                "| never |"
            };
            assert!(line.ends_with(end), "{line}");
        }
    }

    #[test]
    fn sr_2026_12_files_that_name_modules_drivers_or_trust_are_refused() {
        for (name, trust_file_may_allow) in [
            ("KRB5_CONFIG", false),
            ("SASL_PATH", false),
            ("ODBCSYSINI", false),
            ("LIBMYSQL_PLUGIN_DIR", false),
            ("GIO_EXTRA_MODULES", false),
            ("CAML_LD_LIBRARY_PATH", false),
            ("MONO_PATH", false),
            ("PGSSLROOTCERT", true),
            ("LDAPTLS_CACERT", true),
            ("GIT_SSL_NO_VERIFY", true),
        ] {
            let class = refused_class(name);
            let allows = class.map(|class| class.trust_file_may_allow);
            assert_eq!(allows, Some(trust_file_may_allow), "{name}");
        }
    }

    #[test]
    fn what_plugins_need_stays_possible() {
        for name in [
            "HTTPS_PROXY",
            "no_proxy",
            "HOME",
            "AWS_REGION",
            "AWS_SECRET_ACCESS_KEY",
            "TZ",
            "LANG",
            "LC_ALL",
            "GOMAXPROCS",
            "GOMEMLIMIT",
            "RUST_LOG",
            "KUBECONFIG",
            "TMPDIR",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "PGHOST",
            "ENVIRONMENT",
            "GIT_AUTHOR_NAME",
        ] {
            assert!(refused_class(name).is_none(), "{name}");
        }
    }
}
