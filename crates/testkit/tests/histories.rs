//! The checker on histories written by hand, one per anomaly, and on serial ones with and without a swap.

use pinyon_testkit::Random;
use pinyon_testkit::serializability::{
    Action, Answer, Content, History, Key, Mix, Op, Outcome, Seen, Settings, Token, Transaction, Watched, check,
    simulate,
};

const A: Key = Key(0);
const B: Key = Key(1);

fn t(n: u64) -> Token {
    Token::numbered(n)
}

/// A history on two keys, written down transaction by transaction.
struct Hand(History);

impl Hand {
    fn new() -> Hand {
        Hand(History { initial: vec![Content::default(); 2], ..History::default() })
    }

    fn seen(&mut self, tokens: &[u64]) -> Seen {
        let list: Vec<Token> = tokens.iter().map(|n| t(*n)).collect();
        Seen::note(&list, &mut self.0.tokens)
    }

    fn get(&mut self, key: Key, tokens: &[u64]) -> Op {
        Op { action: Action::Get { key }, answer: Answer::Seen(self.seen(tokens)) }
    }

    fn add(&mut self, from: u64, to: u64, ops: Vec<Op>) -> &mut Transaction {
        let exec = ops.len() > 1;
        let watched = Vec::new();
        let client = self.0.transactions.len() as u32;
        let outcome = Outcome::Committed;
        self.0.transactions.push(Transaction { client, invoked: from, completed: to, exec, outcome, watched, ops });
        self.0.transactions.last_mut().expect("just added")
    }

    #[track_caller]
    fn passes(self) {
        if let Err(anomalies) = check(&self.0) {
            panic!("{}", anomalies[0]);
        }
    }

    /// Fails if no anomaly of this kind is found.
    #[track_caller]
    fn shows(self, kind: &str) {
        let anomalies = check(&self.0).expect_err("an anomaly");
        let found: Vec<&str> = anomalies.iter().map(|anomaly| anomaly.kind.as_str()).collect();
        assert!(found.contains(&kind), "{kind} expected, found {found:?}: {}", anomalies[0]);
    }
}

fn append(key: Key, token: u64, length: i64) -> Op {
    Op { action: Action::Append { key, token: t(token) }, answer: Answer::Int(length) }
}

/// Long enough for everything to overlap with everything.
const LONG: (u64, u64) = (0, 1_000_000);

fn overlapping(hand: &mut Hand, ops: Vec<Op>) -> &mut Transaction {
    hand.add(LONG.0, LONG.1, ops)
}

#[test]
fn nothing_is_wrong_with_a_serial_history() {
    let mut hand = Hand::new();
    hand.add(0, 10, vec![append(A, 1, 1), append(B, 2, 1)]);
    let both = vec![hand.get(A, &[1]), hand.get(B, &[2])];
    hand.add(5, 20, both);
    let gone = Op { action: Action::Delete { keys: vec![A, B], unlink: false }, answer: Answer::Int(2) };
    hand.add(12, 30, vec![gone]);
    let nothing = vec![hand.get(A, &[]), hand.get(B, &[])];
    hand.add(21, 40, nothing);
    hand.passes();
}

#[test]
fn writes_in_a_cycle_are_g0() {
    let mut hand = Hand::new();
    overlapping(&mut hand, vec![append(A, 1, 1), append(B, 2, 2)]);
    overlapping(&mut hand, vec![append(A, 3, 2), append(B, 4, 1)]);
    let a = hand.get(A, &[1, 3]);
    overlapping(&mut hand, vec![a]);
    let b = hand.get(B, &[4, 2]);
    overlapping(&mut hand, vec![b]);
    hand.shows("G0");
}

#[test]
fn a_read_of_what_was_aborted_is_g1a() {
    let mut hand = Hand::new();
    overlapping(&mut hand, vec![append(A, 1, 1), append(B, 2, 1)]).outcome = Outcome::Aborted;
    let a = hand.get(A, &[1]);
    overlapping(&mut hand, vec![a]);
    hand.shows("G1a");
}

#[test]
fn a_read_of_what_nobody_wrote_is_g1a() {
    let mut hand = Hand::new();
    let a = hand.get(A, &[77]);
    overlapping(&mut hand, vec![a]);
    hand.shows("G1a");
}

#[test]
fn a_read_in_the_middle_of_a_transaction_is_g1b() {
    let mut hand = Hand::new();
    overlapping(&mut hand, vec![append(A, 1, 1), append(A, 2, 2)]);
    let middle = hand.get(A, &[1]);
    overlapping(&mut hand, vec![middle]);
    let end = hand.get(A, &[1, 2]);
    overlapping(&mut hand, vec![end]);
    hand.shows("G1b");
}

