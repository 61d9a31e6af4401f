//! [`CheckOut`]: the lease of an account that is checked out.

use std::time::Duration;

use super::account_pool::{AccountPool, CheckInOutcome, Loan};
use super::account_record::Borrower;
use super::{AccountLibrary, set_key};
use crate::{
    ByName, Credential, CredentialName, Error, Identifier, IssueOperation, IssueRequest,
    IssuedCredential, Lifetime, Receipt, Renew, RenewRequest, Renewable, RenewedCredential,
    ResponseData, RevokeContext, RevokeOutcome, Secret, UndoByName, UndoOutcome,
};

/// A credential that exists already, and is lent.
pub(super) struct CheckOut<L>(pub(super) AccountPool<L>);

/// The response to a check-out.
#[derive(ResponseData)]
pub(super) struct CheckOutResponse {
    /// Name of the account.
    service_account_name: String,
    /// Its password.
    password: Secret<String>,
}

/// What is stored with the lease of a check-out.
#[derive(Receipt)]
pub(super) struct CheckOutReceipt {
    /// The unique name of the check-out.
    check_out: Identifier,
    account: Identifier,
}

impl<L: AccountLibrary> Credential for CheckOut<L> {
    const KIND: &'static str = L::KIND;
    const PATH: &'static str = L::CHECK_OUT_PATH;
    const HELP: &'static str = "Checks out an account of the set that nobody has.";
    const ISSUED_BY: IssueOperation = IssueOperation::Write;
    const CLIENT_SETS_LIFETIME: bool = true;
    /// Those of one rotation, and of the one that it may have to wait for.
    const CALLS: u32 = 2 * L::CALLS;

    type Config = L::Config;
    type Role = L::Set;
    type Input = ();
    type Response = CheckOutResponse;
    type Receipt = CheckOutReceipt;
    type Renewal = Renewable;
    type Undo = ByName;

    fn lifetime(set: &L::Set) -> Lifetime {
        let fields = L::settings(set);
        Lifetime { ttl: fields.ttl.0, max_ttl: fields.max_ttl.0 }
    }

    fn timeout(config: &L::Config) -> Duration {
        L::timeout(config)
    }

    async fn issue(&self, order: &IssueRequest<'_, Self>) -> Result<IssuedCredential<Self>, Error> {
        let time = L::timeout(order.config).saturating_mul(Self::CALLS);
        let loan = Loan {
            check_out: unique_name(order.name),
            borrower: Borrower::of_caller(order.context.caller()),
            until: order.lasts_until,
            give_up_at: order.context.now().plus(time).min(order.context.deadline()),
        };
        let accounts = &L::settings(order.role).service_account_names.0;
        let set = set_key::<L>(order.role_name);
        let lent = self.0.check_out(order.context, &set, accounts, &loan).await?;
        let (service_account_name, password) = lent;
        let receipt = CheckOutReceipt {
            check_out: identifier(&loan.check_out)?,
            account: identifier(&service_account_name)?,
        };
        Ok(IssuedCredential::new(CheckOutResponse { service_account_name, password }, receipt))
    }

    async fn revoke(
        &self,
        outside: &RevokeContext<'_, Self>,
        receipt: &CheckOutReceipt,
    ) -> Result<RevokeOutcome, Error> {
        let ended = self.0.check_in_by_name(outside.context, receipt.check_out.as_str()).await?;
        Ok(match ended {
            CheckInOutcome::CheckedIn => RevokeOutcome::Now,
            CheckInOutcome::NotCheckedOut | CheckInOutcome::OtherBorrower => {
                RevokeOutcome::AlreadyGone
            }
        })
    }
}

impl<L: AccountLibrary> UndoByName for CheckOut<L> {
    async fn undo(
        &self,
        outside: &RevokeContext<'_, Self>,
        name: &CredentialName,
    ) -> Result<UndoOutcome, Error> {
        Ok(match self.0.check_in_by_name(outside.context, &unique_name(name)).await? {
            CheckInOutcome::CheckedIn => UndoOutcome::Removed,
            CheckInOutcome::NotCheckedOut | CheckInOutcome::OtherBorrower => UndoOutcome::NotFound,
        })
    }
}

impl<L: AccountLibrary> Renew for CheckOut<L> {
    async fn renew(
        &self,
        order: &RenewRequest<'_, Self>,
        receipt: &CheckOutReceipt,
    ) -> Result<RenewedCredential<Self>, Error> {
        let (account, check_out) = (receipt.account.as_str(), receipt.check_out.as_str());
        match self.0.extend(order.context, account, check_out, order.lasts_until).await? {
            true => Ok(RenewedCredential::unchanged()),
            false => Err(Error::user("the account was checked in; revoke the lease")),
        }
    }
}

/// The part of the name that no other check-out has.
fn unique_name(name: &CredentialName) -> String {
    name.fit(0)
}

fn identifier(text: &str) -> Result<Identifier, Error> {
    Identifier::parse(text).ok_or_else(|| Error::internal("an account has no valid name"))
}
