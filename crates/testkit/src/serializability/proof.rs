//! The proof: an order of all transactions that a serial store confirms. This file and `store.rs` are what must be right
//! for "no anomaly" to be true; how the order was found does not matter.
//!
//! An order proves a history strictly serializable when
//! 1. it holds every transaction that committed, once;
//! 2. run in it, one after the other, the serial store gives every answer that was given;
//! 3. none comes after one that was invoked when it had completed already;
//! 4. a transaction with WATCH finds each watched key as it was read, and unchanged since a moment that may lie before
//!    WATCH had been answered;
//! 5. a key with a deadline is gone at one moment, not before the deadline, and nothing invoked after it finds it there
//!    (both within [`super::history::CLOCK_SLACK`]); keys with the same deadline go at the same moment, and later
//!    deadlines later.
//!
//! What was aborted had no effect, or some answer would show its tokens.

use super::history::{Action, History, Key, Transaction};
use super::store::Store;

/// What is wrong with an order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refuted(pub String);

/// Checks an order of `committed`, in which ticks may be missing, and gives the store at its end.
pub fn verify(history: &History, committed: &[&Transaction], order: &[u32]) -> Result<Store, Refuted> {
    let mut store = Store::new(&history.initial, history.clock);
    let mut ran = vec![false; committed.len()];
    for &number in order {
        let transaction = committed[number as usize];
        if std::mem::replace(&mut ran[number as usize], true) {
            return Err(Refuted(format!("twice: {transaction}")));
        }
        if transaction.completed < store.now {
            return Err(Refuted(format!("comes after what was invoked after it had completed: {transaction}")));
        }
        store.now = store.now.max(transaction.invoked);
        run(&mut store, transaction)?;
        outlived(&store, history)?;
    }
    let missing = committed.iter().zip(&ran).find(|(transaction, ran)| !**ran && !is_tick(transaction));
    missing.map_or(Ok(store), |(transaction, _)| Err(Refuted(format!("missing: {transaction}"))))
}

fn is_tick(transaction: &Transaction) -> bool {
    transaction.ops.iter().any(|op| matches!(op.action, Action::Tick { .. }))
}

fn run(store: &mut Store, transaction: &Transaction) -> Result<(), Refuted> {
    for watched in &transaction.watched {
        if store.seen(watched.key) != watched.seen || store.changed_by(watched.key) > watched.since {
            return Err(Refuted(format!("k{} was watched and changed: {transaction}", watched.key.0)));
        }
    }
    for op in &transaction.ops {
        if let Action::Tick { deadline } = op.action
            && deadline <= store.clock()
        {
            return Err(Refuted(format!("time runs backwards to {deadline}")));
        }
        if !store.repeats(op) {
            return Err(Refuted(format!("{} is not answered {}: {transaction}", op.action, op.answer)));
        }
    }
    Ok(())
}

/// No key may be there when something has run that was invoked well after its deadline.
fn outlived(store: &Store, history: &History) -> Result<(), Refuted> {
    for key in (0..store.key_count()).map(|i| Key(i as u8)) {
        let deadline = store.deadline(key);
        if deadline != 0 && history.tick_window(deadline).1 < store.now {
            return Err(Refuted(format!("k{} outlived its deadline {deadline}", key.0)));
        }
    }
    Ok(())
}
