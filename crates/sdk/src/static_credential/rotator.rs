//! [`Rotator`]: rotates the passwords of the accounts of one kind.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use strongroom_schema::pattern::RoutePattern;
use strongroom_types::{Fields, KeyedSerialQueue, Timestamp, Ttl};

use super::account_claim::AccountClaim;
use super::account_store::{AccountStore, QueueEntry, StoredAccount};
use super::responses::{ImportFields, StaticCredentialResponse};
use super::role_change::{Adoption, RoleRemoval, RoleWrite, new_account};
use super::{StaticAccount, StaticCredential};
use crate::action::{Response, read_input};
use crate::credential::RequiredDocument;
use crate::document::Document;
use crate::document_hooks::WriteAnswer;
use crate::field::DurationSecs;
use crate::linked_records::LinkedRecords;
use crate::outside_call::with_deadline;
use crate::password_change::{PasswordChange, time_for_calls};
use crate::stored_document::{delete_jointly, merge_sent, preview_merge};
use crate::{Context, Error, Secret};

/// How many rotations may wait for their turn, for all accounts together.
const MAX_WAITING_ROTATIONS: usize = 1024;
/// How many passwords are rotated at the same time.
const MAX_CONCURRENT_ROTATIONS: usize = 8;
/// How often roles without a state are searched for: those whose document was written just before the
/// process died or the request was dropped.
const SEARCH_INTERVAL: Duration = Duration::from_secs(3600);
/// How many places of the queue are read at a time.
const QUEUE_PAGE: usize = 100;
/// How long one run of the queue's task goes on waiting for rotations that will be due. Then the
/// host's next periodic call goes on.
const QUEUE_RUN: Duration = Duration::from_secs(55);

/// The accounts of one kind of static credential.
pub(super) struct Rotator<S> {
    credential: Arc<S>,
    /// Serialises the changes to the state of one account, by its mount and the path of its role: all
    /// mounts of the engine share the rotator.
    turns: KeyedSerialQueue<String>,
    /// When roles without a state were last searched for, by mount and monotonic clock.
    last_searches: Mutex<HashMap<String, Duration>>,
}

/// What a rotation came to.
enum RotationOutcome {
    /// The password was rotated.
    Rotated,
    /// It was not due, or its role no longer exists.
    Skipped,
    /// Its window has passed, and it is planned for the next scheduled time.
    Postponed,
    /// It failed, and is repeated later.
    Failed(Error),
}

impl<S: StaticCredential> Rotator<S> {
    pub(super) fn new(credential: S) -> Self {
        let turns = KeyedSerialQueue::new(MAX_WAITING_ROTATIONS);
        Self { credential: Arc::new(credential), turns, last_searches: Mutex::default() }
    }

    /// The response to a read of a role's password.
    pub(super) async fn read_credential(
        &self,
        context: &Context,
        name: &str,
    ) -> Result<Response, Error> {
        let role = context.named::<S::Role>(name).await?;
        let rotation = role.rotation();
        let stored = AccountStore::new(context).get(&role_path::<S>(name)).await?;
        let state = stored.map(|stored| stored.state);
        let Some((state, password)) =
            state.as_ref().and_then(|state| Some((state, state.present.as_ref()?)))
        else {
            return Err(Error::user(
                "the password of the account has not been rotated yet; rotate it, or wait until the \
                 outside system can be reached",
            ));
        };
        let schedule = rotation.rotation_schedule.as_ref();
        let period = rotation.rotation_period;
        let response = Response::unleased_secret(&StaticCredentialResponse {
            username: state.account.clone(),
            password: Secret::from_text(password.expose_secret()),
            last_vault_rotation: state.last_rotation,
            ttl: DurationSecs(Ttl::from_duration(state.next_attempt.since(context.now()))),
            next_vault_rotation: state.next_attempt,
            rotation_period: (!period.0.is_zero()).then_some(period),
            rotation_schedule: schedule.map(|schedule| schedule.as_str().to_owned()),
        });
        Ok(match state.candidate {
            Some(_) => response.warn(
                "a rotation got no response: the account may have its next password already; the \
                 rotation is repeated",
            ),
            None => response,
        })
    }

