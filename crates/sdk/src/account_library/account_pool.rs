//! [`AccountPool`]: lends the accounts of one kind of library, and takes them back.

use std::sync::Arc;

use strongroom_types::{KeyedSerialQueue, Timestamp};

use super::AccountLibrary;
use super::account_record::{AccountRecord, Borrower};
use super::account_store::{IndexChange, LibraryStore, StoredAccount};
use crate::outside_call::with_deadline;
use crate::password_change::{PasswordChange, time_for_calls};
use crate::required_document::RequiredDocument;
use crate::{Context, Error, Secret};

/// How many changes of accounts may wait for their turn, for all accounts together.
const MAX_WAITING_CHANGES: usize = 1024;

/// The accounts of one kind of library. All changes of one account happen one after the other, and
/// each runs to its end even if its request is dropped.
pub(super) struct AccountPool<L> {
    library: Arc<L>,
    turns: Arc<KeyedSerialQueue<String>>,
}

impl<L> Clone for AccountPool<L> {
    fn clone(&self) -> Self {
        Self { library: self.library.clone(), turns: self.turns.clone() }
    }
}

/// A check-out that is to be made.
#[derive(Clone, Debug)]
pub(super) struct Loan {
    /// Its unique name.
    pub(super) check_out: String,
    pub(super) borrower: Borrower,
    /// The end of the longest lease that it can have.
    pub(super) until: Timestamp,
    /// When nobody waits for it any more. Nothing is lent from then on: the intent may be undone
    /// before the account is.
    pub(super) give_up_at: Timestamp,
}

/// Who ends a check-out.
#[derive(Clone, Debug)]
pub(super) enum CheckInRight {
    /// The lease of the check-out with this unique name.
    Lease(String),
    /// A client, who must have made it.
    Borrower(Borrower),
    /// A client who may end any check-out of the set.
    Anyone,
}

/// How the end of a check-out went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CheckInOutcome {
    /// The password was rotated, and the account can be checked out again.
    CheckedIn,
    /// The account isn't checked out, or by another check-out.
    NotCheckedOut,
    /// Another client checked it out.
    OtherBorrower,
}

/// What identifies an account among those of all mounts, which share the pool.
fn turn_key(context: &Context, account: &str) -> String {
    format!("{}/{account}", context.services().mount.uuid)
}

impl<L: AccountLibrary> AccountPool<L> {
    pub(super) fn new(library: L) -> Self {
        let turns = Arc::new(KeyedSerialQueue::new(MAX_WAITING_CHANGES));
        Self { library: Arc::new(library), turns }
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        turn: String,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        self.turns.run(&turn, work).await?
    }

    /// Lends one of the accounts of a set: one that is ready, or one that can be made ready.
    pub(super) async fn check_out(
        &self,
        context: &Context,
        set: &str,
        accounts: &[String],
        loan: &Loan,
    ) -> Result<(String, Secret<String>), Error> {
        for account in accounts {
            let stored = LibraryStore::new(context).get(account).await?;
            let is_ready = stored.is_some_and(|it| it.record.ready_password().is_some());
            if is_ready
                && let Some(password) = self.lend(context, set, account, loan, false).await?
            {
                return Ok((account.clone(), password));
            }
        }
        let mut failure = None;
        for account in accounts {
            match self.lend(context, set, account, loan, true).await {
                Ok(Some(password)) => return Ok((account.clone(), password)),
                Ok(None) => {}
                // Another account may be one that the outside system knows.
                Err(error) => failure = Some(error),
            }
        }
        let none = || Error::user("no service accounts are available for check-out");
        Err(failure.unwrap_or_else(none))
    }

