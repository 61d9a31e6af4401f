//! More concurrent changes than may wait.

use std::sync::Arc;
use std::task::Poll;

use strongroom_sdk::records::{RecordChange, RecordKey};
use strongroom_sdk::testing::{Harness, TestHost, json};
use strongroom_sdk::{Blueprint, Context, Error, Response};
use tokio::sync::Semaphore;

/// How many changes may wait in one mount.
const MAX_WAITING_CHANGES: usize = 16384;

/// Starts one change more than may wait.
async fn wait_beyond_limit(context: Context, (): ()) -> Result<Response, Error> {
    let (key, gate) = (RecordKey::new("head", "a"), Arc::new(Semaphore::new(0)));
    let decide = {
        let gate = gate.clone();
        move |_| {
            let gate = gate.clone();
            async move {
                let _ = gate.acquire().await;
                Ok(RecordChange::returning(()))
            }
        }
    };
    let mut waiting = Vec::new();
    for _ in 0..MAX_WAITING_CHANGES {
        let mut change = Box::pin(context.records().change(key.clone(), decide.clone()));
        let begun = std::future::poll_fn(|task| Poll::Ready(change.as_mut().poll(task))).await;
        assert!(begun.is_pending());
        waiting.push(change);
    }
    let refused = context.records().change(RecordKey::new("head", "b"), decide).await;
    gate.close();
    refused?;
    Ok(Response::no_content())
}

fn contended_blueprint() -> Blueprint {
    Blueprint::new("crowd", "1.0.0").write("crowd", "Too many.", wait_beyond_limit)
}

#[tokio::test]
async fn a_change_over_the_limit_is_refused_with_503() {
    Harness::run(contended_blueprint(), |host: TestHost| async move {
        let refused = host.write("crowd", json!({})).await.unwrap_err();
        assert_eq!(refused.status, Some(503), "{refused}");
        assert_eq!(refused.message, "too many changes are waiting; try again");
    })
    .await;
}