    /// Rotates the password of a role that was requested to be rotated.
    pub(super) async fn rotate_now(
        self: &Arc<Self>,
        context: &Context,
        name: &str,
    ) -> Result<Response, Error> {
        let role = context.named::<S::Role>(name).await?;
        self.ensure_state(context, name, role).await?;
        match self.rotate(context, name, None).await? {
            RotationOutcome::Rotated | RotationOutcome::Postponed => Ok(Response::no_content()),
            RotationOutcome::Skipped => Err(Error::user("the role was deleted meanwhile")),
            RotationOutcome::Failed(error) => Err(error),
        }
    }

    /// Writes a role, in one batch with the state of its account. If the role is a new one, its password
    /// is then rotated; a failure of that is a warning for the client.
    pub(super) async fn write_role(
        self: &Arc<Self>,
        context: &Context,
        key: &str,
        name: &str,
        sent: &Fields,
    ) -> Result<WriteAnswer, Error> {
        let import: ImportFields = read_input(sent)?;
        let rotates_at_once = !import.skip_import_rotation;
        let (adoption, mut answer) = match context.services().mount.storage.is_atomic() {
            true => self.write_role_in_turn(context, key, name, sent, import).await?,
            // Without preconditions, two roles could take the same account at the same time.
            false => {
                let role = preview_merge::<S::Role>(context.documents(), key, sent).await?;
                let account = AccountClaim::new(context, name, &role)?.turn_key();
                let (rotator, context) = (self.clone(), context.clone());
                let (key, name, sent) = (key.to_owned(), name.to_owned(), sent.clone());
                let work = async move {
                    rotator.write_role_in_turn(&context, &key, &name, &sent, import).await
                };
                self.turns.run(&account, work).await??
            }
        };
        match adoption {
            Adoption::New if rotates_at_once => {}
            Adoption::New | Adoption::Known => return Ok(answer),
            Adoption::PasswordIgnored => {
                answer.warn(
                    "the password was ignored: the engine has rotated it, and knows the present one",
                );
                return Ok(answer);
            }
        }
        if let RotationOutcome::Failed(error) = self.rotate(context, name, None).await? {
            answer.warn(format!(
                "the password could not be rotated yet, and is rotated later: {error}"
            ));
        }
        Ok(answer)
    }

    async fn write_role_in_turn(
        &self,
        context: &Context,
        key: &str,
        name: &str,
        sent: &Fields,
        import: ImportFields,
    ) -> Result<(Adoption, WriteAnswer), Error> {
        let (context, path) = (context.clone(), role_path::<S>(name));
        let (key, name, sent) = (key.to_owned(), name.to_owned(), sent.clone());
        let turn = turn_key(&context, &path);
        let work = async move {
            let (context, outcome) = (&context, Adoption::Known);
            let mut joint =
                RoleWrite { context, name: &name, path: &path, import: &import, outcome };
            let answer = merge_sent::<S::Role>(context, &key, &name, &sent, &mut joint).await?;
            Ok((joint.outcome, answer))
        };
        self.turns.run(&turn, work).await?
    }

    /// Deletes a role, in one batch with the state of its account.
    pub(super) async fn delete_role(
        &self,
        context: &Context,
        key: &str,
        name: &str,
    ) -> Result<WriteAnswer, Error> {
        let (context, path) = (context.clone(), role_path::<S>(name));
        let (key, name) = (key.to_owned(), name.to_owned());
        let turn = turn_key(&context, &path);
        let work = async move {
            let context = &context;
            let mut joint = RoleRemoval { context, name: &name, path: &path };
            let answer = delete_jointly::<S::Role>(context, &key, &name, &mut joint).await?;
            // On a host without batches, an earlier delete may have left it.
            AccountStore::new(context).delete(&path).await?;
            Ok(answer)
        };
        self.turns.run(&turn, work).await?
    }

