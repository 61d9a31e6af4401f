//! Finding a user, and the groups that the user belongs to.

use std::collections::BTreeSet;

use strongroom_sdk::ldap::{
    BoundUser, LdapEntry, LdapFilter, LdapSearch, LdapSession, attributes_of_dn, escape_dn_value,
};
use strongroom_sdk::{Context, Error, LoginError, Secret};

use crate::config::{LdapConfig, UPN_ATTRIBUTE, UserLookup};
use crate::security_id::text_of_sid;
use crate::user_name::{comparable_name, has_one_spelling, is_principal_prefix, login_name};

/// A user of the directory, in the directory's words. The names of a login are selected from it.
#[derive(Debug)]
pub(crate) struct DirectoryUser {
    /// Identifies the user.
    pub(crate) alias: String,
    /// The name by which `users/` knows the user.
    pub(crate) user_name: String,
    /// The distinguished name of the user's entry.
    pub(crate) dn: String,
}

/// The attributes that say that an account is disabled or locked: of Active Directory, of OpenLDAP and
/// of 389 Directory Server.
const ACCOUNT_STATE_ATTRIBUTES: [&str; 3] =
    ["userAccountControl", "pwdAccountLockedTime", "nsAccountLock"];
/// The flag of `userAccountControl` for disabled accounts.
const ACCOUNT_DISABLED: u32 = 2;

/// A session with the directory, for one login or renewal.
pub(crate) struct DirectoryLookup<'a> {
    context: &'a Context,
    config: &'a LdapConfig,
    session: LdapSession<'a>,
    /// Whether a search that isn't permitted finds nothing, instead of failing.
    is_renewal: bool,
}

impl<'a> DirectoryLookup<'a> {
    pub(crate) fn new(
        context: &'a Context,
        config: &'a LdapConfig,
        session: LdapSession<'a>,
    ) -> Self {
        Self { context, config, session, is_renewal: false }
    }

    /// Keeps the connection for later logins.
    pub(crate) fn release(self) {
        self.session.release();
    }

    /// Checks a user's password, and finds out who the user is. The session is bound as the user then.
    pub(crate) async fn verify_user(
        &mut self,
        name: &str,
        password: &Secret<String>,
    ) -> Result<(BoundUser, DirectoryUser), LoginError> {
        match self.user_lookup()? {
            UserLookup::Search => {
                let found = self.find_user(name).await?;
                let dn = match &found {
                    Some(user) => user.dn.clone(),
                    None => self.decoy_name(),
                };
                let bound = self.bind_user(&dn, password).await;
                match (bound, found) {
                    (Ok(bound), Some(user)) => Ok((bound, user)),
                    (Err(error), _) => Err(error),
                    (Ok(_), None) => Err(LoginError::refused()),
                }
            }
            UserLookup::DirectName => {
                // The directory is asked for no name that could be another spelling of a user's.
                let is_plain = has_one_spelling(name);
                let dn = if is_plain { self.direct_name(name) } else { self.decoy_name() };
                let bound = self.bind_user(&dn, password).await?;
                let user = self.user_of_direct_name(name, dn);
                let is_same = is_plain && self.has_no_other_name(name, &user.dn).await?;
                if is_same { Ok((bound, user)) } else { Err(LoginError::refused()) }
            }
            UserLookup::PrincipalName => {
                let Some(principal) = self.config.principal_name(name) else {
                    return Err(LoginError::refused());
                };
                let is_plain = is_principal_prefix(name);
                let bind_name = if is_plain { principal } else { self.decoy_name() };
                let bound = self.bind_user(&bind_name, password).await?;
                let user = if is_plain { self.find_principal(name).await? } else { None };
                Ok((bound, user.ok_or_else(LoginError::refused)?))
            }
        }
    }

