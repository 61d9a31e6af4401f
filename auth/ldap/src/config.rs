//! [`LdapConfig`]: the directory, and how users and groups are found in it.

use strongroom_sdk::document_hooks::{DocumentWrite, WriteHook};
use strongroom_sdk::http::{TlsSettings, TlsSettingsError, TlsVersions};
use strongroom_sdk::ldap::{AliasDereference, DirectorySettings, LdapFilter, check_directory_urls};
use strongroom_sdk::*;

use crate::template::{FilterValues, render_filter};

/// The filter for users if the configuration has none.
const DEFAULT_USER_FILTER: &str = "({{.UserAttr}}={{.Username}})";
/// The attribute that the users' names are compared with if `upndomain` is set.
pub(crate) const UPN_ATTRIBUTE: &str = "userPrincipalName";

/// The directory that users log in with, and how they and their groups are found in it.
#[derive(Document)]
#[document(path = "config", seal_wrap, validate = check_config, WriteHook)]
pub(crate) struct LdapConfig {
    /// URL of the directory, or several with commas between them, which are tried in this order.
    #[field(default = "ldap://127.0.0.1", display(name = "URL"))]
    pub(crate) url: LowerCase,
    /// Encrypts connections to ldap:// URLs with StartTLS before anything else is sent.
    #[field(display(name = "Issue StartTLS"))]
    pub(crate) starttls: bool,
    /// Can't be set: the certificate of the directory is always verified. Set certificate instead.
    #[field(display(name = "Insecure TLS"))]
    pub(crate) insecure_tls: bool,
    /// Certificates in PEM of the only authorities that may have issued the directory's certificate, or
    /// that certificate itself; empty for the authorities of the machine.
    #[field(display(name = "CA certificate", edit_type = "file"))]
    pub(crate) certificate: String,
    /// Certificate in PEM to present to the directory.
    #[field(hidden, display(name = "Client certificate", edit_type = "file"))]
    pub(crate) client_tls_cert: String,
    /// Private key in PEM of client_tls_cert. Never shown.
    #[field(display(name = "Client key", edit_type = "file"))]
    pub(crate) client_tls_key: Option<Secret<String>>,
    /// Lowest version of TLS: tls12 or tls13. tls10 and tls11 are accepted and mean tls12.
    #[field(default = "tls12", display(name = "Minimum TLS Version"))]
    pub(crate) tls_min_version: TlsVersion,
    /// Highest version of TLS: tls12 or tls13.
    #[field(default = "tls12", display(name = "Maximum TLS Version"))]
    pub(crate) tls_max_version: TlsVersion,
    /// How long connecting to one URL may take before the next one is tried.
    #[field(default = "30s")]
    pub(crate) connection_timeout: DurationSecs,
    /// How long one operation of the directory may take.
    #[field(default = "90s")]
    pub(crate) request_timeout: DurationSecs,
    /// Name (DN) of the account that searches for users and groups.
    #[field(display(name = "Name of Object to bind (binddn)"))]
    pub(crate) binddn: String,
    /// Password of binddn. Never shown.
    pub(crate) bindpass: Option<Secret<String>>,
    /// Searches for the user anonymously, if there is no binddn.
    #[field(display(name = "Discover DN"))]
    pub(crate) discoverdn: bool,
    /// Can't be turned off: a login without a password proves nothing.
    #[field(default = "true")]
    pub(crate) deny_null_bind: bool,
    /// Domain of Active Directory: users log in as username@upndomain.
    #[field(display(name = "User Principal (UPN) Domain"))]
    pub(crate) upndomain: String,
    /// Name (DN) below which users are.
    #[field(display(name = "User DN"))]
    pub(crate) userdn: String,
    /// Attribute that has the user's name.
    #[field(default = "cn", display(name = "User Attribute", value = "cn"))]
    pub(crate) userattr: LowerCase,
    /// Filter that finds a user by name, with the placeholders {{.UserAttr}} and {{.Username}}.
    #[field(default = "({{.UserAttr}}={{.Username}})", display(name = "User Search Filter"))]
    pub(crate) userfilter: String,
    /// Makes the user's name the alias, instead of the value of userattr.
    pub(crate) username_as_alias: bool,
    /// Name (DN) below which groups are.
    #[field(display(name = "Group DN"))]
    pub(crate) groupdn: String,
    /// Filter that finds the groups of a user, with the placeholders {{.UserDN}} and {{.Username}}; an
    /// empty one finds none.
    #[field(
        default = "(|(memberUid={{.Username}})(member={{.UserDN}})(uniqueMember={{.UserDN}}))",
        display(name = "Group Filter")
    )]
    pub(crate) groupfilter: String,
    /// Attribute of what groupfilter finds that has the name of the group, such as cn or memberOf.
    #[field(default = "cn", display(name = "Group Attribute", value = "cn"))]
    pub(crate) groupattr: String,
    /// Searches for groups without an account.
    #[field(display(name = "Anonymous group search"))]
    pub(crate) anonymous_group_search: bool,
    /// Takes the groups from tokenGroups of Active Directory, which has nested groups too.
    pub(crate) use_token_groups: bool,
    /// Takes the name of a group from an attribute CN in upper case only. For configurations of Vault
    /// before 1.1.1.
    pub(crate) use_pre111_group_cn_behavior: bool,
    /// Distinguishes upper and lower case in the names of users and groups.
    pub(crate) case_sensitive_names: bool,
    /// When the directory follows alias entries: never, finding, searching or always.
    #[field(default = "never")]
    pub(crate) dereference_aliases: AliasSetting,
    /// Asks for groups in pages of this size; 0 asks for all at once.
    pub(crate) max_page_size: u32,
    #[field(embed)]
    pub(crate) token: TokenFields,
}

