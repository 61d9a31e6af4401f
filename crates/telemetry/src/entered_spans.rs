//! The spans that the current thread has entered.

use std::cell::RefCell;

use crate::span_store::{SpanKey, SpanStore};

thread_local! {
    /// The entered spans of this thread, outermost first, each with the number of its store. It is
    /// borrowed only within the functions below, which call no code of others.
    static ENTERED: RefCell<Vec<(u32, SpanKey)>> = const { RefCell::new(Vec::new()) };
}

/// Notes that this thread enters the span. It may have entered the same span before.
pub(crate) fn enter(store: &SpanStore, key: SpanKey) {
    with_entered(|entered| entered.push((store.number(), key)));
}

/// Undoes the last [`enter`] of the span. Usually, but not always, no other span was entered since.
pub(crate) fn exit(store: &SpanStore, key: SpanKey) {
    let span = (store.number(), key);
    with_entered(|entered| {
        if entered.last() == Some(&span) {
            entered.pop();
        } else if let Some(at) = entered.iter().rposition(|other| *other == span) {
            entered.remove(at);
        }
    });
}

/// The span that this thread entered last and has not exited.
pub(crate) fn innermost(store: &SpanStore) -> Option<SpanKey> {
    with_entered(|entered| of_store(entered, store).next_back()).flatten()
}

/// All spans that this thread has entered and not exited, outermost first, each once.
pub(crate) fn all(store: &SpanStore) -> Vec<SpanKey> {
    let mut keys = Vec::new();
    with_entered(|entered| {
        for key in of_store(entered, store) {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
    });
    keys
}

fn of_store(
    entered: &[(u32, SpanKey)],
    store: &SpanStore,
) -> impl DoubleEndedIterator<Item = SpanKey> {
    let number = store.number();
    entered.iter().filter(move |(other, _)| *other == number).map(|(_, key)| *key)
}

/// `None` while the thread ends, when its variables are gone.
fn with_entered<R>(use_entered: impl FnOnce(&mut Vec<(u32, SpanKey)>) -> R) -> Option<R> {
    let result = ENTERED
        .try_with(|entered| entered.try_borrow_mut().ok().map(|mut it| use_entered(&mut it)));
    result.ok().flatten()
}
