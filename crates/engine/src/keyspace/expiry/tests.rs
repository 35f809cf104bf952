//! The wheel against a model that knows every node, and against the bars that it was built for.

use std::collections::BTreeMap;

use pinyon_base::{DbIndex, Millis};
use proptest::prelude::*;

use super::super::access::Rng;
use super::{ExpiryWheel, Fired};

/// How late a node may fire when `advance` is called at its time: the end of its tick.
const LATE_MAX: i64 = 15;
const START: i64 = 1_700_000_000_000;
const HOUR: i64 = 3_600_000;
const YEAR: i64 = 365 * 24 * HOUR;

#[derive(Clone, Debug)]
enum Step {
    Add {
        db: u16,
        after: i64,
    },
    AddAt {
        db: u16,
        deadline: i64,
    },
    Advance {
        by: i64,
        budget: usize,
    },
    /// Advances to what `next_deadline` says, with any budget.
    Sleep,
    Clear {
        db: u16,
    },
    Swap {
        a: u16,
        b: u16,
    },
    /// Keeps nodes whose hash does not divide by three.
    Compact {
        budget: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let after = prop_oneof![
        4 => -100..2_000i64,
        4 => 0..2 * HOUR,
        2 => 0..60 * YEAR,
        1 => -YEAR..0,
    ];
    let deadline = prop_oneof![
        any::<i64>(),
        (0..100_000i64).prop_map(|below| i64::MAX - below),
        (1i64 << 46) - 50..(1 << 46) + 50
    ];
    let by = prop_oneof![
        8 => 0..40i64,
        4 => 0..2_000i64,
        2 => 0..2 * HOUR,
        1 => 0..10 * YEAR,
        2 => -200..0i64,
        1 => -2 * HOUR..0,
        1 => -10 * YEAR..0,
    ];
    let step = prop_oneof![
        12 => (0..3u16, after).prop_map(|(db, after)| Step::Add { db, after }),
        1 => (0..3u16, deadline).prop_map(|(db, deadline)| Step::AddAt { db, deadline }),
        10 => (by, 0..12usize).prop_map(|(by, budget)| Step::Advance { by, budget }),
        3 => Just(Step::Sleep),
        1 => (0..3u16).prop_map(|db| Step::Clear { db }),
        1 => (0..3u16, 0..3u16).prop_map(|(a, b)| Step::Swap { a, b }),
        2 => (0..30usize).prop_map(|budget| Step::Compact { budget }),
    ];
    proptest::collection::vec(step, 1..250)
}

/// Nodes by hash, each hash used once: database, the deadline it was last armed with, and whether firing re-arms it.
struct Model {
    wheel: ExpiryWheel,
    now: i64,
    live: BTreeMap<u64, (u16, i64)>,
    added: u64,
}

impl Model {
    fn new() -> Model {
        Model { wheel: ExpiryWheel::new(Millis(START)), now: START, live: BTreeMap::new(), added: 0 }
    }

    fn add(&mut self, db: u16, deadline: i64) {
        self.added += 1;
        self.live.insert(self.added, (db, deadline));
        self.wheel.add(DbIndex(db), self.added, Millis(deadline));
    }

    fn advance(&mut self, now: i64, budget: usize) -> bool {
        self.now = now;
        let (live, visits_before) = (&mut self.live, self.wheel.visits);
        let more = self.wheel.advance(Millis(now), budget, &mut |db, hash, deadline| {
            let (of, at) = live.remove(&hash).expect("fired for a node that is not there");
            assert_eq!(db.0, of);
            assert!(at <= now, "node for {at} fired at {now}");
            assert!(deadline.0 <= now && deadline.0 >= at);
            // One in five has got a later deadline meanwhile, now and then one that has passed too.
            if hash % 5 == 0 && at < now - 3 {
                let later = if hash % 2 == 0 { now.saturating_add((hash as i64 * 37) % 5_000) } else { now - 2 };
                live.insert(hash, (of, later.max(now.saturating_add(1))));
                return Fired::RearmAt(Millis(later));
            }
            Fired::Done
        });
        assert!(self.wheel.visits - visits_before <= budget);
        self.check(more);
        more
    }

