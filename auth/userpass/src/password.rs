//! Password hashes (bcrypt). One takes tens of milliseconds of a processor, so they are computed in
//! the blocking pool.

use std::sync::{Arc, LazyLock};

use strongroom_sdk::{Context, Error, Secret};
use tokio::sync::Semaphore;

use crate::user::User;

/// The cost of all hashes, as in Vault: 2^10 rounds. Imported hashes of another cost are refused:
/// the time of a login would tell which users have one.
const COST: u32 = 10;
/// The length beyond which bcrypt would ignore the rest of a password, in bytes.
const MAX_PASSWORD_BYTES: usize = 72;

/// A hash of the usual cost, of a password that nobody knows.
pub(crate) const DECOY_HASH: &str = "$2b$10$uPKtQbYFBgYTQ0b4tOCO0uUdMOjA3OdqgQ3cbXhBpoVtaC0tn1zAa";

/// Computes and checks hashes in the blocking pool. Logins use at most half of the processors (one,
/// if there is only one), and operators' writes one more; further computations wait, and end with
/// their request.
#[derive(Debug)]
pub(crate) struct PasswordHasher {
    logins: Arc<Semaphore>,
    writes: Arc<Semaphore>,
}

/// The maximum number of logins that are computed at the same time. The blocking pool also serves
/// storage.
const MAX_LOGINS: usize = 8;

impl PasswordHasher {
    /// The hasher of this process, since all mounts share its processors.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: LazyLock<Arc<PasswordHasher>> = LazyLock::new(|| {
            let processors = std::thread::available_parallelism().map_or(1, usize::from);
            let logins = (processors / 2).clamp(1, MAX_LOGINS);
            Arc::new(PasswordHasher {
                logins: Arc::new(Semaphore::new(logins)),
                writes: Arc::new(Semaphore::new(1)),
            })
        });
        SHARED.clone()
    }

    /// The hash of a new password, with a random salt.
    pub(crate) async fn hash(
        &self,
        context: &Context,
        password: Secret<String>,
    ) -> Result<Secret<String>, Error> {
        if password.expose_secret().len() > MAX_PASSWORD_BYTES {
            return Err(Error::user("a password has at most 72 bytes"));
        }
        if password.expose_secret().contains('\0') {
            return Err(Error::user("a password can't contain a NUL character"));
        }
        let mut salt = [0; 16];
        context.entropy().fill(&mut salt);
        let compute = move || bcrypt::hash_with_salt(password.expose_secret(), COST, salt);
        let parts = compute_with(&self.writes, compute).await?;
        let parts = parts.map_err(|_| Error::internal("the password could not be hashed"))?;
        Ok(Secret::new(parts.format_for_version(bcrypt::Version::TwoB)))
    }

    /// Checks an imported hash: its form and cost, and that passwords can be checked against it.
    pub(crate) async fn check_hash(&self, hash: &Secret<String>) -> Result<(), Error> {
        let text = hash.expose_secret();
        let has_prefix = ["$2a$10$", "$2b$10$", "$2y$10$"].iter().any(|it| text.starts_with(it));
        let invalid =
            || Error::user("password_hash must be a bcrypt hash of the cost 10, such as $2a$10$…");
        if !has_prefix || text.len() != DECOY_HASH.len() {
            return Err(invalid());
        }
        let hash = Secret::from_text(text);
        let compute = move || bcrypt::verify("", hash.expose_secret()).is_ok();
        let is_readable = compute_with(&self.writes, compute).await?;
        is_readable.then_some(()).ok_or_else(invalid)
    }

    /// Whether the password is that of the user. A password that can't be hashed, and a stored hash
    /// that can't be read, take as long as others.
    pub(crate) async fn verify(
        &self,
        user: Arc<User>,
        password: Secret<String>,
    ) -> Result<bool, Error> {
        let compute = move || {
            let stored = user.password_hash.as_ref();
            let given = password.expose_secret();
            let fits = given.len() <= MAX_PASSWORD_BYTES && !given.contains('\0');
            let hash = stored.map_or(DECOY_HASH, |hash| hash.expose_secret());
            let equal = bcrypt::verify(given, hash);
            if equal.is_err() {
                let _ = bcrypt::verify(given, DECOY_HASH);
                tracing::error!("the stored password hash of a user can't be read");
            }
            equal.unwrap_or(false) && fits && stored.is_some()
        };
        compute_with(&self.logins, compute).await
    }
}

/// Runs a computation in the blocking pool, once a permit is free.
async fn compute_with<T: Send + 'static>(
    permits: &Arc<Semaphore>,
    compute: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let interrupted = |_| Error::internal("the password computation was interrupted");
    // The permit moves along: if the request ends first, the processor is still occupied.
    let permit = permits.clone().acquire_owned().await;
    let permit = permit.map_err(|_| Error::internal("the password hasher is closed"))?;
    let work = move || {
        let _permit = permit;
        compute()
    };
    tokio::task::spawn_blocking(work).await.map_err(interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_decoy_costs_as_much_as_a_new_hash() {
        let parts: bcrypt::HashParts = DECOY_HASH.parse().unwrap();
        assert_eq!(parts.get_cost(), COST);
        assert!(!bcrypt::verify("correct horse", DECOY_HASH).unwrap());
    }
}