    /// Rotates the passwords that are due, and waits a while for those that will be.
    pub(super) async fn rotate_due(self: &Arc<Self>, context: &Context) -> Result<(), Error> {
        let mut failure = self.search_for_roles_without_state(context).await.err();
        let folder = role_folder::<S>();
        let until = context.now().plus(QUEUE_RUN);
        // Entries that can't be handled stay where they are, and are left out for the rest of the run.
        let mut unusable = BTreeSet::new();
        loop {
            let now = context.now();
            let queue = AccountStore::new(context).first_in_queue(&folder, QUEUE_PAGE).await?;
            let next = queue.iter().map(|entry| entry.due).find(|due| *due > now);
            let is_due = |entry: &QueueEntry| entry.due <= now && !unusable.contains(&entry.key);
            let due: Vec<QueueEntry> = queue.into_iter().filter(is_due).collect();
            if due.is_empty() {
                match next.filter(|next| *next <= until) {
                    Some(next) => context.clock().sleep_until(next).await,
                    None => break,
                }
                continue;
            }
            let rotations = stream::iter(due).map(|entry| async {
                let key = entry.key.clone();
                (key, self.rotate_entry(context, entry).await)
            });
            let mut rotations = rotations.buffer_unordered(MAX_CONCURRENT_ROTATIONS);
            while let Some((key, outcome)) = rotations.next().await {
                match outcome {
                    Ok(RotationOutcome::Failed(error)) => failure = Some(error),
                    Ok(_) => {}
                    Err(error) => {
                        failure = Some(error);
                        unusable.insert(key);
                    }
                }
            }
        }
        failure.map_or(Ok(()), Err)
    }

    async fn rotate_entry(
        self: &Arc<Self>,
        context: &Context,
        entry: QueueEntry,
    ) -> Result<RotationOutcome, Error> {
        let outcome = self.rotate(context, &entry.name, Some(entry.due)).await?;
        if matches!(outcome, RotationOutcome::Skipped) {
            AccountStore::new(context).delete_place(&entry).await?;
        }
        Ok(outcome)
    }

    /// Gives roles a state that have none, because the process died after their document was written.
    async fn search_for_roles_without_state(
        self: &Arc<Self>,
        context: &Context,
    ) -> Result<(), Error> {
        let now = context.clock().monotonic_time();
        let mount = context.services().mount.uuid.clone();
        let last = self.lock_last_searches().get(&mount).copied();
        if last.is_some_and(|last| now.saturating_sub(last) < SEARCH_INTERVAL) {
            return Ok(());
        }
        let documents = context.documents();
        let (mut after, mut failure) = (None, None);
        loop {
            let page = documents.list::<S::Role>(&[], after.as_deref(), QUEUE_PAGE).await?;
            for name in &page.names {
                // One role must not keep the others from being found.
                if let Err(error) = self.adopt_if_unknown(context, name).await {
                    failure = Some(error);
                }
            }
            after = page.next;
            if after.is_none() {
                self.lock_last_searches().insert(mount, now);
                return failure.map_or(Ok(()), Err);
            }
        }
    }

    fn lock_last_searches(&self) -> MutexGuard<'_, HashMap<String, Duration>> {
        self.last_searches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn adopt_if_unknown(
        self: &Arc<Self>,
        context: &Context,
        name: &str,
    ) -> Result<(), Error> {
        match context.documents().get::<S::Role>(&[name]).await? {
            Some(role) => self.ensure_state(context, name, role).await,
            None => Ok(()),
        }
    }

    /// Creates the state of an account that has none, and claims the account for its role, as the write
    /// of a role does. Earlier versions did neither in one batch with the role.
    async fn ensure_state(
        &self,
        context: &Context,
        name: &str,
        role: Arc<S::Role>,
    ) -> Result<(), Error> {
        let (name, path, context) = (name.to_owned(), role_path::<S>(name), context.clone());
        let key = turn_key(&context, &path);
        let work = async move {
            let (context, store) = (&context, AccountStore::new(&context));
            let mut records = LinkedRecords::default();
            let claim = AccountClaim::new(context, &name, &*role)?;
            let is_claimed = claim.add(&*role, &mut records).await?;
            let is_own = |stored: &StoredAccount| stored.state.account == role.account();
            let has_state = store.get(&path).await?.as_ref().is_some_and(is_own);
            if !has_state {
                let fresh = new_account(context, &path, &*role, &ImportFields::default()).await?;
                AccountStore::add_write(&path, &fresh, &mut records);
            }
            match has_state && !is_claimed {
                true => Ok(()),
                false => store.commit(records).await,
            }
        };
        self.turns.run(&key, work).await?
    }