    fn check(&self, more: bool) {
        assert!(self.wheel.node_count() >= self.live.len());
        assert_eq!(self.wheel.node_count() - self.wheel.dead_count(), self.live.len());
        let first = self.live.values().map(|&(_, at)| at).min();
        let next = self.wheel.next_deadline().map(|at| at.0);
        if let Some(first) = first {
            let coarse = if first < 1 << 46 { 0 } else { 1 << 17 };
            let last_call = first.max(self.now).saturating_add(LATE_MAX + 1 + coarse);
            assert!(next.is_some_and(|next| next <= last_call), "{next:?} is too late for {first} at {}", self.now);
        }
        if !more {
            assert!(first.is_none_or(|first| first > self.now - LATE_MAX - 1), "{first:?} is overdue at {}", self.now);
            let next = next.unwrap_or(i64::MAX);
            assert!(next > self.now || self.now == i64::MAX, "asks to be called at {next}, which was done");
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Add { db, after } => self.add(db, self.now.saturating_add(after)),
            Step::AddAt { db, deadline } => self.add(db, deadline),
            Step::Advance { by, budget } => {
                self.advance((self.now + by).max(0), budget);
            }
            Step::Sleep => {
                if let Some(at) = self.wheel.next_deadline()
                    && at.0 < START + 100 * YEAR
                {
                    self.advance(self.now.max(at.0), usize::MAX);
                }
            }
            Step::Clear { db } => {
                self.live.retain(|_, &mut (of, _)| of != db);
                self.wheel.clear_db(DbIndex(db));
            }
            Step::Swap { a, b } => {
                for (of, _) in self.live.values_mut() {
                    *of = if *of == a {
                        b
                    } else if *of == b {
                        a
                    } else {
                        *of
                    };
                }
                self.wheel.swap_db(DbIndex(a), DbIndex(b));
            }
            Step::Compact { budget } => {
                let (live, visits_before) = (&mut self.live, self.wheel.visits);
                self.wheel.compact_slice(budget, &mut |db, hash, _| {
                    assert_eq!(live.get(&hash).map(|&(of, _)| of), Some(db.0));
                    let keep = hash % 3 != 0;
                    if !keep {
                        live.remove(&hash);
                    }
                    keep
                });
                assert!(self.wheel.visits - visits_before <= budget);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_a_model(steps in steps()) {
        let mut model = Model::new();
        for step in &steps {
            model.step(step);
        }
        // Everything due fires, in slices, and nothing else does.
        let mut calls = 0;
        while model.advance(model.now, 10) {
            calls += 1;
            prop_assert!(calls < 10_000);
        }
        prop_assert!(model.live.values().all(|&(_, at)| at > model.now - LATE_MAX - 1));
        // A complete walk leaves no node that is not wanted, dead ones included.
        while model.wheel.compact_slice(7, &mut |_, _, _| true) {}
        while model.wheel.compact_slice(7, &mut |_, _, _| true) {}
        prop_assert_eq!(model.wheel.node_count(), model.live.len());
        // At the end of time nothing is left.
        let mut calls = 0;
        while model.advance(i64::MAX, 10) && calls < 100_000 {
            calls += 1;
        }
        prop_assert!(model.live.values().all(|&(_, at)| at == i64::MAX || at > i64::MAX - 3));
    }
}

/// Fires what is due at each `step` ms from `from` to `to` and returns the greatest lateness, the number fired and the
/// greatest number of visits in a call.
fn run(wheel: &mut ExpiryWheel, from: i64, to: i64, step: i64, budget: usize) -> (i64, usize, usize) {
    let (mut late, mut fired, mut visits) = (0, 0, 0);
    let mut now = from;
    while now <= to {
        let before = wheel.visits;
        wheel.advance(Millis(now), budget, &mut |_, _, deadline| {
            assert!(deadline.0 <= now);
            late = late.max(now - deadline.0);
            fired += 1;
            Fired::Done
        });
        visits = visits.max(wheel.visits - before);
        now += step;
    }
    (late, fired, visits)
}

#[test]
fn few_due_keys_among_many_far_ones_fire_in_time() {
    let mut wheel = ExpiryWheel::new(Millis(START));
    let mut rng = Rng::new(1);
    for hash in 0..300_000 {
        wheel.add(DbIndex(0), hash, Millis(START + HOUR + rng.below(30 * 24 * HOUR as u64) as i64));
    }
    for hash in 0..1_000 {
        wheel.add(DbIndex(1), hash, Millis(START + 5_000 + rng.below(1_000) as i64));
    }
    let (late, fired, visits) = run(&mut wheel, START, START + 6_100, 2, 64);
    assert_eq!(fired, 1_000);
    assert!(late <= LATE_MAX + 2, "{late} ms late");
    assert!(visits <= 64);
}

#[test]
fn cascades_are_done_before_their_time() {
    // All due within one second, in a day: down five levels, at no more visits in a call than what fires in it needs.
    let mut wheel = ExpiryWheel::new(Millis(START));
    let mut rng = Rng::new(2);
    let due = START + 24 * HOUR;
    for hash in 0..200_000 {
        wheel.add(DbIndex(0), hash, Millis(due + rng.below(1_000) as i64));
    }
    let (_, early, visits) = run(&mut wheel, START, due - 20_000, 500, 5_000);
    assert!(early == 0 && visits <= 5_000);
    let (late, fired, visits) = run(&mut wheel, due - 19_999, due + 1_100, 4, 5_000);
    assert_eq!((fired, wheel.node_count()), (200_000, 0));
    assert!(late <= LATE_MAX + 4 && visits <= 5_000, "{late} ms late, {visits} visits");
}

#[test]
fn an_idle_server_sleeps() {
    let mut wheel = ExpiryWheel::new(Millis(START));
    let mut rng = Rng::new(3);
    for hash in 0..100_000 {
        wheel.add(DbIndex(0), hash, Millis(START + HOUR + rng.below(7 * 24 * HOUR as u64) as i64));
    }
    let (mut wakes, mut now) = (0, START);
    while now < START + HOUR {
        while wheel.advance(Millis(now), 10_000, &mut |_, _, _| panic!("nothing is due")) {}
        now = wheel.next_deadline().expect("there are nodes").0;
        wakes += 1;
    }
    assert!(wakes < 100, "{wakes} wakes in an hour in which nothing is due");
}

#[test]
fn memory_per_node() {
    let mut wheel = ExpiryWheel::new(Millis(START));
    let mut rng = Rng::new(4);
    let empty = wheel.bytes();
    assert!(empty < 8 * 1024, "{empty}");
    for hash in 0..200_000 {
        wheel.add(DbIndex(0), hash, Millis(START + rng.below(24 * HOUR as u64) as i64));
    }
    let per_node = (wheel.bytes() - empty) as f64 / 200_000.0;
    assert!(per_node < 17.0, "{per_node} bytes per node");
    // A cleared database gives its memory back in slices.
    wheel.clear_db(DbIndex(0));
    while wheel.compact_slice(100, &mut |_, _, _| panic!("a node of a cleared database is not asked about")) {}
    assert_eq!((wheel.node_count(), wheel.next_deadline()), (0, None));
    assert!(wheel.bytes() < empty + 64 * 1024);
}

#[test]
fn a_walk_reaches_every_node_while_time_goes_on() {
    let mut wheel = ExpiryWheel::new(Millis(START));
    let mut rng = Rng::new(5);
    for hash in 0..50_000 {
        wheel.add(DbIndex(0), hash, Millis(START + 1_000_000 + rng.below(HOUR as u64) as i64));
    }
    let mut now = START;
    let mut asked = vec![false; 50_000];
    while wheel.compact_slice(50, &mut |_, hash, _| {
        asked[hash as usize] = true;
        true
    }) {
        now += 500;
        wheel.advance(Millis(now), 1_000, &mut |_, hash, _| {
            asked[hash as usize] = true;
            Fired::Done
        });
    }
    assert!(asked.iter().all(|&asked| asked));
}

#[test]
fn clock_jumps() {
    let mut wheel = ExpiryWheel::new(Millis(START));
    for hash in 0..10_000 {
        wheel.add(DbIndex(0), hash, Millis(START + hash as i64 * 100));
    }
    // Back ten years: new deadlines are served at the new time, old ones wait for theirs.
    let past = START - 10 * YEAR;
    wheel.add(DbIndex(0), 77_777, Millis(past + 1_000));
    let mut fired = Vec::new();
    for now in (past..past + 2_000).step_by(10) {
        wheel.advance(Millis(now), 5_000, &mut |_, hash, _| {
            fired.push((hash, now));
            Fired::Done
        });
    }
    assert!(matches!(fired[..], [(77_777, now)] if now <= past + 1_000 + LATE_MAX + 10), "{fired:?}");
    // Forward thirty years, and everything is due at once.
    let mut count = 0;
    let mut calls = 0;
    while wheel.advance(Millis(past + 30 * YEAR), 100, &mut |_, _, _| {
        count += 1;
        Fired::Done
    }) {
        calls += 1;
    }
    assert_eq!(count, 10_000);
    assert!(calls <= 110, "{calls}");
}
