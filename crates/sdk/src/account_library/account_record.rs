//! [`AccountRecord`]: what is stored about one account of a library.

use strongroom_types::{Secret, Timestamp};

use crate::{FieldGroup, RequestCaller};

/// The stored state of one account. An account is in one of three states:
///
/// - *ready*: its password is known, and nobody else knows it
/// - *lent*: a client has the password
/// - *to be rotated*: the password isn't known, may not be, or is known to a client whose check-out
///   has ended. It becomes ready by a rotation.
#[derive(FieldGroup)]
pub(super) struct AccountRecord {
    /// The storage key of the set that the account belongs to.
    pub(super) set: String,
    /// The password that the account has, as far as the engine knows.
    pub(super) password: Option<Secret<String>>,
    /// A password that may have been set, and whose call hasn't succeeded yet.
    pub(super) candidate: Option<Secret<String>>,
    /// The unique name of the check-out; empty if there is none.
    pub(super) check_out: String,
    /// Whether the check-out has ended, and only the rotation is left to be done.
    pub(super) is_returning: bool,
    /// The end of the longest lease that the check-out can have.
    pub(super) lent_until: Option<Timestamp>,
    #[field(embed)]
    pub(super) borrower: Borrower,
}

/// Who checked an account out.
#[derive(Clone, Debug, Default, PartialEq, Eq, FieldGroup)]
pub(super) struct Borrower {
    /// The entity of the client; empty if it has none.
    pub(super) borrower_entity_id: String,
    /// The accessor of the client's token.
    pub(super) borrower_accessor: String,
}

impl Borrower {
    pub(super) fn of_caller(caller: Option<&RequestCaller>) -> Self {
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        Self {
            borrower_entity_id: text(caller.and_then(RequestCaller::entity_id)),
            borrower_accessor: text(caller.and_then(RequestCaller::accessor)),
        }
    }

    /// Whether both are the same entity, or use the same token. A client without both is nobody.
    pub(super) fn is_same_client(&self, other: &Self) -> bool {
        let is_same = |own: &str, other: &str| !own.is_empty() && own == other;
        is_same(&self.borrower_entity_id, &other.borrower_entity_id)
            || is_same(&self.borrower_accessor, &other.borrower_accessor)
    }
}

impl AccountRecord {
    /// An account whose password isn't known yet.
    pub(super) fn new(set: &str) -> Self {
        Self {
            set: set.to_owned(),
            password: None,
            candidate: None,
            check_out: String::new(),
            is_returning: false,
            lent_until: None,
            borrower: Borrower::default(),
        }
    }

    /// The password, if the account can be checked out at once.
    pub(super) fn ready_password(&self) -> Option<&Secret<String>> {
        let is_free = self.check_out.is_empty() && self.candidate.is_none();
        self.password.as_ref().filter(|_| is_free)
    }

    /// Whether a client has the account at `now`. Beyond the end of the longest lease nobody has: the
    /// host has lost the lease.
    pub(super) fn is_lent(&self, now: Timestamp) -> bool {
        let is_over = self.lent_until.is_some_and(|until| until < now);
        !self.check_out.is_empty() && !self.is_returning && !is_over
    }

    /// Records that a client has the account from now on.
    pub(super) fn lend(&mut self, check_out: &str, borrower: Borrower, until: Timestamp) {
        check_out.clone_into(&mut self.check_out);
        self.borrower = borrower;
        self.lent_until = Some(until);
    }

    /// Records that the candidate was set. Returns the name of the check-out that this ends, empty if
    /// there was none.
    pub(super) fn become_ready(&mut self) -> String {
        if let Some(set) = self.candidate.take() {
            self.password = Some(set);
        }
        self.is_returning = false;
        self.lent_until = None;
        self.borrower = Borrower::default();
        std::mem::take(&mut self.check_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn borrower(entity: &str, accessor: &str) -> Borrower {
        Borrower { borrower_entity_id: entity.to_owned(), borrower_accessor: accessor.to_owned() }
    }

    #[test]
    fn a_client_is_known_by_its_entity_or_its_token_and_never_by_nothing() {
        let ann = borrower("entity-1", "accessor-1");
        assert!(ann.is_same_client(&borrower("entity-1", "accessor-2")));
        assert!(ann.is_same_client(&borrower("", "accessor-1")));
        assert!(!ann.is_same_client(&borrower("entity-2", "accessor-2")));
        assert!(!borrower("", "").is_same_client(&borrower("", "")));
    }

    #[test]
    fn an_account_is_lent_until_it_is_returned_or_no_lease_can_be_left() {
        let (now, later) = (Timestamp::from_secs(100), Timestamp::from_secs(200));
        let mut record = AccountRecord::new("library/a");
        assert!(record.ready_password().is_none(), "the password isn't known");
        record.candidate = Some(Secret::from_text("first"));
        assert_eq!(record.become_ready(), "");
        assert!(record.ready_password().is_some() && !record.is_lent(now));
        record.lend("co1", borrower("e", "a"), now);
        assert!(record.ready_password().is_none() && record.is_lent(now));
        assert!(!record.is_lent(later));
        record.is_returning = true;
        assert!(!record.is_lent(now) && record.ready_password().is_none());
        assert_eq!(record.become_ready(), "co1");
        assert_eq!(record.borrower, Borrower::default());
    }
}