    /// Rotates the password of an account: at once, or if it is due since `queued_at` according to the
    /// queue.
    async fn rotate(
        self: &Arc<Self>,
        context: &Context,
        name: &str,
        queued_at: Option<Timestamp>,
    ) -> Result<RotationOutcome, Error> {
        let (rotator, context, name) = (self.clone(), context.clone(), name.to_owned());
        let key = turn_key(&context, &role_path::<S>(&name));
        let work = async move { rotator.rotate_in_turn(&context, &name, queued_at).await };
        self.turns.run(&key, work).await?
    }

    async fn rotate_in_turn(
        &self,
        context: &Context,
        name: &str,
        queued_at: Option<Timestamp>,
    ) -> Result<RotationOutcome, Error> {
        let (store, path) = (AccountStore::new(context), role_path::<S>(name));
        let Some(mut stored) = store.get(&path).await? else { return Ok(RotationOutcome::Skipped) };
        let Some(role) = context.documents().get::<S::Role>(&[name]).await? else {
            store.delete(&path).await?;
            return Ok(RotationOutcome::Skipped);
        };
        let rotation = role.rotation();
        if let Some(queued_at) = queued_at {
            if stored.state.next_attempt != queued_at {
                return Ok(RotationOutcome::Skipped);
            }
            if stored.state.has_missed_window(rotation, context.now()) {
                stored.state.set_next(rotation.next_rotation(context.now()));
                store.put(&path, &mut stored).await?;
                return Ok(RotationOutcome::Postponed);
            }
        }
        if stored.state.may_be_busy(context.now()) {
            return match queued_at {
                Some(_) => {
                    stored.state.next_attempt = stored.state.busy_until;
                    store.put(&path, &mut stored).await?;
                    Ok(RotationOutcome::Postponed)
                }
                None => Ok(RotationOutcome::Failed(Error::conflict(
                    "a rotation of this password may be under way; try again",
                ))),
            };
        }
        match self.change_password(context, &store, &path, &role, &mut stored).await {
            Ok(()) => {
                stored.state.succeed(rotation, context.now());
                store.put(&path, &mut stored).await?;
                Ok(RotationOutcome::Rotated)
            }
            Err(error) => {
                stored.state.fail(rotation, context.now(), &error.to_string());
                store.put(&path, &mut stored).await?;
                Ok(RotationOutcome::Failed(error))
            }
        }
    }

    /// Stores a new password as the candidate and sets it in the outside system. Afterwards the state
    /// in memory has the candidate only if it was set, or may have been.
    async fn change_password(
        &self,
        context: &Context,
        store: &AccountStore<'_>,
        path: &str,
        role: &S::Role,
        stored: &mut StoredAccount,
    ) -> Result<(), Error> {
        let config = S::Config::load_required(context, &[]).await?;
        let is_repeated = stored.state.candidate.is_some();
        if !is_repeated {
            let new = context.new_password().await?;
            stored.state.candidate = Some(new);
        }
        let (begun, timeout) = (context.now(), time_for_calls(S::timeout(&config), S::CALLS));
        stored.state.begin_call(begun, timeout);
        store.put(path, stored).await?;
        let Some(new) = &stored.state.candidate else {
            return Err(Error::internal("a rotation has no new password"));
        };
        let change = PasswordChange {
            config: &*config,
            role,
            account: &stored.state.account,
            new,
            present: stored.state.present.as_ref(),
            is_repeated,
            context,
        };
        let call = self.credential.set_role_password(&change);
        let (until, what) = (begun.plus(timeout), "set password");
        let outcome = with_deadline(context, until, timeout, what, call).await;
        if let Err(error) = &outcome
            && !error.is_uncertain()
            && !is_repeated
        {
            stored.state.candidate = None;
        }
        outcome
    }
}

/// What identifies an account among those of all mounts.
fn turn_key(context: &Context, role_path: &str) -> String {
    format!("{}/{role_path}", context.services().mount.uuid)
}

/// The path of a role, by which its account is stored.
fn role_path<S: StaticCredential>(name: &str) -> String {
    RoutePattern::new(S::Role::PATH).storage_key(&[name])
}

/// The folder of the roles.
fn role_folder<S: StaticCredential>() -> String {
    role_path::<S>("")
}
