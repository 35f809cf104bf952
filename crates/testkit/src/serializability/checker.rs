//! The verdict over a history: proven strictly serializable, or its anomalies.

use std::fmt::{self, Write as _};

use super::cycles::{self, Cycle};
use super::history::{Action, Answer, Content, History, Key, Op, Outcome, Transaction};
use super::infer::{self, Edge, Facts, Why};
use super::order;
use super::periods;
use super::proof;

/// Something that no serial order explains.
#[derive(Clone, PartialEq, Debug)]
pub struct Anomaly {
    /// "G1a", "G-single, real-time", "internal", "no order" and the like.
    pub kind: String,
    /// The transactions concerned, and how they contradict each other; several lines.
    pub story: String,
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.story)
    }
}

/// A history that has an order, and what the keys hold at its end: the beginning of the next one.
#[derive(Clone, Debug)]
pub struct Proven {
    pub contents: Vec<Content>,
    pub clock: u64,
    /// How often the search for the order had to go back.
    pub repairs: usize,
}

/// Checks one history. Err holds at least one anomaly.
pub fn check(history: &History) -> Result<Proven, Vec<Anomaly>> {
    let ticks = ticks(history);
    let of = |outcome| history.transactions.iter().filter(move |transaction| transaction.outcome == outcome);
    let aborted: Vec<&Transaction> = of(Outcome::Aborted).collect();
    let mut committed: Vec<&Transaction> = of(Outcome::Committed).collect();
    let looks = looks(&committed);
    let first_look = committed.len();
    committed.extend(looks.iter().map(|look| &look.1));
    let first_tick = committed.len();
    committed.extend(&ticks);

    let mut facts = infer::infer(&committed, &aborted, &history.initial, &history.tokens);
    facts.edges.extend((first_tick + 1..committed.len()).map(|i| Edge {
        from: i as u32 - 1,
        to: i as u32,
        why: Why::RealTime,
        key: Key(0),
    }));
    facts.edges.extend(looks.iter().enumerate().map(|(i, (watcher, _))| Edge {
        from: (first_look + i) as u32,
        to: *watcher,
        why: Why::RealTime,
        key: Key(0),
    }));
    let report = Report { committed: &committed };
    let mut anomalies: Vec<Anomaly> = facts.anomalies.iter().map(|direct| report.direct(direct)).collect();
    let windows = periods::order_periods(&mut facts, &committed, history.initial.len());
    let found = match windows {
        Ok(windows) if anomalies.is_empty() => {
            order::search(&committed, &facts, &windows, &history.initial, history.clock).map_err(Some)
        }
        _ => Err(None),
    };
    let stuck = match found {
        Ok(found) => match proof::verify(history, &committed, &found.order) {
            Ok(store) => {
                let (contents, clock) = (store.contents(), store.clock());
                return Ok(Proven { contents, clock, repairs: found.repairs });
            }
            Err(refuted) => {
                return Err(vec![Anomaly { kind: "no order".to_owned(), story: refuted.0 }]);
            }
        },
        Err(stuck) => stuck,
    };
    anomalies.extend(cycles::find(&facts, &committed).iter().map(|cycle| report.cycle(cycle, &facts)));
    if anomalies.is_empty() {
        anomalies.push(report.no_order(stuck.as_ref()));
    }
    Err(anomalies)
}

/// WATCH as a read of its own, at the time of WATCH, of what its EXEC says that it saw: by the number of that EXEC.
fn looks(committed: &[&Transaction]) -> Vec<(u32, Transaction)> {
    let watchers = committed.iter().enumerate().filter(|(_, transaction)| !transaction.watched.is_empty());
    let look = |(i, transaction): (usize, &&Transaction)| {
        let keys = transaction.watched.iter().map(|watched| watched.key).collect();
        let seen = transaction.watched.iter().map(|watched| watched.seen).collect();
        let look = Transaction {
            client: transaction.client,
            invoked: transaction.watched.iter().map(|watched| watched.asked).min().unwrap_or(0),
            completed: transaction.watched.iter().map(|watched| watched.since).max().unwrap_or(0),
            exec: false,
            outcome: Outcome::Committed,
            watched: Vec::new(),
            ops: vec![Op { action: Action::ReadMany { keys }, answer: Answer::Many(seen) }],
        };
        (i as u32, look)
    };
    watchers.map(look).collect()
}

/// One transaction per deadline that was given: time passing it.
fn ticks(history: &History) -> Vec<Transaction> {
    let given = history.transactions.iter().flat_map(|transaction| &transaction.ops).map(|op| op.action.deadline());
    let held = history.initial.iter().map(|content| content.deadline);
    let mut deadlines: Vec<u64> = given.chain(held).filter(|deadline| *deadline > history.clock).collect();
    deadlines.sort_unstable();
    deadlines.dedup();
    let tick = |deadline| {
        let (invoked, completed) = history.tick_window(deadline);
        Transaction {
            client: u32::MAX,
            invoked,
            completed,
            exec: false,
            outcome: Outcome::Committed,
            watched: Vec::new(),
            ops: vec![Op { action: Action::Tick { deadline }, answer: Answer::Done }],
        }
    };
    deadlines.into_iter().map(tick).collect()
}

struct Report<'a> {
    committed: &'a [&'a Transaction],
}

impl Report<'_> {
    fn direct(&self, direct: &infer::Direct) -> Anomaly {
        let mut story = direct.what.clone();
        for number in &direct.concerned {
            let _ = write!(story, "\n    T{number}: {}", self.committed[*number as usize]);
        }
        Anomaly { kind: direct.kind.to_owned(), story }
    }

    fn cycle(&self, cycle: &Cycle, facts: &Facts) -> Anomaly {
        let mut story = format!("a cycle of {}", cycle.edges.len());
        for edge in &cycle.edges {
            let _ = write!(story, "\n    T{}: {}", edge.from, self.committed[edge.from as usize]);
            let key = edge.key.0;
            let _ = match edge.why {
                Why::Ww => write!(story, "\n      whose k{key} is replaced by T{} (ww)", edge.to),
                Why::Wr => write!(story, "\n      whose k{key} is found by T{} (wr)", edge.to),
                Why::Rw => write!(story, "\n      which found k{key} as it was before T{} (rw)", edge.to),
                Why::RealTime => write!(story, "\n      which was over before T{} began (real time)", edge.to),
            };
        }
        Anomaly { kind: cycle.kind(facts), story }
    }

    fn no_order(&self, stuck: Option<&order::Stuck>) -> Anomaly {
        let mut story = "no serial order was found that gives these answers".to_owned();
        if let Some(stuck) = stuck {
            let _ = write!(
                story,
                "; {} of {} ran, {} other choices were tried. Then:",
                stuck.ran,
                self.committed.len(),
                stuck.repairs
            );
            for (number, why) in &stuck.transactions {
                let _ = write!(story, "\n    T{number}: {}\n      {why}", self.committed[*number as usize]);
            }
        }
        Anomaly { kind: "no order".to_owned(), story }
    }
}
