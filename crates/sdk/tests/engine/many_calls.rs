//! Credentials that take several calls to the outside system: each may take its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use strongroom_sdk::testing::{Harness, Host, Way, json};
use strongroom_sdk::{
    Answer, Blueprint, Context, Credential, CredentialName, Document, Error, Identifier, Issued,
    Lifetime, NotRenewable, Order, Outside, Receipt, Revoked, Secret, Undone,
};

/// How to get in.
#[derive(Document)]
#[document(path = "config")]
struct Config {
    /// How many seconds a call takes outside.
    secs: u64,
}

#[derive(Answer)]
struct UserAnswer {
    password: Secret<String>,
}

#[derive(Receipt)]
struct UserReceipt {
    name: Identifier,
}

/// Calls that were begun, of issuing and of undoing.
#[derive(Clone, Default)]
struct User {
    issuing: Arc<AtomicUsize>,
    undoing: Arc<AtomicUsize>,
}

const CALLS: u32 = 5;

async fn call(context: &Context, config: &Config, begun: &AtomicUsize) {
    let until = context.now().plus(Duration::from_secs(config.secs));
    begun.fetch_add(1, Ordering::SeqCst);
    context.clock().sleep_until(until).await;
}

impl Credential for User {
    const KIND: &'static str = "user";
    const PATH: &'static str = "creds";
    const HELP: &'static str = "A user.";
    const CALLS: u32 = CALLS;
    type Config = Config;
    type Role = ();
    type Answer = UserAnswer;
    type Receipt = UserReceipt;
    type Renewal = NotRenewable;

    fn lifetime((): &()) -> Lifetime {
        Lifetime::default()
    }

    async fn issue(&self, order: &Order<'_, Self>) -> Result<Issued<Self>, Error> {
        for _ in 0..CALLS {
            call(order.context, order.config, &self.issuing).await;
        }
        let name = Identifier::parse(&order.name.fit(64));
        let name = name.ok_or_else(|| Error::internal("the name is none"))?;
        Ok(Issued::new(UserAnswer { password: Secret::from_text("p") }, UserReceipt { name }))
    }

    async fn revoke(&self, _: &Outside<'_, Self>, _: &UserReceipt) -> Result<Revoked, Error> {
        Ok(Revoked::Now)
    }

    async fn undo(&self, to: &Outside<'_, Self>, _: &CredentialName) -> Result<Undone, Error> {
        // It looks for the user and all that belongs to it.
        for _ in 0..2 * CALLS {
            call(to.context, to.config, &self.undoing).await;
        }
        Ok(Undone::Removed)
    }
}

async fn everywhere(body: impl AsyncFn(Host, User)) {
    for way in [Way::Linked, Way::Wire, Way::Foreign] {
        let user = User::default();
        let blueprint = Blueprint::new("users", "1.0.0")
            .help("Users.")
            .document::<Config>()
            .credential(user.clone());
        Harness::run_one(blueprint, way, |host| body(host, user)).await;
    }
}

/// Lets calls under way take their time, one after the other.
async fn pass(host: &Host, begun: &AtomicUsize, calls: usize, secs: u64) {
    for number in 1..=calls {
        host.until("the call is under way", || async { begun.load(Ordering::SeqCst) == number })
            .await;
        host.advance(Duration::from_secs(secs)).await;
    }
}

#[tokio::test]
async fn the_time_out_is_that_of_one_call() {
    everywhere(async |host, user| {
        host.write("config", json!({ "secs": 4 })).await.unwrap();
        let calls = usize::try_from(CALLS).unwrap();
        let (got, ()) = tokio::join!(host.read("creds"), pass(&host, &user.issuing, calls, 4));
        assert_eq!(got.unwrap().text("password"), "p");
        assert_eq!((host.leases().len(), host.intents().len()), (1, 0));
    })
    .await;
}

#[tokio::test]
async fn a_clock_that_is_set_back_lets_nobody_wait_longer() {
    everywhere(async |host, user| {
        host.write("config", json!({ "secs": 3600 })).await.unwrap();
        let (day, given_up) = (Duration::from_secs(86_400), AtomicUsize::new(0));
        let asked = async {
            let got = host.read("creds").await;
            given_up.store(1, Ordering::SeqCst);
            got
        };
        let time = async {
            let begun = || async { user.issuing.load(Ordering::SeqCst) == 1 };
            host.until("the call is under way", begun).await;
            host.clock().set(host.now().minus(day));
            host.advance(Duration::from_secs(50)).await;
            let done = || async { given_up.load(Ordering::SeqCst) == 1 };
            host.until("it is given up before the day has come again", done).await;
        };
        let (got, ()) = tokio::join!(asked, time);
        assert!(got.unwrap_err().message.contains("timed out"));
    })
    .await;
}

#[tokio::test]
async fn what_was_given_up_is_undone_once_its_last_call_must_be_over() {
    everywhere(async |host, user| {
        host.write("config", json!({ "secs": 3600 })).await.unwrap();
        let (got, ()) = tokio::join!(host.read("creds"), pass(&host, &user.issuing, 1, 50));
        let error = got.unwrap_err();
        assert_eq!(
            error.message,
            "outside system: issue user got no answer: timed out: 5 calls of 10 s each are allowed for"
        );
        assert_eq!(host.intents().len(), 1);
        host.write("config", json!({ "secs": 9 })).await.unwrap();
        host.advance(Duration::from_secs(9)).await;
        host.tick().await.unwrap();
        for _ in 0..20 {
            host.read("config").await.unwrap();
        }
        assert_eq!(user.undoing.load(Ordering::SeqCst), 0, "the last call may be under way");
        host.advance(Duration::from_secs(1)).await;
        // Undoing has its time as well.
        let calls = usize::try_from(2 * CALLS).unwrap();
        pass(&host, &user.undoing, calls, 9).await;
        let noted = || async {
            let entry = host.intents().first().and_then(|key| host.stored(key));
            entry.is_some_and(|e| String::from_utf8_lossy(&e.value).contains("\"looks\":1"))
        };
        host.until("it is noted that the user was undone", noted).await;
    })
    .await;
}