    /// Lends an account and returns its password; `None` if somebody has it, or if it would have to be
    /// rotated first and must not be.
    async fn lend(
        &self,
        context: &Context,
        set: &str,
        account: &str,
        loan: &Loan,
        may_rotate: bool,
    ) -> Result<Option<Secret<String>>, Error> {
        let (pool, context, set) = (self.clone(), context.clone(), set.to_owned());
        let (name, loan) = (account.to_owned(), loan.clone());
        let turn = turn_key(&context, account);
        let work = async move {
            check_still_awaited(&context, &loan)?;
            let store = LibraryStore::new(&context);
            let stored = store.get(&name).await?;
            let mut stored =
                stored.unwrap_or_else(|| StoredAccount::new(&name, AccountRecord::new(&set)));
            if stored.record.set != set || stored.record.is_lent(context.now()) {
                return Ok(None);
            }
            if stored.record.ready_password().is_none() {
                if !may_rotate {
                    return Ok(None);
                }
                pool.rotate_in_turn(&context, &name, &mut stored).await?;
                check_still_awaited(&context, &loan)?;
            }
            let Some(password) = stored.record.ready_password() else { return Ok(None) };
            let password = Secret::from_text(password.expose_secret());
            stored.record.lend(&loan.check_out, loan.borrower, loan.until);
            store.put(&name, &mut stored, IndexChange::Add(&loan.check_out)).await?;
            Ok(Some(password))
        };
        self.in_turn(turn, work).await
    }

    /// Ends the check-out with this unique name.
    pub(super) async fn check_in_by_name(
        &self,
        context: &Context,
        check_out: &str,
    ) -> Result<CheckInOutcome, Error> {
        let Some(account) = LibraryStore::new(context).account_of(check_out).await? else {
            return Ok(CheckInOutcome::NotCheckedOut);
        };
        let right = CheckInRight::Lease(check_out.to_owned());
        self.check_in(context, None, &account, right).await
    }

    /// Ends the check-out of an account, which is in this set unless that is `None`.
    pub(super) async fn check_in(
        &self,
        context: &Context,
        set: Option<&str>,
        account: &str,
        right: CheckInRight,
    ) -> Result<CheckInOutcome, Error> {
        let (pool, context, set) = (self.clone(), context.clone(), set.map(str::to_owned));
        let name = account.to_owned();
        let turn = turn_key(&context, account);
        let work = async move {
            let store = LibraryStore::new(&context);
            let stored = store.get(&name).await?;
            let stored = stored.filter(|it| set.is_none_or(|set| it.record.set == set));
            let stored = stored.filter(|it| !it.record.check_out.is_empty());
            let Some(mut stored) = stored else {
                if let CheckInRight::Lease(check_out) = &right {
                    store.forget(check_out).await?;
                }
                return Ok(CheckInOutcome::NotCheckedOut);
            };
            match &right {
                CheckInRight::Lease(check_out) if *check_out != stored.record.check_out => {
                    store.forget(check_out).await?;
                    return Ok(CheckInOutcome::NotCheckedOut);
                }
                CheckInRight::Borrower(who) if !who.is_same_client(&stored.record.borrower) => {
                    return Ok(CheckInOutcome::OtherBorrower);
                }
                _ => {}
            }
            pool.rotate_in_turn(&context, &name, &mut stored).await?;
            Ok(CheckInOutcome::CheckedIn)
        };
        self.in_turn(turn, work).await
    }

    /// Extends a check-out after a renewal of its lease. Returns whether it still exists.
    pub(super) async fn extend(
        &self,
        context: &Context,
        account: &str,
        check_out: &str,
        until: Timestamp,
    ) -> Result<bool, Error> {
        let (context, name) = (context.clone(), account.to_owned());
        let check_out = check_out.to_owned();
        let turn = turn_key(&context, account);
        let work = async move {
            let store = LibraryStore::new(&context);
            let stored = store.get(&name).await?;
            let is_same = |it: &StoredAccount| it.record.check_out == check_out;
            let Some(mut stored) = stored.filter(is_same).filter(|it| !it.record.is_returning)
            else {
                return Ok(false);
            };
            if stored.record.lent_until.is_none_or(|before| before < until) {
                stored.record.lent_until = Some(until);
                store.put(&name, &mut stored, IndexChange::Unchanged).await?;
            }
            Ok(true)
        };
        self.in_turn(turn, work).await
    }

