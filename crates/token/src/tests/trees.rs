//! Token trees compared with a model: a token is usable exactly if the model says so, after any
//! sequence of creations and revocations.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum TreeStep {
    /// Creates a service or batch token, with this token as its parent or without one.
    Make { parent: usize, batch: bool, ttl: u64 },
    /// Marks a token; its tree is revoked later or never.
    Mark(usize),
    /// Revokes the tree of a marked token.
    RevokeMarked(usize),
    /// A complete revocation that orphans the children.
    Orphan(usize),
    /// Time passes.
    AdvanceTime(u64),
    /// The process crashes and restarts.
    Restart,
}

fn any_steps() -> impl Strategy<Value = Vec<TreeStep>> {
    let step = prop_oneof![
        8 => (0_usize..40, any::<bool>(), 1_u64..60)
            .prop_map(|(parent, batch, ttl)| TreeStep::Make { parent, batch, ttl }),
        2 => (0_usize..40).prop_map(TreeStep::Mark),
        2 => (0_usize..40).prop_map(TreeStep::RevokeMarked),
        2 => (0_usize..40).prop_map(TreeStep::Orphan),
        1 => (1_u64..20).prop_map(TreeStep::AdvanceTime),
        1 => Just(TreeStep::Restart),
    ];
    proptest::collection::vec(step, 1..40)
}

struct ModelToken {
    created: IssuedToken,
    parent: Option<usize>,
    ends: u64,
    /// How it was revoked, if it was.
    end: Option<RevocationMark>,
}

/// Whether a token is usable according to the documentation.
fn is_usable(nodes: &[ModelToken], at: usize, now: u64) -> bool {
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
            Some(RevocationMark::Tree) => return false,
            Some(RevocationMark::Orphan) => return true,
            None => above = nodes[parent].parent,
        }
    }
    true
}

/// Revokes in the order the server does: children first.
async fn revoke_marked(tokens: &TokenStore, root: &TokenKey) {
    let mut stack = vec![root.clone()];
    while let Some(key) = stack.last().cloned() {
        let children = tokens.list_children(&key, None, 100).await.unwrap();
        if children.is_empty() {
            tokens.remove(&key, Batch::new()).await.unwrap();
            stack.pop();
        } else if tokens.mark_of(&key) == Some(RevocationMark::Orphan) {
            for child in &children {
                tokens.orphan_child(&key, child).await.unwrap();
            }
        } else {
            tokens.mark_children_for_revocation(&children).await.unwrap();
            stack.extend(children);
        }
    }
}

async fn run_steps(steps: Vec<TreeStep>) {
    let mut bench = TokenFixture::new().await;
    let (mut nodes, mut now): (Vec<ModelToken>, u64) = (Vec::new(), 0);
    for step in steps {
        let pick = |at: usize| (!nodes.is_empty()).then(|| at % nodes.len());
        match step {
            TreeStep::Make { parent, batch, ttl } => {
                let parent = pick(parent).filter(|_| parent % 5 != 0);
                if parent.is_some_and(|at| {
                    !is_usable(&nodes, at, now) || nodes[at].created.token.is_batch()
                }) {
                    continue;
                }
                let key = parent.map(|at| nodes[at].created.key.clone());
                let new = NewToken { parent: key, ttl: Ttl::from_secs(ttl), ..default_params() };
                let created = if batch {
                    bench.tokens.create_batch_token(new, bench.clock.now()).unwrap()
                } else {
                    bench.create(new).await.unwrap()
                };
                nodes.push(ModelToken { created, parent, ends: now + ttl, end: None });
            }
            TreeStep::Mark(at) => {
                let Some(at) = pick(at) else { continue };
                // A batch token has no record to mark.
                let marked = bench
                    .tokens
                    .mark_for_revocation(&nodes[at].created.key, RevocationMark::Tree)
                    .await
                    .unwrap();
                if nodes[at].created.token.is_batch() {
                    assert!(!marked);
                } else if marked {
                    nodes[at].end = Some(RevocationMark::Tree);
                }
            }
            TreeStep::RevokeMarked(at) => {
                let Some(at) = pick(at) else { continue };
                let key = nodes[at].created.key.clone();
                if bench.tokens.mark_of(&key) == Some(RevocationMark::Tree) {
                    revoke_marked(&bench.tokens, &key).await;
                }
            }
            TreeStep::Orphan(at) => {
                let Some(at) = pick(at) else { continue };
                if !is_usable(&nodes, at, now) || nodes[at].created.token.is_batch() {
                    continue;
                }
                let key = nodes[at].created.key.clone();
                assert!(
                    bench.tokens.mark_for_revocation(&key, RevocationMark::Orphan).await.unwrap()
                );
                revoke_marked(&bench.tokens, &key).await;
                nodes[at].end = Some(RevocationMark::Orphan);
            }
            TreeStep::AdvanceTime(secs) => {
                now += secs;
                bench.clock.advance(Duration::from_secs(secs));
            }
            TreeStep::Restart => {
                bench.tokens =
                    TokenStore::load(bench.barrier.view("token/"), TokenStore::CACHE_BYTES)
                        .await
                        .unwrap();
            }
        }
        for (at, node) in nodes.iter().enumerate() {
            let expected = is_usable(&nodes, at, now);
            assert_eq!(bench.is_usable(&node.created).await, expected, "token {at} at {now}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_token_works_exactly_if_the_model_says_so(steps in any_steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run_steps(steps));
    }
}
