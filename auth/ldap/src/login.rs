//! [`DirectoryLogin`]: logins with names and passwords of the directory, and renewals.

use std::collections::BTreeSet;
use std::sync::Arc;

use strongroom_sdk::ldap::LdapClient;
use strongroom_sdk::*;

use crate::config::LdapConfig;
use crate::directory::{DirectoryLookup, DirectoryUser};
use crate::policies::{GroupPolicies, UserPolicies};
use crate::user_name::{comparable_name, stored_name};

/// The login with a name and a password of the directory.
pub(crate) struct DirectoryLogin(pub(crate) Arc<LdapClient>);

/// Who logs in, and the password.
#[derive(Input)]
pub(crate) struct PasswordInput {
    /// Name of the user; taken from the path.
    username: String,
    /// Password of the user.
    password: Option<Secret<String>>,
}

/// The metadata that has the name of the user, by which a renewal finds the user.
const USERNAME: &str = "username";

/// A user with everything that decides about the user's tokens.
struct UserRights {
    user: DirectoryUser,
    /// Groups of the directory and those in `users/`.
    groups: Vec<String>,
    terms: TokenTerms,
    has_directory_groups: bool,
}

impl Login for DirectoryLogin {
    const PATH: &'static str = "login/{username..}";
    const HELP: &'static str = "Logs a user in with a password of the directory.";
    const REFUSED: &'static str = "ldap operation failed: failed to bind as user";
    type Input = PasswordInput;

    /// Spellings that directories take for one name are one name here, whatever the configuration says
    /// about upper and lower case.
    fn alias(&self, input: &PasswordInput) -> Option<String> {
        Some(comparable_name(&input.username))
    }

    fn check_input(&self, input: &PasswordInput) -> Result<(), Error> {
        let text = "password cannot be of zero length when passwordless binds are being denied";
        input.password.as_ref().map(drop).ok_or_else(|| Error::user(text))
    }

    async fn authenticate(
        &self,
        request: &LoginRequest<'_>,
        input: PasswordInput,
    ) -> Result<LoginGrant, LoginError> {
        let Some(password) = input.password else { return Err(LoginError::refused()) };
        let context = request.context();
        let config = configuration(context).await?;
        let session = self.0.session(context, config.directory()).await.map_err(Error::from)?;
        let mut lookup = DirectoryLookup::new(context, &config, session);
        let verified = lookup.verify_user(&input.username, &password).await;
        let (bound, user) = match verified {
            Ok(verified) => verified,
            Err(error) => {
                lookup.release();
                return Err(error);
            }
        };
        let rights = rights_of(context, &config, &mut lookup, user).await?;
        lookup.release();
        let (has_groups, terms) = (rights.has_directory_groups, rights.terms.clone());
        let client = bound.attest(rights);
        let alias = client.name_from(|rights| Some(rights.user.alias.clone()))?;
        let name = client.name_from(|rights| Some(rights.user.user_name.clone()))?;
        let groups = client.names_from(|rights| rights.groups.clone());
        let identity =
            Identity::new(&alias).with_display_name(&name).with_metadata(USERNAME, &name);
        let identity = groups.iter().fold(identity, Identity::with_group);
        let grant = LoginGrant::with_terms(identity, terms);
        Ok(match has_groups {
            true => grant,
            false => grant.warn(format!(
                "no LDAP groups found in groupDN {:?}; only policies from locally-defined groups \
                 available",
                config.groupdn
            )),
        })
    }

    /// The user must still be in the directory, and must still have the same policies. The password
    /// isn't stored, so it isn't checked again.
    async fn renew(&self, renewal: &LoginRenewal<'_>) -> Result<TokenTerms, Error> {
        let context = renewal.context();
        let config = configuration(context).await?;
        let name = renewal.metadata(USERNAME).unwrap_or_default();
        let session = self.0.session(context, config.directory()).await?;
        let mut lookup = DirectoryLookup::new(context, &config, session);
        let found = lookup.find_again(name).await?;
        let user = found.filter(|user| user.alias == renewal.alias()).ok_or_else(|| {
            Error::user("the directory doesn't show the user of this token any more: log in again")
        })?;
        let rights = rights_of(context, &config, &mut lookup, user).await?;
        lookup.release();
        Ok(rights.terms)
    }
}

async fn configuration(context: &Context) -> Result<Arc<LdapConfig>, Error> {
    let config = context.documents().get::<LdapConfig>(&[]).await?;
    config.ok_or_else(|| Error::internal("the auth method isn't configured: write config"))
}

/// The groups of a user and what they permit.
async fn rights_of(
    context: &Context,
    config: &LdapConfig,
    lookup: &mut DirectoryLookup<'_>,
    user: DirectoryUser,
) -> Result<UserRights, Error> {
    let of_directory = lookup.groups_of(&user).await?;
    let has_directory_groups = !of_directory.is_empty();
    let is_case_sensitive = config.case_sensitive_names;
    let key = stored_name(&user.user_name, is_case_sensitive);
    let stored = context.documents().get::<UserPolicies>(&[&key]).await?;
    let mut groups: BTreeSet<String> = of_directory;
    let mut policies = PolicyNames::default();
    if let Some(stored) = &stored {
        groups.extend(stored.groups.0.iter().cloned());
        policies = policies.with(&stored.policies);
    }
    for group in &groups {
        let key = stored_name(group, is_case_sensitive);
        if let Some(group) = context.documents().get::<GroupPolicies>(&[&key]).await? {
            policies = policies.with(&group.policies);
        }
    }
    let terms = TokenTerms::from(&config.token).with_policies(&policies);
    Ok(UserRights { user, groups: groups.into_iter().collect(), terms, has_directory_groups })
}
