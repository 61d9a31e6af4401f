//! All cases against a server of ours.

use std::collections::BTreeMap;
use std::fmt::Write;

use strongroom_testkit::Site;
use strongroom_testkit::features::Features;

use crate::case::{File, Server, load};
use crate::compare::differences;
use crate::play::{Played, play};

#[tokio::test]
async fn our_answers_are_those_of_the_reference() {
    let features = Features::load();
    let files = load("");
    let mut site = Site::new("");
    let (server, api) = site.open().await;
    let (mut waiting, mut wrong, mut held) = (BTreeMap::<&str, usize>::new(), String::new(), 0);
    for file in &files {
        if let Some(feature) = file.case.awaits.as_deref().filter(|name| !features.has(name)) {
            *waiting.entry(feature).or_default() += 1;
            continue;
        }
        let played = match file.case.server {
            Server::Open => play(api.address(), api.token(), &file.case).await,
            Server::New => {
                let site = Site::new("");
                let server = site.start().await;
                play(server.api("").address(), "", &file.case).await
            }
        };
        let problems = problems(file, &played);
        held += usize::from(problems.is_empty());
        wrong.push_str(&problems);
    }
    for (feature, cases) in waiting {
        eprintln!("AWAITS {feature}: {cases} golden cases are not played");
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(held > 30, "only {held} cases were played");
    assert_eq!(server.stop().await, Some(0));
}

/// What is wrong with a case's answers, a line each.
fn problems(file: &File, played: &Played) -> String {
    let mut found = String::new();
    let name = &file.name;
    for (index, (step, ours)) in file.case.steps.iter().zip(&played.replies).enumerate() {
        let Some(reference) = &step.reply else {
            let _ = writeln!(found, "{name} {index} {}: nothing is recorded", step.ask);
            continue;
        };
        let same = differences(&step.ask, reference, ours);
        let lines = match &step.strongroom {
            None => same,
            // A note on a difference that is gone hides the next one.
            Some(_) if same.is_empty() => vec!["the noted difference is gone".to_owned()],
            Some(noted) => differences(&step.ask, &noted.reply, ours),
        };
        for line in lines {
            let _ = writeln!(found, "{name} {index} {}: {line}", step.ask);
        }
    }
    if let Some(why) = &played.stopped {
        let _ = writeln!(found, "{name} stopped: {why}");
    }
    found
}