#[test]
fn writes_and_reads_in_a_cycle_are_g1c() {
    let mut hand = Hand::new();
    let b = hand.get(B, &[2]);
    overlapping(&mut hand, vec![append(A, 1, 1), b]);
    let a = hand.get(A, &[1]);
    overlapping(&mut hand, vec![append(B, 2, 1), a]);
    hand.shows("G1c");
}

#[test]
fn half_a_transaction_is_read_skew() {
    let mut hand = Hand::new();
    hand.0.initial[1].tokens = vec![t(9)];
    overlapping(&mut hand, vec![append(A, 1, 1), append(B, 2, 2)]);
    let half = vec![hand.get(A, &[1]), hand.get(B, &[9])];
    overlapping(&mut hand, half);
    let all = hand.get(B, &[9, 2]);
    overlapping(&mut hand, vec![all]);
    hand.shows("G-single");
}

/// Nobody can tell whether the key that is missing is not there yet or not there any more, so there is no cycle to show.
#[test]
fn half_a_transaction_that_creates_keys_has_no_order() {
    let mut hand = Hand::new();
    overlapping(&mut hand, vec![append(A, 1, 1), append(B, 2, 1)]);
    let half = vec![hand.get(A, &[1]), hand.get(B, &[])];
    overlapping(&mut hand, half);
    hand.shows("no order");
}

#[test]
fn an_mset_seen_half_by_mget_is_read_skew() {
    let mut hand = Hand::new();
    hand.0.initial = vec![
        Content { tokens: vec![t(1)], ..Content::default() },
        Content { tokens: vec![t(2)], ..Content::default() },
    ];
    let pairs = vec![(A, t(3)), (B, t(4))];
    let see = |hand: &mut Hand, a, b| {
        let all = vec![hand.seen(&[a]), hand.seen(&[b])];
        Op { action: Action::ReadMany { keys: vec![A, B] }, answer: Answer::Many(all) }
    };
    let old = see(&mut hand, 1, 2);
    hand.add(0, 5, vec![old]);
    hand.add(10, 20, vec![Op { action: Action::WriteMany { pairs, if_absent: false }, answer: Answer::Done }]);
    let half = see(&mut hand, 3, 2);
    hand.add(10, 20, vec![half]);
    hand.shows("G-single");
}

#[test]
fn two_transactions_that_miss_each_other_are_g2() {
    let mut hand = Hand::new();
    let b = hand.get(B, &[]);
    overlapping(&mut hand, vec![append(A, 1, 1), b]);
    let a = hand.get(A, &[]);
    overlapping(&mut hand, vec![append(B, 2, 1), a]);
    let both = vec![hand.get(A, &[1]), hand.get(B, &[2])];
    hand.add(2_000_000, 2_000_001, both);
    hand.shows("G2");
}

#[test]
fn an_update_that_is_lost_is_found() {
    let mut hand = Hand::new();
    hand.0.initial[0].tokens = vec![t(9)];
    for token in [1, 2] {
        let old = hand.seen(&[9]);
        let set = Action::Set {
            key: A,
            token: t(token),
            get: true,
            only: pinyon_testkit::serializability::Only::Always,
            deadline: 0,
        };
        overlapping(&mut hand, vec![Op { action: set, answer: Answer::Seen(old) }]);
    }
    hand.shows("lost update");
}

#[test]
fn a_read_of_the_past_violates_real_time() {
    let mut hand = Hand::new();
    hand.add(0, 10, vec![append(A, 1, 1)]);
    hand.add(20, 30, vec![append(A, 2, 2)]);
    let late = hand.get(A, &[1]);
    hand.add(40, 50, vec![late]);
    let all = hand.get(A, &[1, 2]);
    hand.add(60, 70, vec![all]);
    hand.shows("G-single, real-time");
}

#[test]
fn a_key_that_is_missing_although_nobody_deleted_it_has_no_order() {
    let mut hand = Hand::new();
    hand.add(0, 10, vec![append(A, 1, 1)]);
    let gone = hand.get(A, &[]);
    hand.add(20, 30, vec![gone]);
    let back = hand.get(A, &[1]);
    hand.add(40, 50, vec![back]);
    assert!(check(&hand.0).is_err());
}

#[test]
fn values_that_do_not_continue_each_other_are_incompatible() {
    let mut hand = Hand::new();
    overlapping(&mut hand, vec![append(A, 1, 1)]);
    overlapping(&mut hand, vec![append(A, 2, 2)]);
    overlapping(&mut hand, vec![append(A, 3, 3)]);
    let one = hand.get(A, &[1, 2, 3]);
    overlapping(&mut hand, vec![one]);
    let other = hand.get(A, &[2, 1]);
    overlapping(&mut hand, vec![other]);
    hand.shows("incompatible order");
}

#[test]
fn an_exec_that_contradicts_itself_is_internal() {
    let mut hand = Hand::new();
    let twice = vec![hand.get(A, &[]), append(A, 1, 1), hand.get(A, &[])];
    overlapping(&mut hand, twice);
    hand.shows("internal");
}

