//! [`DurableAction`]: an action that changes something in an outside system and must then store what
//! it changed, such as the rotation of the password that the engine itself logs in with.
//!
//! Without precautions such an action has a gap: if the process dies between the outside system's
//! change and the write to storage, the new password is lost, and the engine can't log in any more.
//! The SDK closes the gap:
//!
//! 1. [`prepare`](DurableAction::prepare) decides what to do and returns a plan, for example a new
//!    password. The plan is stored, under the seal, before anything happens.
//! 2. [`call`](DurableAction::call) carries the plan out in the outside system.
//! 3. [`settle`](DurableAction::settle) changes the document of the engine. The changed document is
//!    stored, and the plan is deleted, in one batch.
//!
//! If the process dies, or the outside system doesn't respond, the plan stays. From the host's next
//! periodic call on, about a minute later, the engine repeats steps 2 and 3 until they succeed, with
//! growing pauses up to an hour, and the help of the mount, the log
//! and the metric of the task show that it does. So `call` may run several times with the same plan,
//! and must succeed if the plan has been carried out already. If the outside system certainly
//! rejects the first call, the plan is deleted, and nothing has changed. If the document is deleted, or
//! changed so that it names another account ([`account`](DurableAction::account)), the plan is deleted
//! without a further call.
//!
//! If the outside system chooses the new secret, `call` returns it as its
//! [`Outcome`](DurableAction::Outcome), which isn't stored before `settle`. So the plan contains a
//! name for what is created, and a repeated call deletes what an earlier one created under that name.
//!
//! ```
//! use strongroom_sdk::durable_action::{ActionCall, ActionPreparation, DurableAction};
//! use strongroom_sdk::*;
//!
//! /// The address of the service, and the engine's own account there.
//! #[derive(Document)]
//! #[document(path = "config", seal_wrap)]
//! struct Config {
//!     /// Base URL of the service.
//!     #[field(required)]
//!     url: BaseUrl,
//!     /// Password of the engine's account. Never shown.
//!     #[field(required)]
//!     password: Secret<String>,
//! }
//!
//! /// What is stored before the password is changed.
//! #[derive(FieldGroup)]
//! struct NewPassword {
//!     /// The password that the account is given.
//!     #[field(required)]
//!     password: Secret<String>,
//! }
//!
//! struct RotateRoot;
//!
//! impl DurableAction for RotateRoot {
//!     const PATH: &'static str = "config/rotate-root";
//!     const HELP: &'static str = "Replaces the engine's password by one that nobody knows.";
//!     type Target = Config;
//!     type Input = ();
//!     type Plan = NewPassword;
//!     type Outcome = ();
//!
//!     fn account(config: &Config) -> String {
//!         config.url.as_str().to_owned()
//!     }
//!
//!     async fn prepare(&self, action: &ActionPreparation<'_, Self>) -> Result<NewPassword, Error> {
//!         Ok(NewPassword { password: Secret::new(action.context.entropy().base62(32)) })
//!     }
//!
//!     async fn call(&self, action: &ActionCall<'_, Self>) -> Result<(), Error> {
//!         let (config, new) = (action.target, &action.plan.password);
//!         // After an earlier call that got no answer, the new password may be in effect.
//!         if action.is_repeated && service::logs_in(config, new).await? {
//!             return Ok(());
//!         }
//!         service::set_password(config, &config.password, new).await
//!     }
//!
//!     fn settle(&self, plan: &NewPassword, (): &(), config: Config) -> Config {
//!         Config { password: Secret::from_text(plan.password.expose_secret()), ..config }
//!     }
//!
//!     fn is_settled(&self, plan: &NewPassword, config: &Config) -> bool {
//!         config.password.ct_eq(plan.password.expose_secret().as_bytes())
//!     }
//! }
//!
//! fn blueprint() -> Blueprint {
//!     Blueprint::new("example", "1.0.0").document::<Config>().durable_action(RotateRoot)
//! }
//! # fn main() { drop(blueprint()) }
//! # mod service {
//! #     use super::*;
//! #     pub async fn logs_in(_: &Config, _: &Secret<String>) -> Result<bool, Error> { Ok(true) }
//! #     pub async fn set_password(_: &Config, _: &Secret<String>, _: &Secret<String>)
//! #     -> Result<(), Error> { Ok(()) }
//! # }
//! ```
//!
//! To run such an action from a [periodic task](crate::Blueprint::periodic) too, for example every
//! thirty days, share it: [`Blueprint::durable_action`](crate::Blueprint::durable_action) also takes
//! an `Arc`, and [`DurableAction::run`] does what a request to the path does.

mod handler;
mod stored_plan;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use handler::{DurableActionHandler, ErasedDurableAction};
pub(crate) use stored_plan::PLAN_BUCKET;
#[cfg(feature = "testing")]
pub(crate) use stored_plan::repetition_time;
use strongroom_schema::field::FieldGroup;

use crate::action::{Input, Response};
use crate::blueprint::RouteTarget;
use crate::document::Document;
use crate::{Context, Error};