/// A version of TLS, as Vault names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, FieldChoice)]
pub(crate) enum TlsVersion {
    /// 1.0
    #[choice(rename = "tls10")]
    Tls10,
    /// 1.1
    #[choice(rename = "tls11")]
    Tls11,
    /// 1.2
    #[choice(rename = "tls12")]
    Tls12,
    /// 1.3
    #[choice(rename = "tls13")]
    Tls13,
}

/// When alias entries are followed, as Vault names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FieldChoice)]
pub(crate) enum AliasSetting {
    Never,
    Finding,
    Searching,
    Always,
}

/// How a login finds the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UserLookup {
    /// By a search before the user's password is checked.
    Search,
    /// The user's name is `username@upndomain`; the entry is searched for afterwards.
    PrincipalName,
    /// The user's entry is the one called `userattr=username,userdn`.
    DirectName,
}

impl LdapConfig {
    /// The settings of a session with the directory.
    pub(crate) fn directory(&self) -> DirectorySettings<'_> {
        DirectorySettings {
            urls: self.url.as_str(),
            start_tls: self.starttls,
            tls: self.tls(),
            connection_time: self.connection_timeout.0.as_duration(),
            request_time: self.request_timeout.0.as_duration(),
        }
    }

    fn tls(&self) -> TlsSettings<'_> {
        let versions = match (self.tls_min_version, self.tls_max_version) {
            (TlsVersion::Tls13, _) => TlsVersions::Tls13,
            (_, TlsVersion::Tls13) => TlsVersions::Tls12And13,
            _ => TlsVersions::Tls12,
        };
        TlsSettings::new()
            .ca_cert(&self.certificate)
            .client_cert(&self.client_tls_cert, self.client_tls_key.as_ref())
            .versions(versions)
    }

    /// The account for searches: its name and its password.
    pub(crate) fn bind_account(&self) -> Option<(&str, &Secret<String>)> {
        let password = self.bindpass.as_ref()?;
        (!self.binddn.is_empty()).then_some((self.binddn.as_str(), password))
    }

    /// How logins find users; `None` if the configuration doesn't say it.
    pub(crate) fn user_lookup(&self) -> Option<UserLookup> {
        if self.discoverdn || self.bind_account().is_some() {
            Some(UserLookup::Search)
        } else if !self.upndomain.is_empty() {
            Some(UserLookup::PrincipalName)
        } else if !self.userdn.is_empty() {
            Some(UserLookup::DirectName)
        } else {
            None
        }
    }

    /// The filter that finds the user of this name.
    pub(crate) fn user_filter_for(&self, name: &str) -> Result<LdapFilter, String> {
        let template = match self.userfilter.as_str() {
            "" => DEFAULT_USER_FILTER,
            template => template,
        };
        let principal = self.principal_name(name);
        let (attribute, name) = match &principal {
            Some(principal) => (UPN_ATTRIBUTE, principal.as_str()),
            None => (self.userattr.as_str(), name),
        };
        let values = FilterValues {
            user_attribute: Some(attribute),
            user_name: Some(name),
            ..FilterValues::default()
        };
        render_filter(template, values)
    }

    /// The filter that finds the groups of a user.
    pub(crate) fn group_filter_for(&self, name: &str, dn: &str) -> Result<LdapFilter, String> {
        let values =
            FilterValues { user_name: Some(name), user_dn: Some(dn), ..FilterValues::default() };
        render_filter(&self.groupfilter, values)
    }

    /// `name@upndomain`; `None` if no domain is set.
    pub(crate) fn principal_name(&self, name: &str) -> Option<String> {
        (!self.upndomain.is_empty()).then(|| format!("{name}@{}", self.upndomain))
    }

    pub(crate) fn aliases(&self) -> AliasDereference {
        match self.dereference_aliases {
            AliasSetting::Never => AliasDereference::Never,
            AliasSetting::Finding => AliasDereference::Finding,
            AliasSetting::Searching => AliasDereference::Searching,
            AliasSetting::Always => AliasDereference::Always,
        }
    }
}

