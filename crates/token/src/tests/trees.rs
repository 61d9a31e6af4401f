//! Trees of tokens against a model: a token works exactly if the model says so, whatever was made
//! and revoked before.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// A service token, or a batch token, made with this one or with none.
    Make { parent: usize, batch: bool, ttl: u64 },
    /// The mark of a revocation; the walk comes later or never.
    Mark(usize),
    /// The walk of a marked token.
    Walk(usize),
    /// A revocation that leaves the children behind, to its end.
    Orphan(usize),
    /// Time.
    Pass(u64),
    /// The process dies.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0_usize..40, any::<bool>(), 1_u64..60)
            .prop_map(|(parent, batch, ttl)| Step::Make { parent, batch, ttl }),
        2 => (0_usize..40).prop_map(Step::Mark),
        2 => (0_usize..40).prop_map(Step::Walk),
        2 => (0_usize..40).prop_map(Step::Orphan),
        1 => (1_u64..20).prop_map(Step::Pass),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..40)
}

struct Node {
    created: Created,
    parent: Option<usize>,
    ends: u64,
    /// Revoked, with what becomes of the children.
    end: Option<Mark>,
}

/// What the documentation says of a token.
fn is_usable(nodes: &[Node], at: usize, now: u64) -> bool {
    let node = &nodes[at];
    if node.end.is_some() || node.ends <= now {
        return false;
    }
    if node.created.token.is_batch() {
        return node.parent.is_none_or(|parent| is_usable(nodes, parent, now));
    }
    let mut above = node.parent;
    while let Some(parent) = above {
        match nodes[parent].end {
            Some(Mark::Tree) => return false,
            Some(Mark::Orphan) => return true,
            None => above = nodes[parent].parent,
        }
    }
    true
}

/// As the walk of a revocation goes: children first.
async fn walk(tokens: &TokenStore, root: &TokenKey) {
    let mut stack = vec![root.clone()];
    while let Some(key) = stack.last().cloned() {
        let children = tokens.children(&key, None, 100).await.unwrap();
        if children.is_empty() {
            tokens.remove(&key, Batch::new()).await.unwrap();
            stack.pop();
        } else if tokens.mark_of(&key) == Some(Mark::Orphan) {
            for child in &children {
                tokens.orphan(&key, child).await.unwrap();
            }
        } else {
            tokens.mark_children(&children).await.unwrap();
            stack.extend(children);
        }
    }
}

async fn run(steps: Vec<Step>) {
    let mut bench = Bench::new().await;
    let (mut nodes, mut now): (Vec<Node>, u64) = (Vec::new(), 0);
    for step in steps {
        let pick = |at: usize| (!nodes.is_empty()).then(|| at % nodes.len());
        match step {
            Step::Make { parent, batch, ttl } => {
                let parent = pick(parent).filter(|_| parent % 5 != 0);
                if parent.is_some_and(|at| {
                    !is_usable(&nodes, at, now) || nodes[at].created.token.is_batch()
                }) {
                    continue;
                }
                let key = parent.map(|at| nodes[at].created.key.clone());
                let new = NewToken { parent: key, ttl: Ttl::from_secs(ttl), ..plain() };
                let created = if batch {
                    bench.tokens.seal_batch(new, bench.clock.now()).unwrap()
                } else {
                    bench.make(new).await.unwrap()
                };
                nodes.push(Node { created, parent, ends: now + ttl, end: None });
            }
            Step::Mark(at) => {
                let Some(at) = pick(at) else { continue };
                // A batch token has no record that a mark could be put to.
                let marked = bench.tokens.mark(&nodes[at].created.key, Mark::Tree).await.unwrap();
                if nodes[at].created.token.is_batch() {
                    assert!(!marked);
                } else if marked {
                    nodes[at].end = Some(Mark::Tree);
                }
            }
            Step::Walk(at) => {
                let Some(at) = pick(at) else { continue };
                let key = nodes[at].created.key.clone();
                if bench.tokens.mark_of(&key) == Some(Mark::Tree) {
                    walk(&bench.tokens, &key).await;
                }
            }
            Step::Orphan(at) => {
                let Some(at) = pick(at) else { continue };
                if !is_usable(&nodes, at, now) || nodes[at].created.token.is_batch() {
                    continue;
                }
                let key = nodes[at].created.key.clone();
                assert!(bench.tokens.mark(&key, Mark::Orphan).await.unwrap());
                walk(&bench.tokens, &key).await;
                nodes[at].end = Some(Mark::Orphan);
            }
            Step::Pass(secs) => {
                now += secs;
                bench.clock.advance(Duration::from_secs(secs));
            }
            Step::Restart => {
                bench.tokens =
                    TokenStore::load(bench.barrier.view("token/"), TokenStore::CACHE_BYTES)
                        .await
                        .unwrap();
            }
        }
        for (at, node) in nodes.iter().enumerate() {
            let expected = is_usable(&nodes, at, now);
            assert_eq!(bench.works(&node.created).await, expected, "token {at} at {now}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_token_works_exactly_if_the_model_says_so(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(steps));
    }
}
