//! Runs a [`DurableAction`]: stores its plan, calls the outside system and settles, and completes
//! runs that were interrupted.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use strongroom_engine::{EngineError, EngineResponse, Operation};
use strongroom_schema::field::{FieldSpec, InvalidInput};
use strongroom_schema::pattern::RoutePattern;
use strongroom_types::Fields;

use super::stored_plan::{PLAN_BUCKET, StoredPlan, stale_after};
use super::{ActionCall, ActionPreparation, DurableAction};
use crate::action::{Input, Response, read_input};
use crate::outside_call::with_deadline;
use crate::records::RecordKey;
use crate::required_document::{RequiredDocument, RequiredDocumentSpec};
use crate::{Context, Error};

/// A durable action with its types erased.
#[async_trait]
pub(crate) trait ErasedDurableAction: Send + Sync {
    fn fields(&self) -> &'static [FieldSpec];
    fn check_defaults(&self) -> Result<(), InvalidInput>;
    /// The document that the action changes.
    fn target_documents(&self) -> Vec<RequiredDocumentSpec>;
    async fn handle(
        &self,
        context: &Context,
        captures: &[&str],
        fields: &Fields,
    ) -> Result<EngineResponse, EngineError>;
}

pub(crate) struct DurableActionHandler<A>(Arc<A>);

impl<A: DurableAction> DurableActionHandler<A> {
    pub(crate) fn new(action: Arc<A>) -> Self {
        Self(action)
    }

    /// Completes the runs of the action that were interrupted and can no longer be under way.
    pub(crate) async fn complete_interrupted(&self, context: &Context) -> Result<(), Error> {
        let pattern = RoutePattern::new(A::PATH);
        let Some(folder) = plan_folder(&pattern) else {
            let key = StoredPlan::<A>::storage_key(&[]);
            return self.complete_if_stale(context, key.as_str()).await;
        };
        let storage = &context.services().mount.storage;
        let mut folders = vec![folder];
        let mut failure = None;
        // A path with several captures has folders of folders.
        while let Some(folder) = folders.pop() {
            let mut after: Option<String> = None;
            loop {
                let page = storage.list(&folder, after.as_deref(), PAGE_SIZE).await?;
                for name in &page {
                    let key = format!("{folder}{name}");
                    if key.ends_with('/') {
                        folders.push(key);
                    } else if is_plan_of::<A>(&key)
                        && let Err(error) = self.complete_if_stale(context, &key).await
                    {
                        // One document must not keep the others from being completed.
                        failure = Some(error);
                    }
                }
                if page.len() < PAGE_SIZE {
                    break;
                }
                after = page.last().cloned();
            }
        }
        failure.map_or(Ok(()), Err)
    }

    async fn complete_if_stale(&self, context: &Context, key: &str) -> Result<(), Error> {
        match StoredPlan::<A>::load(context, key).await? {
            Some(stored) if stored.is_due(context.now()) => {
                complete(&*self.0, context, stored).await.map(|_| ())
            }
            _ => Ok(()),
        }
    }
}

/// Names per storage list request.
const PAGE_SIZE: usize = 1000;

/// The folder of the plans of a path with captures; `None` for a path without.
fn plan_folder(pattern: &RoutePattern) -> Option<String> {
    let (before, _) = pattern.as_str().split_once('{')?;
    Some(RecordKey::new(PLAN_BUCKET, before).as_str().to_owned())
}

/// Whether a plan in the folder is one of this action, and not of one with a longer path.
fn is_plan_of<A: DurableAction>(key: &str) -> bool {
    let bucket = RecordKey::new(PLAN_BUCKET, "");
    let path = key.strip_prefix(bucket.as_str());
    path.is_some_and(|path| RoutePattern::new(A::PATH).match_path(path).is_some())
}

#[async_trait]
impl<A: DurableAction> ErasedDurableAction for DurableActionHandler<A> {
    fn fields(&self) -> &'static [FieldSpec] {
        A::Input::FIELDS
    }

    fn check_defaults(&self) -> Result<(), InvalidInput> {
        A::Input::check_defaults()
    }

    fn target_documents(&self) -> Vec<RequiredDocumentSpec> {
        <A::Target as RequiredDocument>::document_specs()
    }

    async fn handle(
        &self,
        context: &Context,
        captures: &[&str],
        fields: &Fields,
    ) -> Result<EngineResponse, EngineError> {
        let input = read_input(fields)?;
        let response = run(&*self.0, context, captures, input).await?;
        response.into_engine_response(Operation::Update)
    }
}

