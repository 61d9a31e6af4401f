//! [`Role`]: the stored document of a role, and what is written and deleted with it.

pub(crate) mod deleted;
pub(crate) mod index;

use strongroom_sdk::document_hooks::{DeleteHook, DocumentDelete, DocumentWrite, WriteHook};
use strongroom_sdk::lookup::LookupKey;
use strongroom_sdk::*;

use crate::network_list::NetworkList;
use crate::secret_id_keys::SecretIdKeys;

/// A role: what a login with its role id needs, and what the tokens of its logins may do.
#[derive(Document)]
#[document(
    path = "role/{role_name}",
    seal_wrap,
    validate = check_role,
    WriteHook,
    DeleteHook
)]
pub(crate) struct Role {
    /// Whether a login needs a secret id beside the role id.
    #[field(default = "true")]
    pub(crate) bind_secret_id: bool,
    /// Addresses and networks (CIDR) from which clients may log in; empty for any.
    #[field(legacy = "bound_cidr_list")]
    pub(crate) secret_id_bound_cidrs: NetworkList,
    /// How many logins a secret id is good for, unless it is issued for fewer; 0 for any number.
    pub(crate) secret_id_num_uses: i64,
    /// How long a secret id is valid, unless it is issued for less; 0 for no limit.
    pub(crate) secret_id_ttl: DurationSecs,
    /// The id that clients log in with; a random one by default. Shown at its own path only.
    #[field(hidden)]
    pub(crate) role_id: String,
    /// Whether the secret ids are excluded from replication to other clusters. Can't be changed
    /// later.
    pub(crate) local_secret_ids: bool,
    /// The key of the digests under which the secret ids are stored.
    #[field(internal)]
    pub(crate) lookup_key: Option<LookupKey>,
    /// Identifies this role among all that ever had its name. The secret ids are stored under it, so
    /// those of a deleted role are not those of a new role of the same name.
    #[field(internal, hidden)]
    pub(crate) generation: String,
    #[field(embed, legacy(token_policies = "policies", token_period = "period"), echo)]
    pub(crate) token: TokenFields,
}

impl Role {
    /// A role that nobody can log in as. Looking up a secret id of it takes as long as looking up
    /// one of an existing role.
    pub(crate) fn decoy() -> Self {
        Self {
            bind_secret_id: true,
            secret_id_bound_cidrs: NetworkList::default(),
            secret_id_num_uses: 0,
            secret_id_ttl: DurationSecs::default(),
            role_id: String::new(),
            local_secret_ids: false,
            lookup_key: Some(LookupKey::decoy()),
            generation: "decoy".to_owned(),
            token: TokenFields::default(),
        }
    }

    /// The storage keys of the role's secret ids.
    pub(crate) fn secret_id_keys(&self) -> SecretIdKeys {
        SecretIdKeys::new(&self.generation, self.local_secret_ids)
    }

    /// How many logins a secret id is good for by default; 0 for any number.
    pub(crate) fn default_num_uses(&self) -> u64 {
        u64::try_from(self.secret_id_num_uses).unwrap_or_default()
    }
}

/// Checks the fields together, with the texts of Vault.
fn check_role(role: &Role) -> Result<(), String> {
    if role.secret_id_num_uses < 0 {
        return Err("secret_id_num_uses cannot be negative".to_owned());
    }
    let is_bound =
        !role.secret_id_bound_cidrs.0.0.is_empty() || !role.token.token_bound_cidrs.0.is_empty();
    if !role.bind_secret_id && !is_bound {
        return Err("at least one constraint should be enabled on the role".to_owned());
    }
    Ok(())
}

/// The maximum length of a role id, in bytes.
const MAX_ROLE_ID_BYTES: usize = 4096;

impl WriteHook for Role {
    type Input = ();

    async fn before_write(
        &mut self,
        write: &mut DocumentWrite<'_, Self>,
        (): (),
    ) -> Result<(), Error> {
        self.role_id = self.role_id.trim().to_owned();
        let entropy = write.context().entropy();
        match write.stored() {
            None => {
                self.generation = entropy.uuid();
                self.lookup_key = Some(LookupKey::generate(entropy));
                if self.role_id.is_empty() {
                    self.role_id = entropy.uuid();
                }
            }
            Some(stored) if stored.local_secret_ids != self.local_secret_ids => {
                let text = "local_secret_ids can only be modified during role creation";
                return Err(Error::user(text));
            }
            Some(_) if self.role_id.is_empty() => return Err(Error::user("missing role_id")),
            Some(_) => {}
        }
        let is_printable = self.role_id.chars().all(is_printable);
        if self.role_id.len() > MAX_ROLE_ID_BYTES || !is_printable {
            let text = format!("role_id has at most {MAX_ROLE_ID_BYTES} printable bytes");
            return Err(Error::user(text));
        }
        index::claim(write, &self.role_id).await?;
        self.settle_token_type(write);
        self.warn_of_lifetimes(write).await
    }
}

impl Role {
    /// Replaces the token types that only leave a choice to tokens created by hand.
    fn settle_token_type(&mut self, write: &mut DocumentWrite<'_, Self>) {
        let (setting, given) = match self.token.token_type.0 {
            Some(TokenTypeSetting::DefaultService) => (TokenTypeSetting::Service, "service"),
            Some(TokenTypeSetting::DefaultBatch) => (TokenTypeSetting::Batch, "batch"),
            _ => return,
        };
        self.token.token_type.0 = Some(setting);
        write.warn(format!("default-{given} has no useful meaning; adjusting to {given}"));
    }

    /// Warns if this write sets a lifetime that the mount doesn't allow.
    async fn warn_of_lifetimes(&self, write: &mut DocumentWrite<'_, Self>) -> Result<(), Error> {
        let stored = write.stored().map(|stored| &stored.token);
        let is_new = |field: fn(&TokenFields) -> DurationSecs| {
            stored.is_none_or(|stored| field(stored) != field(&self.token))
        };
        let set = |field: fn(&TokenFields) -> DurationSecs| {
            Some(field(&self.token).0).filter(|_| is_new(field)).unwrap_or_default()
        };
        let (max_ttl, period) = (set(|token| token.token_max_ttl), set(|token| token.token_period));
        if max_ttl.is_zero() && period.is_zero() {
            return Ok(());
        }
        let most = write.context().lifetimes().await?.max;
        if max_ttl > most {
            write.warn(
                "token_max_ttl is greater than the backend mount's maximum TTL value; issued \
                 tokens' max TTL value will be truncated",
            );
        }
        if period > most {
            write.warn(format!(
                "period of \"{period}\" is greater than the backend's maximum lease TTL of \
                 \"{most}\"; the period of issued tokens will be truncated"
            ));
        }
        Ok(())
    }
}

impl DeleteHook for Role {
    /// Removes the index of the role id in one batch with the role, and notes that its secret ids
    /// have to be removed. They are useless from then on: without the role there is neither a key to
    /// compute their digests nor the generation that they are stored under.
    async fn before_delete(&self, delete: &mut DocumentDelete<'_>) -> Result<(), Error> {
        index::release(delete, &self.role_id).await?;
        deleted::note_deleted_role(delete, &self.secret_id_keys()).await
    }
}
