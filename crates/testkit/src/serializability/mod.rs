//! Strict serializability: random transactions on few keys, what clients saw of them, and a checker that proves or refutes.
//!
//! **What is proven.** "No anomaly" means that an order of all committed transactions was found and checked: run one after
//! the other in that order, a plain serial store gives every answer that was given, and no transaction comes after one that
//! was invoked when it had completed already. That is strict serializability itself, of that history; the five conditions
//! are in `proof.rs`, which with `store.rs` is all that must be right for it. Every command that clients sent is in the
//! order, also those of which little is known. Aborted transactions are not in it, and none of their tokens may be seen.
//!
//! **How the order is found.** The method is that of Elle for list-append histories (Kingsbury and Alvaro, "Elle: Inferring
//! Isolation Anomalies from Experimental Observations", VLDB 2020), on strings: APPEND of unique tokens makes every value a
//! list that names its writers in order. From those follow write-write, write-read and read-write edges (`infer.rs`). Redis
//! has what Elle's lists have not: keys that end (DEL, SET, expiry, FLUSHALL) and values that move (RENAME, COPY). What
//! those leave open is narrowed by real time (`periods.rs`, `lengths.rs`, `moves.rs`), always to what is certain. The rest
//! is searched (`order.rs`), much as Cobra and its like leave to a solver what edges do not decide.
//!
//! **What an anomaly means.** A cycle of certain edges and real time (`cycles.rs`, a shortest one is shown), and what needs
//! no order to be wrong (G1a, G1b, values that do not continue each other, an EXEC that contradicts itself), are proofs that
//! there is no order. "No order" alone says that the search found none: the history shows no cycle of certain edges, and
//! still some transaction could not be placed. As the search is heuristic, such a report is to be read; the default mix and
//! depth of pipelines are such that it finds the order of millions of operations of redis-server, which has one.
//!
//! **What is not looked at.** Several databases (SWAPDB, MOVE, SELECT), other types than strings, and whether an EXEC was
//! aborted without need.
//!
//! ```text
//! Mix ──plans──▶ Run (clients of a server) ──┐                    ┌─▶ Proven: an order, checked
//!        └─────▶ simulate (faults on demand) ┴─▶ History ─ check ─┴─▶ anomalies, each with its story
//! ```
mod access;
mod checker;
mod cycles;
mod generate;
mod history;
mod infer;
mod lengths;
mod live;
mod moves;
mod order;
mod periods;
mod proof;
mod simulate;
mod store;

pub use checker::{Anomaly, Proven, check};
pub use generate::{Mix, Plan, Source};
pub use history::{
    Action, Answer, CLOCK_SLACK, Content, History, KEYS_MAX, Key, Only, Op, Outcome, Seen, TOKEN_BYTES, Token,
    Transaction, Watched, key_name,
};
pub use live::{Load, Run};
pub use simulate::{Fault, Settings, simulate};
pub use store::Store;