/// Carries an action out: see [`DurableAction::run`].
pub(super) async fn run<A: DurableAction>(
    action: &A,
    context: &Context,
    captures: &[&str],
    input: A::Input,
) -> Result<Response, Error> {
    let key = StoredPlan::<A>::storage_key(captures);
    if let Some(interrupted) = StoredPlan::<A>::load(context, key.as_str()).await? {
        if interrupted.may_be_running(context.now()) {
            return Err(in_progress());
        }
        complete(action, context, interrupted).await?;
    }
    let target = A::Target::load_required(context, captures).await?;
    let name = captures.last().copied().unwrap_or_default();
    let preparation = ActionPreparation { target: &*target, name, input: &input, context };
    let plan = action.prepare(&preparation).await?;
    let stale_at = stale_after(context.now(), A::timeout(&target));
    let account = A::account(&target);
    let mut stored = StoredPlan::<A>::new(captures, account, stale_at, plan);
    store(context, &mut stored).await?;
    match call_with_deadline(action, context, &target, &stored, false).await {
        Ok(outcome) => settle(action, context, stored, &outcome).await,
        Err(error) if error.is_uncertain() => {
            tracing::warn!(
                path = A::PATH,
                %error,
                "it is unknown whether an action took effect; it will be completed"
            );
            Err(error)
        }
        Err(error) => {
            discard(context, &stored).await?;
            Err(error)
        }
    }
}

/// Completes an interrupted run. Whatever the error, the plan stays: an earlier call may have taken
/// effect.
async fn complete<A: DurableAction>(
    action: &A,
    context: &Context,
    mut stored: StoredPlan<A>,
) -> Result<Response, Error> {
    let captures: Vec<&str> = stored.captures.iter().map(String::as_str).collect();
    let documents = context.documents();
    let found = documents.get::<A::Target>(&captures).await?;
    let Some(target) = found.filter(|target| A::account(target) == stored.account) else {
        discard(context, &stored).await?;
        return Err(abandoned::<A>());
    };
    if action.is_settled(&stored.plan, &target) {
        discard(context, &stored).await?;
        return Ok(action.respond(&stored.plan, &target));
    }
    stored.begin_repetition(context.now(), A::timeout(&target));
    store(context, &mut stored).await?;
    let outcome = call_with_deadline(action, context, &target, &stored, true).await?;
    settle(action, context, stored, &outcome).await
}

/// Stores a plan, unless another run stored one since it was read. The entry that is then stored is
/// the plan's new one.
async fn store<A: DurableAction>(
    context: &Context,
    stored: &mut StoredPlan<A>,
) -> Result<(), Error> {
    let value = stored.encode();
    match stored.record.replace(context, value, None, None).await? {
        true => Ok(()),
        false => Err(in_progress()),
    }
}

/// Deletes a plan that wasn't carried out, unless another run has replaced it.
async fn discard<A: DurableAction>(context: &Context, stored: &StoredPlan<A>) -> Result<(), Error> {
    stored.record.delete(context, None).await.map(drop)
}

/// Stores the changed document and deletes the plan in one batch. On hosts without atomic storage
/// the plan is deleted last; if the process dies before, the action is completed once more.
async fn settle<A: DurableAction>(
    action: &A,
    context: &Context,
    stored: StoredPlan<A>,
    outcome: &A::Outcome,
) -> Result<Response, Error> {
    let captures: Vec<&str> = stored.captures.iter().map(String::as_str).collect();
    let edit = |target: A::Target| {
        (A::account(&target) == stored.account)
            .then(|| action.settle(&stored.plan, outcome, target))
    };
    let (plan, unchanged) = (stored.record.key(), stored.record.unchanged());
    let documents = context.documents();
    let settled = documents.replace_and_delete::<A::Target>(&captures, edit, plan, unchanged);
    match settled.await? {
        Some(target) => Ok(action.respond(&stored.plan, &target)),
        None => {
            discard(context, &stored).await?;
            Err(abandoned::<A>())
        }
    }
}

async fn call_with_deadline<A: DurableAction>(
    action: &A,
    context: &Context,
    target: &A::Target,
    stored: &StoredPlan<A>,
    is_repeated: bool,
) -> Result<A::Outcome, Error> {
    let name = stored.captures.last().map_or("", String::as_str);
    let call = ActionCall { target, name, plan: &stored.plan, is_repeated, context };
    let timeout: Duration = A::timeout(target);
    let until = stored.call_deadline(timeout).min(context.deadline());
    with_deadline(context, until, timeout, A::PATH, action.call(&call)).await
}

/// The error for an action whose document was deleted, or names another account now.
fn abandoned<A: DurableAction>() -> Error {
    tracing::warn!(
        path = A::PATH,
        "an action was abandoned, because its document was deleted or names another account now; it \
         may have taken effect on the earlier one"
    );
    Error::conflict(
        "an earlier run was abandoned, because the account was changed or deleted; it may have taken \
         effect there",
    )
}

fn in_progress() -> Error {
    Error::conflict("the action is in progress; try again")
}
