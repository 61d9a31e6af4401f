//! The paths of a set beside its document and its check-out: check-in, forced check-in and status.

use strongroom_schema::field::ObjectWriter;

use super::account_pool::{AccountPool, CheckInOutcome, CheckInRight};
use super::account_record::Borrower;
use super::{AccountLibrary, set_key};
use crate::action::WithoutSecrets;
use crate::field::FieldSpec;
use crate::{CommaList, Context, Error, Input, Response, ResponseData};

/// Which set.
#[derive(Input)]
pub(super) struct SetName {
    /// Name of the set; taken from the path.
    name: String,
}

/// Which accounts of a set to check in.
#[derive(Input)]
pub(super) struct CheckInInput {
    /// Name of the set; taken from the path.
    name: String,
    /// Names of the accounts. If none is given, the only one that the client may check in.
    service_account_names: CommaList,
}

/// The response to a check-in.
#[derive(ResponseData)]
struct CheckInResponse {
    /// The accounts that were checked in.
    check_ins: CommaList,
}

/// The states of the accounts of a set.
struct SetStatus(Vec<(String, Option<Borrower>)>);

impl ResponseData for SetStatus {
    const FIELDS: &'static [FieldSpec] = &[];

    type Secrecy = WithoutSecrets;

    fn write(&self, out: &mut ObjectWriter) {
        for (account, borrower) in &self.0 {
            out.write_object(account, |out| {
                out.field("available", &borrower.is_none());
                let Some(borrower) = borrower else { return };
                for (name, value) in [
                    ("borrower_entity_id", &borrower.borrower_entity_id),
                    ("borrower_accessor", &borrower.borrower_accessor),
                ] {
                    if !value.is_empty() {
                        out.field(name, value);
                    }
                }
            });
        }
    }
}

/// The response to a read of a set's status.
pub(super) async fn read_status<L: AccountLibrary>(
    pool: AccountPool<L>,
    context: Context,
    input: SetName,
) -> Result<Response, Error> {
    let set = context.named::<L::Set>(&input.name).await?;
    let (key, now) = (set_key::<L>(&input.name), context.now());
    let mut accounts = Vec::new();
    for account in &L::settings(&set).service_account_names.0 {
        let record = pool.find(&context, &key, account).await?;
        let lent = record.filter(|record| record.is_lent(now));
        accounts.push((account.clone(), lent.map(|record| record.borrower)));
    }
    Ok(Response::data(&SetStatus(accounts)))
}

/// Checks in accounts of a set: those of the caller, or with `is_forced` those of anyone.
pub(super) async fn check_in<L: AccountLibrary>(
    pool: AccountPool<L>,
    context: Context,
    input: CheckInInput,
    is_forced: bool,
) -> Result<Response, Error> {
    let set = context.named::<L::Set>(&input.name).await?;
    let (key, fields) = (set_key::<L>(&input.name), L::settings(&set));
    let caller = Borrower::of_caller(context.caller());
    let right = match is_forced || fields.disable_check_in_enforcement {
        true => CheckInRight::Anyone,
        false => CheckInRight::Borrower(caller),
    };
    let all = &fields.service_account_names.0;
    let given = input.service_account_names.0;
    let accounts = match given.is_empty() {
        true => only_account(&pool, &context, &key, all, &right).await?.into_iter().collect(),
        false => given,
    };
    if let Some(unknown) = accounts.iter().find(|account| !all.contains(account)) {
        return Err(Error::user(format!("{unknown:?} is no account of this set")));
    }
    let mut checked_in = Vec::new();
    for account in accounts {
        match pool.check_in(&context, Some(&key), &account, right.clone()).await? {
            CheckInOutcome::CheckedIn => checked_in.push(account),
            CheckInOutcome::NotCheckedOut => {}
            CheckInOutcome::OtherBorrower => {
                return Err(Error::denied(format!(
                    "{account:?} was checked out by another client; check it in at {}",
                    strongroom_schema::pattern::RoutePattern::new(L::FORCED_CHECK_IN_PATH)
                        .storage_key(&[&input.name])
                )));
            }
        }
    }
    Ok(Response::data(&CheckInResponse { check_ins: CommaList(checked_in) }))
}

/// The only account of a set whose check-out the client may end; `None` if there is none.
async fn only_account<L: AccountLibrary>(
    pool: &AccountPool<L>,
    context: &Context,
    set: &str,
    accounts: &[String],
    right: &CheckInRight,
) -> Result<Option<String>, Error> {
    let mut found = None;
    for account in accounts {
        let record = pool.find(context, set, account).await?;
        let may_end =
            record.filter(|record| !record.check_out.is_empty()).is_some_and(
                |record| match right {
                    CheckInRight::Borrower(caller) => caller.is_same_client(&record.borrower),
                    CheckInRight::Lease(_) | CheckInRight::Anyone => true,
                },
            );
        if may_end && found.replace(account.clone()).is_some() {
            return Err(Error::user(
                "several accounts are checked out; name those to check in with \
                 service_account_names",
            ));
        }
    }
    Ok(found)
}