    /// Makes an account one of this set. An account that another set no longer names changes over.
    pub(super) async fn claim(
        &self,
        context: &Context,
        set: &str,
        account: &str,
    ) -> Result<(), Error> {
        let (context, name, set) = (context.clone(), account.to_owned(), set.to_owned());
        let turn = turn_key(&context, account);
        let work = async move {
            let store = LibraryStore::new(&context);
            let Some(mut stored) = store.get(&name).await? else {
                let mut stored = StoredAccount::new(&name, AccountRecord::new(&set));
                return store.put(&name, &mut stored, IndexChange::Unchanged).await;
            };
            if stored.record.set == set {
                return Ok(());
            }
            let other = context.documents().get_by_key::<L::Set>(&stored.record.set).await?;
            let is_named = other
                .is_some_and(|other| L::settings(&other).service_account_names.0.contains(&name));
            if is_named || !stored.record.check_out.is_empty() {
                return Err(Error::user(format!("{name:?} belongs to another set")));
            }
            stored.record.set = set;
            store.put(&name, &mut stored, IndexChange::Unchanged).await
        };
        self.in_turn(turn, work).await
    }

    /// Deletes what is stored about an account that its set no longer names. An account that is
    /// checked out meanwhile is kept, and can be checked in.
    pub(super) async fn release(
        &self,
        context: &Context,
        set: &str,
        account: &str,
    ) -> Result<(), Error> {
        let (context, name, set) = (context.clone(), account.to_owned(), set.to_owned());
        let turn = turn_key(&context, account);
        let work = async move {
            let store = LibraryStore::new(&context);
            let stored = store.get(&name).await?.filter(|it| it.record.set == set);
            match stored.filter(|it| it.record.check_out.is_empty()) {
                Some(stored) => store.delete(&stored).await,
                None => Ok(()),
            }
        };
        self.in_turn(turn, work).await
    }

    /// What is stored about an account of this set.
    pub(super) async fn find(
        &self,
        context: &Context,
        set: &str,
        account: &str,
    ) -> Result<Option<AccountRecord>, Error> {
        let stored = LibraryStore::new(context).get(account).await?;
        Ok(stored.map(|stored| stored.record).filter(|record| record.set == set))
    }

    /// Gives an account a new password, which ends its check-out. The password is stored before the
    /// outside system is called; if the outcome of an earlier call is unknown, the same one is set
    /// again.
    async fn rotate_in_turn(
        &self,
        context: &Context,
        account: &str,
        stored: &mut StoredAccount,
    ) -> Result<(), Error> {
        let store = LibraryStore::new(context);
        let config = L::Config::load_required(context, &[]).await?;
        let is_repeated = stored.record.candidate.is_some();
        if !is_repeated {
            let new = context.new_password().await?;
            stored.record.candidate = Some(new);
            stored.record.is_returning = !stored.record.check_out.is_empty();
            store.put(account, stored, IndexChange::Unchanged).await?;
        }
        let outcome = self.set_password(context, &config, account, stored, is_repeated).await;
        if let Err(error) = outcome {
            if !error.is_uncertain() && !is_repeated {
                stored.record.candidate = None;
                store.put(account, stored, IndexChange::Unchanged).await?;
            }
            return Err(error);
        }
        let ended = stored.record.become_ready();
        let index = match ended.as_str() {
            "" => IndexChange::Unchanged,
            ended => IndexChange::Remove(ended),
        };
        store.put(account, stored, index).await
    }

    async fn set_password(
        &self,
        context: &Context,
        config: &L::Config,
        account: &str,
        stored: &StoredAccount,
        is_repeated: bool,
    ) -> Result<(), Error> {
        let Some(new) = &stored.record.candidate else {
            return Err(Error::internal("a rotation has no new password"));
        };
        let present = stored.record.password.as_ref();
        let change =
            PasswordChange { config, role: &(), account, new, present, is_repeated, context };
        let timeout = time_for_calls(L::timeout(config), L::CALLS);
        let (until, what) = (context.now().plus(timeout), "set password");
        let call = self.library.set_password(&change);
        with_deadline(context, until, timeout, what, call).await
    }
}

/// Refuses a check-out whose turn comes after its request has ended.
fn check_still_awaited(context: &Context, loan: &Loan) -> Result<(), Error> {
    match context.now() < loan.give_up_at {
        true => Ok(()),
        false => Err(Error::unanswered(
            context.outside_system(),
            "check out",
            "waited too long for its turn",
        )),
    }
}
