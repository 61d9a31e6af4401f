//! [`SetFollower`]: lets the accounts of a set follow the writes and deletes of the set.

use async_trait::async_trait;
use strongroom_engine::{EngineError, EngineRequest, EngineResponse, Operation};
use strongroom_schema::pattern::RoutePattern;

use super::AccountLibrary;
use super::account_pool::AccountPool;
use crate::document::Document;
use crate::followed_document::DocumentFollower;
use crate::stored_document::{ErasedDocument, TypedDocument, preview_merge};
use crate::{Context, Error};

/// Lets the accounts of one kind of library follow their sets.
pub(super) struct SetFollower<L: AccountLibrary>(pub(super) AccountPool<L>);

impl<L: AccountLibrary> SetFollower<L> {
    /// Claims the accounts that a write adds. Returns those that it removes, none of which is checked
    /// out.
    async fn prepare_write(
        &self,
        context: &Context,
        key: &str,
        name: &str,
        request: &EngineRequest,
    ) -> Result<Vec<String>, Error> {
        let forced = RoutePattern::new(L::FORCED_CHECK_IN_PATH);
        if forced.match_path(&RoutePattern::new(L::CHECK_IN_PATH).storage_key(&[name])).is_some() {
            let example = forced.storage_key(&["<set>"]);
            return Err(Error::user(format!("a set of this name has the path of {example}")));
        }
        let after = preview_merge::<L::Set>(context.documents(), key, &request.fields).await?;
        L::Set::validate(&after).map_err(Error::user)?;
        let after = &L::settings(&after).service_account_names.0;
        let before = accounts_of::<L>(context, key).await?;
        let removed: Vec<String> =
            before.into_iter().filter(|account| !after.contains(account)).collect();
        self.check_not_lent(context, key, &removed).await?;
        for account in after {
            self.0.claim(context, key, account).await?;
        }
        Ok(removed)
    }

    async fn check_not_lent(
        &self,
        context: &Context,
        key: &str,
        accounts: &[String],
    ) -> Result<(), Error> {
        for account in accounts {
            let found = self.0.find(context, key, account).await?;
            if found.is_some_and(|record| !record.check_out.is_empty()) {
                return Err(Error::user(format!("{account:?} is checked out; check it in first")));
            }
        }
        Ok(())
    }

    async fn release_all(
        &self,
        context: &Context,
        key: &str,
        accounts: &[String],
    ) -> Result<(), Error> {
        for account in accounts {
            self.0.release(context, key, account).await?;
        }
        Ok(())
    }
}

/// The accounts of a set as it is stored; none if it doesn't exist.
async fn accounts_of<L: AccountLibrary>(
    context: &Context,
    key: &str,
) -> Result<Vec<String>, Error> {
    let stored = context.documents().get_by_key::<L::Set>(key).await?;
    Ok(stored.map(|set| L::settings(&set).service_account_names.0.clone()).unwrap_or_default())
}

#[async_trait]
impl<L: AccountLibrary> DocumentFollower for SetFollower<L> {
    type Document = L::Set;

    async fn handle(
        &self,
        document: &TypedDocument<L::Set>,
        context: &Context,
        key: &str,
        name: &str,
        request: &EngineRequest,
    ) -> Result<EngineResponse, EngineError> {
        let released = match request.operation {
            Operation::Create | Operation::Update => {
                self.prepare_write(context, key, name, request).await?
            }
            Operation::Delete => {
                let accounts = accounts_of::<L>(context, key).await?;
                self.check_not_lent(context, key, &accounts).await?;
                accounts
            }
            Operation::Patch => {
                return Err(EngineError::user("a set can't be patched; write it instead"));
            }
            _ => Vec::new(),
        };
        let response = document.handle(context, key, name, request).await?;
        self.release_all(context, key, &released).await?;
        Ok(response)
    }
}
