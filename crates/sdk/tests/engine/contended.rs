//! More changes than may wait.

use std::sync::Arc;
use std::task::Poll;

use strongroom_sdk::records::{Change, Key};
use strongroom_sdk::testing::{Harness, Host, json};
use strongroom_sdk::{Blueprint, Context, Error, Reply};
use tokio::sync::Semaphore;

/// How many changes may wait at one mount.
const MOST_WAITING: usize = 16384;

/// One change more than may wait.
async fn one_too_many(context: Context, (): ()) -> Result<Reply, Error> {
    let (key, gate) = (Key::new("head", "a"), Arc::new(Semaphore::new(0)));
    let decide = {
        let gate = gate.clone();
        move |_| {
            let gate = gate.clone();
            async move {
                let _ = gate.acquire().await;
                Ok(Change::to(()))
            }
        }
    };
    let mut waiting = Vec::new();
    for _ in 0..MOST_WAITING {
        let mut change = Box::pin(context.records().change(key.clone(), decide.clone()));
        let begun = std::future::poll_fn(|task| Poll::Ready(change.as_mut().poll(task))).await;
        assert!(begun.is_pending());
        waiting.push(change);
    }
    let refused = context.records().change(Key::new("head", "b"), decide).await;
    gate.close();
    refused?;
    Ok(Reply::no_content())
}

fn blueprint() -> Blueprint {
    Blueprint::new("crowd", "1.0.0").write("crowd", "Too many.", one_too_many)
}

#[tokio::test]
async fn one_change_more_than_may_wait_is_to_be_tried_again() {
    Harness::run(blueprint(), |host: Host| async move {
        let refused = host.write("crowd", json!({})).await.unwrap_err();
        assert_eq!(refused.status, Some(503), "{refused}");
        assert_eq!(refused.message, "too many changes are waiting; try again");
    })
    .await;
}
