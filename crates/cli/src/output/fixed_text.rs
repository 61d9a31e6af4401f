//! Texts that other programs search for, word for word as the `vault` command prints them.
//!
//! All other text of the command line may change in any release. A text belongs here only if a tool
//! that searches for it can be named; [`FIXED_TEXTS`] names it and generates the list in
//! `docs/src/reference/cli.md`. Error texts of the API are not here but in the golden responses.

/// The last line of the start of `server`. From this line on, the server accepts requests.
pub(crate) const SERVER_STARTED: &str = "==> Vault server started!";

/// Printed when the server is asked to stop.
pub(crate) const SHUTDOWN_TRIGGERED: &str = "==> Vault shutdown triggered";

/// In front of the root token of `server -dev`.
pub(crate) const DEV_ROOT_TOKEN: &str = "Root Token: ";

/// In front of the only key share of `server -dev`.
pub(crate) const DEV_UNSEAL_KEY: &str = "Unseal Key: ";

/// The beginning of the last warning of `server -dev`.
pub(crate) const DEVELOPMENT_MODE_SHOULD: &str = "Development mode should";

/// In front of the number of a key share in `operator init`.
pub(crate) const UNSEAL_KEY: &str = "Unseal Key ";

/// In front of the number of a recovery key in `operator init`.
pub(crate) const RECOVERY_KEY: &str = "Recovery Key ";

/// In front of the root token in `operator init`.
pub(crate) const INITIAL_ROOT_TOKEN: &str = "Initial Root Token: ";

/// What `operator init -status` prints for an initialised server.
pub(crate) const IS_INITIALIZED: &str = "Vault is initialized";

/// What `operator init -status` prints for a server that isn't initialised.
pub(crate) const IS_NOT_INITIALIZED: &str = "Vault is not initialized";

/// In front of the path at which `read` and `kv get` found nothing.
pub(crate) const NO_VALUE_FOUND: &str = "No value found at ";

/// Begins the line about a write whose response has no content; the path follows.
pub(crate) const DATA_WRITTEN: &str = "Success! Data written to: ";

/// The beginning of the line about a new mount.
pub(crate) const ENABLED: &str = "Success! Enabled ";

/// A fixed text, with the command that prints it and the tools that search for it.
#[cfg(test)]
pub(crate) struct FixedText {
    pub(crate) text: &'static str,
    /// The command that prints it.
    pub(crate) printed_by: &'static str,
    /// A tool that searches for it: the name of a public repository, or a description of the
    /// scripts.
    pub(crate) searched_by: &'static str,
}

/// Every text of this file, in order.
#[cfg(test)]
pub(crate) const FIXED_TEXTS: [FixedText; 13] = {
    const fn fixed_text(
        text: &'static str,
        printed_by: &'static str,
        searched_by: &'static str,
    ) -> FixedText {
        FixedText { text, printed_by, searched_by }
    }
    [
        fixed_text(
            SERVER_STARTED,
            "server",
            "golovnin/embedded-vault (`VaultServerProcess`); testcontainers set-ups such as \
             cosmicrocks/merka-vault (`tests/common.rs`)",
        ),
        fixed_text(
            SHUTDOWN_TRIGGERED,
            "server",
            "vault-log-handler, a log watcher that raises alerts",
        ),
        fixed_text(
            DEV_ROOT_TOKEN,
            "server -dev",
            "4xxi/vault-bundle (`Tests/travis/vault-run.sh`)",
        ),
        fixed_text(
            DEV_UNSEAL_KEY,
            "server -dev",
            "Kubernetes guides that unseal with `kubectl logs … \\| grep 'Unseal Key:'`",
        ),
        fixed_text(
            DEVELOPMENT_MODE_SHOULD,
            "server -dev",
            "TNB, the test framework of Apache Camel (`HashicorpVaultContainer`)",
        ),
        fixed_text(
            UNSEAL_KEY,
            "operator init",
            "traktorist3872548/vault (`unseal.sh`), jjenkins70/vagrant-vault-consul \
             (`v2/unseal.sh`)",
        ),
        fixed_text(
            RECOVERY_KEY,
            "operator init",
            "provisioning templates that `grep \"^Recovery Key\"` on Enterprise servers",
        ),
        fixed_text(
            INITIAL_ROOT_TOKEN,
            "operator init",
            "jjenkins70/vagrant-vault-consul (`v2/unseal.sh`)",
        ),
        fixed_text(
            IS_INITIALIZED,
            "operator init -status",
            "Kubernetes jobs that initialise a server once (`grep -q \"Vault is initialized\"`)",
        ),
        fixed_text(IS_NOT_INITIALIZED, "operator init -status", "the same jobs"),
        fixed_text(
            NO_VALUE_FOUND,
            "read, kv get, list",
            "shell scripts that make a secret only where there is none",
        ),
        fixed_text(DATA_WRITTEN, "write, kv put", "pytest suites that drive the `vault` command"),
        fixed_text(
            ENABLED,
            "secrets enable, auth enable",
            "pytest suites that drive the `vault` command",
        ),
    ]
};