fn check_config(config: &LdapConfig) -> Result<(), String> {
    check_directory_urls(config.url.as_str()).map_err(|error| error.to_string())?;
    if config.insecure_tls {
        return Err(
            "insecure_tls can't be set: certificates are always verified; set certificate to \
                    the directory's own certificate or to that of its authority"
                .to_owned(),
        );
    }
    if !config.deny_null_bind {
        return Err(
            "deny_null_bind can't be false: a login without a password proves nothing".to_owned()
        );
    }
    if config.tls_max_version < config.tls_min_version {
        return Err(
            "'tls_max_version' must be greater than or equal to 'tls_min_version'".to_owned()
        );
    }
    if config.tls_max_version < TlsVersion::Tls12 {
        return Err(
            "tls_max_version must be tls12 or tls13: older versions are not secure".to_owned()
        );
    }
    config.tls().check().map_err(tls_problem)?;
    if config.connection_timeout.0.is_zero() || config.request_timeout.0.is_zero() {
        return Err("connection_timeout and request_timeout must be at least one second".to_owned());
    }
    let is_attribute = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-.;_".contains(c))
    };
    if !is_attribute(config.userattr.as_str()) || !is_attribute(&config.groupattr) {
        return Err("userattr and groupattr must be names of attributes, such as cn".to_owned());
    }
    let sample = "sample";
    config.user_filter_for(sample).map_err(|error| format!("invalid userfilter: {error}"))?;
    if !config.groupfilter.is_empty() {
        let filter = config.group_filter_for(sample, "cn=sample");
        filter.map_err(|error| format!("invalid groupfilter: {error}"))?;
    }
    Ok(())
}

/// What is wrong with the TLS settings, with the names that the fields have here.
fn tls_problem(error: TlsSettingsError) -> String {
    match error {
        TlsSettingsError::InvalidCaCert => "certificate is no certificate in PEM",
        TlsSettingsError::InvalidClientCert => "client_tls_cert is no certificate in PEM",
        TlsSettingsError::InvalidClientKey => "client_tls_key is no private key in PEM",
        TlsSettingsError::IncompleteClientCert => {
            "both client_tls_cert and client_tls_key must be set"
        }
        TlsSettingsError::MismatchedClientKey => "client_tls_key is not the key of client_tls_cert",
        TlsSettingsError::NoAuthority => {
            "set certificate: the machine has no certificate authority that could be used"
        }
        _ => "the settings of TLS can't be applied",
    }
    .to_owned()
}

/// The warning for a user filter that doesn't compare the attribute that becomes the alias.
const OTHER_ATTRIBUTE_WARNING: &str = "userfilter configured does not consider userattr and may result in colliding entity aliases on logins";

impl WriteHook for LdapConfig {
    type Input = ();

    async fn before_write(
        &mut self,
        write: &mut DocumentWrite<'_, Self>,
        (): (),
    ) -> Result<(), Error> {
        let filter = self.userfilter.to_lowercase();
        let considers = filter.is_empty()
            || filter.contains("{{.userattr}}")
            || filter.contains(self.userattr.as_str());
        if !considers {
            write.warn(OTHER_ATTRIBUTE_WARNING);
        }
        Ok(())
    }
}