/// An action that changes something in an outside system, and a document of the engine with it. See
/// the [module](self).
pub trait DurableAction: Sized + Send + Sync + 'static {
    /// The path that carries the action out when written. Its captures name the document.
    const PATH: &'static str;
    /// The description of the path in help and OpenAPI.
    const HELP: &'static str;

    /// The document that the action changes. It must exist, and is found by the captures of the
    /// path.
    type Target: Document;
    /// What the client sends; `()` for nothing.
    type Input: Input + Sync;
    /// What is stored before the outside system is called. Derive
    /// [`FieldGroup`](crate::FieldGroup) for it; it may contain secrets.
    type Plan: FieldGroup;
    /// What [`call`](Self::call) returns and [`settle`](Self::settle) needs beside the plan, such as
    /// a token that the outside system has created; `()` for nothing.
    type Outcome: Send + Sync;

    /// What the call is addressed to: the address of the outside system and the name of the account,
    /// as text. It is stored with the plan. If the document names something else when the call is
    /// repeated, the plan is deleted and nothing is called: otherwise the next password of one account
    /// would be sent to another one, or to another system. It must not contain secrets.
    fn account(target: &Self::Target) -> String;

    /// How long one run of [`call`](Self::call) may take; then it is aborted. The default is 10
    /// seconds.
    fn timeout(_target: &Self::Target) -> Duration {
        Duration::from_secs(10)
    }

    /// Decides what to do, for example by generating a password. It must not change anything in the
    /// outside system.
    ///
    /// # Errors
    ///
    /// Any [`Error`] fails the request; nothing has changed.
    fn prepare(
        &self,
        action: &ActionPreparation<'_, Self>,
    ) -> impl Future<Output = Result<Self::Plan, Error>> + Send;

    /// Carries the plan out in the outside system. It may be called several times with the same
    /// plan, and must succeed if the plan has been carried out already.
    ///
    /// # Errors
    ///
    /// If the error of the first call is certain (not [`Error::is_uncertain`]), the plan is deleted
    /// and the request fails. Otherwise the plan stays, and the call is repeated in the background.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any await. The call is then repeated later.
    fn call(
        &self,
        action: &ActionCall<'_, Self>,
    ) -> impl Future<Output = Result<Self::Outcome, Error>> + Send;

    /// The document after the plan was carried out. It receives the outcome of the successful call,
    /// and the document as it is stored now, which may have changed since
    /// [`prepare`](Self::prepare). It may be called several times.
    fn settle(
        &self,
        plan: &Self::Plan,
        outcome: &Self::Outcome,
        target: Self::Target,
    ) -> Self::Target;

    /// Whether the document is as [`settle`](Self::settle) returns it for this plan. Hosts without
    /// atomic storage (Vault, OpenBao) store the document first and delete the plan afterwards. If the
    /// process dies in between, the plan is read again with a document that needs no call any more; a
    /// call that deletes what an earlier one created would delete what the document now contains.
    fn is_settled(&self, plan: &Self::Plan, target: &Self::Target) -> bool;

    /// The response to the client, given the changed document. The default has no data (204).
    fn respond(&self, _plan: &Self::Plan, _target: &Self::Target) -> Response {
        Response::no_content()
    }

    /// Carries the action out, as a write to its path does. `captures` are those of the path, none
    /// for `config/rotate-root`. If an earlier run was interrupted, it is completed first.
    ///
    /// # Errors
    ///
    /// The errors of [`prepare`](Self::prepare) and [`call`](Self::call); a user error if the
    /// document doesn't exist; [`Error::conflict`] while an earlier run of the action is under way.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped after the plan was stored, the action is completed later.
    fn run(
        &self,
        context: &Context,
        captures: &[&str],
        input: Self::Input,
    ) -> impl Future<Output = Result<Response, Error>> + Send {
        handler::run(self, context, captures, input)
    }
}

/// The arguments of [`DurableAction::prepare`], with the document already loaded.
#[derive(Debug)]
pub struct ActionPreparation<'a, A: DurableAction> {
    /// The document as it is stored now.
    pub target: &'a A::Target,
    /// The name of the document: the last capture of the path. Empty if there is none.
    pub name: &'a str,
    /// What the client sent.
    pub input: &'a A::Input,
    /// The instance's services and the caller's details.
    pub context: &'a Context,
}

/// The arguments of [`DurableAction::call`], with the document already loaded.
#[derive(Debug)]
pub struct ActionCall<'a, A: DurableAction> {
    /// The document as it is stored now, without the effect of the plan.
    pub target: &'a A::Target,
    /// The name of the document: the last capture of the path. Empty if there is none.
    pub name: &'a str,
    /// What is to be done.
    pub plan: &'a A::Plan,
    /// Whether an earlier call with this plan may have taken effect.
    pub is_repeated: bool,
    /// The instance's services; there is no caller if the call is repeated.
    pub context: &'a Context,
}

impl crate::Blueprint {
    /// Adds an action whose outside call survives a crash. A task with the name of its path completes
    /// runs that were interrupted, at the host's periodic call.
    #[must_use]
    pub fn durable_action<A: DurableAction>(self, action: impl Into<Arc<A>>) -> Self {
        let handler = Arc::new(DurableActionHandler::new(action.into()));
        let completion = handler.clone();
        let complete = move |context: Context| {
            let completion = completion.clone();
            async move { completion.complete_interrupted(&context).await }
        };
        let target = RouteTarget::DurableAction(handler);
        self.push_route(A::PATH, A::HELP, false, target)
            .stores_sealed_records(PLAN_BUCKET)
            .completion_task(A::PATH, complete)
    }
}