#[test]
fn what_was_watched_may_not_have_changed() {
    let history = |touched: bool| {
        let mut hand = Hand::new();
        hand.add(0, 10, vec![append(A, 1, 1)]);
        let seen = hand.seen(&[1]);
        if touched {
            hand.add(30, 40, vec![append(A, 2, 2)]);
        }
        let exec = hand.add(50, 60, vec![append(B, 3, 1)]);
        exec.exec = true;
        exec.watched = vec![Watched { key: A, seen, asked: 15, since: 20 }];
        let last = hand.get(A, if touched { &[1, 2] } else { &[1] });
        hand.add(70, 80, vec![last]);
        hand
    };
    history(false).passes();
    history(true).shows("G-single, real-time");
}

#[test]
fn what_was_watched_may_not_have_come_and_gone() {
    let mut hand = Hand::new();
    let nil = Seen::NIL;
    hand.add(30, 40, vec![append(A, 1, 1)]);
    hand.add(41, 45, vec![Op { action: Action::Delete { keys: vec![A], unlink: false }, answer: Answer::Int(1) }]);
    let exec = hand.add(50, 60, vec![append(B, 3, 1)]);
    exec.exec = true;
    exec.watched = vec![Watched { key: A, seen: nil, asked: 15, since: 20 }];
    hand.shows("no order");
}

#[test]
fn a_key_outlives_no_deadline_and_does_not_die_before() {
    let history = |read_at: u64, there: bool| {
        let mut hand = Hand::new();
        hand.add(0, 10, vec![append(A, 1, 1)]);
        hand.add(20, 30, vec![Op { action: Action::ExpireAt { key: A, deadline: 5 }, answer: Answer::Int(1) }]);
        let read = hand.get(A, if there { &[1] } else { &[] });
        hand.add(read_at, read_at + 10, vec![read]);
        hand
    };
    history(4_000_000, true).passes();
    history(6_000_000, false).passes();
    history(4_000_000, false).shows("no order");
    history(6_000_000, true).shows("no order");
}

/// FLUSHALL seen by one key and not by another.
#[test]
fn a_flush_in_two_moments_is_found() {
    let mut hand = Hand::new();
    hand.add(0, 10, vec![append(A, 1, 1), append(B, 2, 1)]);
    hand.add(20, 60, vec![Op { action: Action::FlushAll, answer: Answer::Done }]);
    let half = vec![hand.get(A, &[]), hand.get(B, &[2])];
    hand.add(30, 40, half);
    assert!(check(&hand.0).is_err());
}

// ------------------------------------------------------------------------------------------------------ serial histories

/// One client after the other: every transaction is over before the next begins.
fn serial(seed: u64) -> History {
    simulate(Settings {
        seed,
        shards: 3,
        clients: 1,
        transactions: 400,
        mix: Mix { keys: 8, targets: 2, churn: 4, ..Mix::default() },
        fault: None,
    })
}

#[test]
fn serial_histories_pass() {
    for seed in 0..60 {
        if let Err(anomalies) = check(&serial(seed)) {
            panic!("seed {seed}: {}", anomalies[0]);
        }
    }
}

/// Two reads of a key one after the other that saw different values have their answers swapped: the second saw the past.
#[test]
fn serial_histories_with_a_swap_fail() {
    let mut swapped = 0;
    for seed in 0..60 {
        let mut history = serial(seed);
        if !swap_reads(&mut history, &mut Random::new(seed)) {
            continue;
        }
        swapped += 1;
        assert!(check(&history).is_err(), "seed {seed}: the swap was not found");
    }
    assert!(swapped > 40, "only {swapped} histories had something to swap");
}

fn swap_reads(history: &mut History, random: &mut Random) -> bool {
    let read_of = |transaction: &Transaction| match &transaction.ops[..] {
        [Op { action: Action::Get { key }, answer: Answer::Seen(seen) }] => Some((*key, *seen)),
        _ => None,
    };
    let reads: Vec<(usize, Key, Seen)> = history
        .transactions
        .iter()
        .enumerate()
        .filter_map(|(i, transaction)| read_of(transaction).map(|(key, seen)| (i, key, seen)))
        .collect();
    let differs = |a: &(usize, Key, Seen), b: &(usize, Key, Seen)| a.1 == b.1 && a.2 != b.2;
    let pairs: Vec<(usize, usize)> = reads
        .iter()
        .enumerate()
        .flat_map(|(i, a)| reads[i + 1..].iter().filter(|b| differs(a, b)).map(|b| (a.0, b.0)).collect::<Vec<_>>())
        .collect();
    if pairs.is_empty() {
        return false;
    }
    let (a, b) = pairs[random.below(pairs.len())];
    let first = history.transactions[a].ops[0].answer.clone();
    history.transactions[a].ops[0].answer = history.transactions[b].ops[0].answer.clone();
    history.transactions[b].ops[0].answer = first;
    true
}