    /// Finds a user without the user's password, for a renewal: `None` if there is no such user any
    /// more, or the account is disabled.
    pub(crate) async fn find_again(&mut self, name: &str) -> Result<Option<DirectoryUser>, Error> {
        let lookup = self.user_lookup()?;
        self.is_renewal = true;
        self.bind_for_searches().await?;
        match lookup {
            UserLookup::Search => self.find_user(name).await,
            UserLookup::PrincipalName if is_principal_prefix(name) => {
                self.find_principal(name).await
            }
            UserLookup::DirectName if has_one_spelling(name) => {
                let dn = self.direct_name(name);
                let entry = self.read_entry(&dn, &ACCOUNT_STATE_ATTRIBUTES).await?;
                let entry = entry.filter(|entry| !is_disabled(entry));
                Ok(entry.map(|_| self.user_of_direct_name(name, dn)))
            }
            _ => Ok(None),
        }
    }

    fn user_lookup(&self) -> Result<UserLookup, Error> {
        self.config.user_lookup().ok_or_else(|| {
            Error::internal(
                "users can't be found: write binddn and bindpass, discoverdn, upndomain or userdn to \
                 config",
            )
        })
    }

    /// Binds as the user. Whatever the directory says against the user or the password is a refusal.
    async fn bind_user(
        &mut self,
        dn: &str,
        password: &Secret<String>,
    ) -> Result<BoundUser, LoginError> {
        match self.session.bind_user(dn, password).await {
            Ok(bound) => Ok(bound),
            Err(error) if error.code().is_some_and(is_refusal) => {
                tracing::debug!(%error, "the directory refuses a login");
                Err(LoginError::refused())
            }
            Err(error) => Err(Error::from(error).into()),
        }
    }

    /// Binds as the account for searches, or anonymously.
    async fn bind_for_searches(&mut self) -> Result<(), Error> {
        match self.config.bind_account() {
            Some((name, password)) => {
                let bound = self.session.bind(name, password).await;
                bound.map_err(|error| match error.code() {
                    Some(_) => Error::internal_caused_by(
                        "the directory refuses the account for searches: check binddn and bindpass",
                        error,
                    ),
                    None => error.into(),
                })
            }
            None => Ok(self.session.bind_anonymously().await?),
        }
    }

    /// Searches for the user with this name. `None` if the filter finds no entry or several, or one
    /// that isn't certain to be meant by this spelling.
    async fn find_user(&mut self, name: &str) -> Result<Option<DirectoryUser>, Error> {
        self.bind_for_searches().await?;
        let filter = self.config.user_filter_for(name).map_err(filter_error)?;
        let Some(entry) = self.find_entry(filter).await? else { return Ok(None) };
        let Some(confirmed) = self.confirmed_name(&entry, name) else {
            tracing::info!(
                "a login was refused: the entry of the user has another spelling of the name"
            );
            return Ok(None);
        };
        if is_disabled(&entry) {
            return Ok(None);
        }
        let alias = match self.config.username_as_alias {
            true => confirmed.clone(),
            false => self.alias_of(&entry)?,
        };
        Ok(Some(DirectoryUser { alias, user_name: confirmed, dn: entry.name().to_owned() }))
    }

    /// The entry whose principal name is that of the user, as the account of the session sees it.
    async fn find_principal(&mut self, name: &str) -> Result<Option<DirectoryUser>, Error> {
        let Some(principal) = self.config.principal_name(name) else { return Ok(None) };
        let filter = LdapFilter::equals(UPN_ATTRIBUTE, &principal);
        let Some(entry) = self.find_entry(filter).await? else { return Ok(None) };
        let is_named = |value: &str| comparable_name(value) == comparable_name(&principal);
        if !entry.values(UPN_ATTRIBUTE).any(is_named) || is_disabled(&entry) {
            return Ok(None);
        }
        let user_name = login_name(name, self.config.case_sensitive_names);
        let alias = match self.config.username_as_alias {
            true => user_name.clone(),
            false => comparable_name(&principal),
        };
        Ok(Some(DirectoryUser { alias, user_name, dn: entry.name().to_owned() }))
    }

