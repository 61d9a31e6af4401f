//! Commands and flags of `vault` and `bao` that this program doesn't have. They are refused by
//! name, so that users don't look for a typing error, and listed in
//! `docs/src/reference/not-built.md`.

/// Unsupported commands, each including its subcommands.
pub(crate) const NOT_BUILT_COMMANDS: [&str; 28] = [
    "agent",
    "audit",
    "debug",
    "events",
    "hcp",
    "license",
    "monitor",
    "namespace",
    "operator diagnose",
    "operator generate-root",
    "operator members",
    "operator migrate",
    "operator raft",
    "operator rekey",
    "operator rotate",
    "operator rotate-keys",
    "operator usage",
    "operator utilization",
    "operator validate-config",
    "pki",
    "plugin init",
    "plugin runtime",
    "proxy",
    "scan",
    "ssh",
    "transform",
    "transit",
    "version-history",
];

/// Unsupported flags, by command.
pub(crate) const NOT_BUILT_FLAGS: [(&str, &[&str]); 10] = [
    ("auth enable", &["identity-token-key", "trim-request-trailing-slashes"]),
    ("auth tune", &["identity-token-key", "trim-request-trailing-slashes"]),
    ("kv get", &["recover-snapshot-id"]),
    (
        "operator init",
        &[
            "consul-auto",
            "consul-service",
            "pgp-keys",
            "recovery-pgp-keys",
            "recovery-shares",
            "recovery-threshold",
            "root-token-pgp-key",
            "stored-shares",
        ],
    ),
    ("plugin register", &["download", "oci_image", "runtime"]),
    ("read", &["snapshot-id"]),
    ("list", &["snapshot-id"]),
    (
        "secrets enable",
        &[
            "allowed-managed-keys",
            "delegated-auth-accessors",
            "identity-token-key",
            "trim-request-trailing-slashes",
        ],
    ),
    (
        "secrets tune",
        &[
            "allowed-managed-keys",
            "delegated-auth-accessors",
            "identity-token-key",
            "trim-request-trailing-slashes",
        ],
    ),
    (
        "server",
        &[
            "combine-logs",
            "dev-cluster-json",
            "dev-consul",
            "dev-ha",
            "dev-latency",
            "dev-latency-jitter",
            "dev-leased-kv",
            "dev-otp",
            "dev-plugin-init",
            "dev-skip-init",
            "dev-three-node",
            "dev-transactional",
            "exit-on-core-shutdown",
            "experiment",
            "log-rotate-bytes",
            "log-rotate-duration",
            "log-rotate-max-files",
            "recovery",
        ],
    ),
];

/// Unsupported flags that `vault` or `bao` accept on every command that talks to a server.
pub(crate) const NOT_BUILT_COMMON_FLAGS: [&str; 1] = ["unlock-key"];

/// The error for a flag that a command doesn't have.
pub(crate) fn unknown_flag_message(command: &str, name: &str) -> String {
    let own = NOT_BUILT_FLAGS.iter().find(|(with_flags, _)| *with_flags == command);
    let is_known = own.is_some_and(|(_, flags)| flags.contains(&name));
    if is_known || NOT_BUILT_COMMON_FLAGS.contains(&name) {
        format!("-{name} is not supported by this server")
    } else {
        format!("there is no flag -{name}")
    }
}

/// The name of the unsupported command, if `next` names one below the command found so far.
pub(crate) fn not_built_command(found: &[String], next: &str) -> Option<String> {
    let name = found.iter().map(String::as_str).chain([next]).collect::<Vec<_>>().join(" ");
    NOT_BUILT_COMMANDS.contains(&name.as_str()).then_some(name)
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;
    use crate::full_command_tree;

    fn find_command<'c>(root: &'c Command, name: &str) -> Option<&'c Command> {
        name.split(' ').try_fold(root, |command, name| command.find_subcommand(name))
    }

    #[test]
    fn listed_commands_do_not_exist() {
        let root = full_command_tree();
        for name in NOT_BUILT_COMMANDS {
            assert!(find_command(&root, name).is_none(), "{name} is built");
        }
        for (name, flags) in NOT_BUILT_FLAGS {
            let command = find_command(&root, name).unwrap_or_else(|| panic!("no command {name}"));
            for flag in flags.iter().chain(&NOT_BUILT_COMMON_FLAGS) {
                let given = crate::arguments::TypedFlag { name: flag, value: None };
                assert!(given.clap_arg(command).is_none(), "{name} -{flag} is built");
            }
        }
    }

    #[test]
    fn not_built_flags_are_refused_by_name() {
        assert_eq!(
            unknown_flag_message("operator init", "pgp-keys"),
            "-pgp-keys is not supported by this server"
        );
        assert_eq!(unknown_flag_message("operator init", "pgp-kyes"), "there is no flag -pgp-kyes");
        assert_eq!(unknown_flag_message("read", "pgp-keys"), "there is no flag -pgp-keys");
    }
}
