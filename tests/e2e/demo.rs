//! The founding guide, as `make demo` plays it.

use std::process::Stdio;

use strongroom_testkit::programs::{binaries_folder, repository_root};
use tokio::process::Command;

#[tokio::test]
async fn the_demo_runs_to_completion() {
    let output = Command::new(repository_root().join("examples/demo/demo.sh"))
        .arg(binaries_folder())
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{wrong}");
    assert!(said.contains("custom/ runs v2.0.0"), "{said}");
    assert!(said.contains(r#""created":2,"deleted":2"#), "{said}");
}