    /// The only entry that a filter finds among the users.
    async fn find_entry(&mut self, filter: LdapFilter) -> Result<Option<LdapEntry>, Error> {
        let own = [self.config.userattr.as_str(), UPN_ATTRIBUTE];
        let search = LdapSearch::below(&self.config.userdn, filter)
            .attributes(own.into_iter().chain(ACCOUNT_STATE_ATTRIBUTES))
            .aliases(self.config.aliases())
            .entry_limit(2);
        let mut entries = match self.session.search(&search).await {
            Ok(entries) => entries.into_iter(),
            Err(error) if self.is_renewal && error.code().is_some_and(is_invisible) => {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        match (entries.next(), entries.next()) {
            (Some(entry), None) => Ok(Some(entry)),
            (Some(_), Some(_)) => {
                tracing::info!(
                    "a login was refused: several entries of the directory fit the name"
                );
                Ok(None)
            }
            (None, _) => Ok(None),
        }
    }

    /// The name of the user in the directory's spelling, if it is the name that the client sent. A name
    /// that the entry doesn't have (because the filter compares something else) is taken as sent if
    /// it has only one spelling. CVE-2025-6013: two spellings of a user must not be two users.
    fn confirmed_name(&self, entry: &LdapEntry, name: &str) -> Option<String> {
        let is_case_sensitive = self.config.case_sensitive_names;
        let sent = comparable_name(name);
        let suffix = self.config.principal_name("").unwrap_or_default().to_lowercase();
        let principals = entry.values(UPN_ATTRIBUTE).filter_map(|value| {
            let start = value.len().checked_sub(suffix.len())?;
            let (prefix, domain) = value.split_at_checked(start)?;
            (!suffix.is_empty() && domain.to_lowercase() == suffix).then_some(prefix)
        });
        let mut known = entry.values(self.config.userattr.as_str()).chain(principals);
        if let Some(value) = known.find(|value| comparable_name(value) == sent) {
            return Some(login_name(value, is_case_sensitive));
        }
        // As an alias it would be one of several of the same user.
        let may_be_another = self.config.username_as_alias || !has_one_spelling(name);
        (!may_be_another).then(|| login_name(name, is_case_sensitive))
    }

    /// The only value of `userattr`.
    fn alias_of(&self, entry: &LdapEntry) -> Result<String, Error> {
        let attribute = self.config.userattr.as_str();
        let mut values = entry.values(attribute);
        match (values.next(), values.next()) {
            (Some(value), None) if !value.is_empty() => Ok(value.to_owned()),
            _ => Err(Error::internal(format!(
                "the entry of a user has no value or several of {attribute}, which becomes the alias: \
                 write another userattr to config"
            ))),
        }
    }

    /// The distinguished name of the user with this name.
    fn direct_name(&self, name: &str) -> String {
        let LdapConfig { userattr, userdn, .. } = self.config;
        format!("{userattr}={},{userdn}", escape_dn_value(&comparable_name(name)))
    }

    fn user_of_direct_name(&self, name: &str, dn: String) -> DirectoryUser {
        let user_name = login_name(name, self.config.case_sensitive_names);
        let alias = if self.config.username_as_alias { user_name.clone() } else { dn.clone() };
        DirectoryUser { alias, user_name, dn }
    }

    /// Whether the entry of the user has the name that the client sent, and not one that the directory
    /// takes for it, as telephone numbers with and without hyphens. What the user may not read
    /// contradicts nothing.
    async fn has_no_other_name(&mut self, name: &str, dn: &str) -> Result<bool, Error> {
        let attribute = self.config.userattr.as_str();
        let Some(entry) = self.read_entry(dn, &[attribute]).await? else { return Ok(true) };
        let mut values = entry.values(attribute).peekable();
        Ok(values.peek().is_none() || values.any(|it| comparable_name(it) == comparable_name(name)))
    }

    /// Reads an entry by its name; `None` if there is none that the account of the session may see.
    async fn read_entry(
        &mut self,
        dn: &str,
        attributes: &[&str],
    ) -> Result<Option<LdapEntry>, Error> {
        let search = LdapSearch::entry(dn).attributes(attributes.iter().copied());
        match self.session.search(&search.aliases(self.config.aliases())).await {
            Ok(entries) => Ok(entries.into_iter().next()),
            Err(error) if error.code().is_some_and(is_invisible) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A name that no entry has, so that the check of a password takes as long if there is no user.
    fn decoy_name(&self) -> String {
        let LdapConfig { userattr, userdn, .. } = self.config;
        let random = self.context.entropy().base62(16);
        let separator = if userdn.is_empty() { "" } else { "," };
        format!("{userattr}=nobody-{random}{separator}{userdn}")
    }

    /// The names of the groups that the directory says the user belongs to.
    pub(crate) async fn groups_of(
        &mut self,
        user: &DirectoryUser,
    ) -> Result<BTreeSet<String>, Error> {
        if self.config.anonymous_group_search {
            self.session.bind_anonymously().await?;
        } else if self.config.bind_account().is_some() {
            self.bind_for_searches().await?;
        }
        let entries = match self.config.use_token_groups {
            true => self.token_groups_of(&user.dn).await?,
            false => self.filtered_groups_of(user).await?,
        };
        let attribute = &self.config.groupattr;
        let mut groups = BTreeSet::new();
        for entry in entries {
            let mut values = entry.values(attribute).peekable();
            if values.peek().is_none() {
                groups.insert(self.group_name(entry.name()));
            }
            groups.extend(values.map(|value| self.group_name(value)));
        }
        Ok(groups)
    }

    async fn filtered_groups_of(&mut self, user: &DirectoryUser) -> Result<Vec<LdapEntry>, Error> {
        let config = self.config;
        if config.groupdn.is_empty() || config.groupfilter.is_empty() {
            return Ok(Vec::new());
        }
        let filter = config.group_filter_for(&user.user_name, &user.dn).map_err(filter_error)?;
        let search = LdapSearch::below(&config.groupdn, filter)
            .attributes([config.groupattr.as_str()])
            .aliases(config.aliases())
            .page_size(config.max_page_size);
        Ok(self.session.search(&search).await?)
    }

    /// The groups in `tokenGroups`, which Active Directory computes, nested ones too.
    async fn token_groups_of(&mut self, dn: &str) -> Result<Vec<LdapEntry>, Error> {
        let Some(user) = self.read_entry(dn, &["tokenGroups"]).await? else {
            return Ok(Vec::new());
        };
        let mut groups = Vec::new();
        for id in user.raw_values("tokenGroups").take(MAX_TOKEN_GROUPS) {
            let Some(id) = text_of_sid(id) else { continue };
            // Groups that only exist on one machine, such as the built-in ones, may have no entry.
            groups.extend(self.read_entry(&format!("<SID={id}>"), &["1.1"]).await?);
        }
        Ok(groups)
    }

    /// The name of a group from its distinguished name, or from a value that is its name.
    fn group_name(&self, value: &str) -> String {
        let in_upper_case_only = self.config.use_pre111_group_cn_behavior;
        let is_name = |name: &str| match in_upper_case_only {
            true => name == "CN",
            false => name.eq_ignore_ascii_case("cn"),
        };
        let attributes = attributes_of_dn(value).unwrap_or_default();
        let found = attributes.into_iter().find(|(name, _)| is_name(name));
        found.map_or_else(|| value.to_owned(), |(_, name)| name)
    }
}

/// The largest number of groups that Active Directory puts into a logon token is 1015.
const MAX_TOKEN_GROUPS: usize = 1024;

/// The result codes of a bind that speak against the name or the password: constraint violation, no
/// such object, alias problem, invalid DN syntax, inappropriate authentication, invalid credentials,
/// insufficient access rights, unwilling to perform.
fn is_refusal(code: u32) -> bool {
    matches!(code, 19 | 32 | 33 | 34 | 48 | 49 | 50 | 53)
}

/// The result codes of a read of an entry that isn't there, or that the account may not see: operations
/// error (Active Directory wants a bind first), stronger authentication required, no such object,
/// inappropriate authentication, insufficient access rights.
fn is_invisible(code: u32) -> bool {
    matches!(code, 1 | 8 | 32 | 48 | 50)
}

/// Whether the entry says that its account may not log in at present.
fn is_disabled(entry: &LdapEntry) -> bool {
    let [control, locked, lock] = ACCOUNT_STATE_ATTRIBUTES;
    let flags = entry.values(control).find_map(|value| value.parse::<u32>().ok());
    flags.is_some_and(|flags| flags & ACCOUNT_DISABLED != 0)
        || entry.values(locked).any(|since| since.starts_with("000001010000"))
        || entry.values(lock).any(|value| value.eq_ignore_ascii_case("true"))
}

fn filter_error(reason: impl std::fmt::Display) -> Error {
    Error::internal(format!("a filter of config can't be used: {reason}"))
}
