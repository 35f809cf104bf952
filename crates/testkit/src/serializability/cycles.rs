//! Cycles among transactions: what no serial order can contain.
//!
//! Edges are those inferred, and those of real time. Of the latter there are as many as pairs, so they go through a line of
//! barriers, one per completion: a transaction leads to the barrier of its completion, each barrier to the next, and the last
//! one before an invocation to the transaction invoked. A path between two transactions over barriers exists exactly if the
//! first completed before the second was invoked, and there are as many edges as nodes.
//!
//! Strongly connected components are found by Tarjan's algorithm, in each a shortest cycle by breadth-first search with
//! barriers at no cost. Its name is Adya's, from the kinds of edges in it: G0 (only `ww`), G1c (`ww` and `wr`), G-single (one
//! `rw`), G2 (several), and "real-time" where it has such edges, too.

use std::collections::{HashMap, VecDeque};

use super::history::{Key, Transaction};
use super::infer::{Edge, Facts, Why};

/// A cycle: each edge leads from its transaction to the next, the last one to the first.
#[derive(Clone, PartialEq, Debug)]
pub struct Cycle {
    pub edges: Vec<Edge>,
}

/// Cycles that are looked for before it is enough.
const CYCLES_MAX: usize = 10;
/// Transactions of a component from which cycles are searched.
const STARTS_MAX: usize = 200;

/// Short cycles, each in a component of its own; those without real time first.
pub fn find(facts: &Facts, committed: &[&Transaction]) -> Vec<Cycle> {
    let mut cycles = Graph::new(facts, committed, false).cycles();
    let mut seen: Vec<u32> = cycles.iter().flat_map(|cycle| cycle.edges.iter().map(|edge| edge.from)).collect();
    for cycle in Graph::new(facts, committed, true).cycles() {
        if cycle.edges.iter().all(|edge| !seen.contains(&edge.from)) {
            seen.extend(cycle.edges.iter().map(|edge| edge.from));
            cycles.push(cycle);
        }
    }
    cycles
}

impl Cycle {
    /// The anomaly's name.
    pub fn kind(&self, facts: &Facts) -> String {
        let count = |why| self.edges.iter().filter(|edge| edge.why == why).count();
        let (ww, wr, rw, real_time) = (count(Why::Ww), count(Why::Wr), count(Why::Rw), count(Why::RealTime));
        if self.is_lost_update(facts) {
            return "lost update".to_owned();
        }
        let kind = match (rw, wr, ww) {
            (0, 0, 0) => "real time alone",
            (0, 0, _) => "G0",
            (0, _, _) => "G1c",
            (1, _, _) => "G-single",
            _ => "G2",
        };
        if real_time > 0 { format!("{kind}, real-time") } else { kind.to_owned() }
    }

    /// Two transactions that found the same value and both replaced it.
    fn is_lost_update(&self, facts: &Facts) -> bool {
        let [a, b] = self.edges[..] else { return false };
        let writes = |edge: Edge| {
            facts.accesses[edge.from as usize].iter().any(|access| access.key == edge.key && access.written)
        };
        a.why == Why::Rw && b.why == Why::Rw && a.key == b.key && writes(a) && writes(b)
    }
}

struct Graph<'a> {
    facts: &'a Facts,
    transactions: usize,
    /// Inferred edges by transaction.
    starts: Vec<u32>,
    to: Vec<u32>,
    /// By transaction: the barrier of its completion. Empty without real time.
    barrier_of: Vec<u32>,
    /// By barrier: the transactions that come right behind it.
    behind: Vec<Vec<u32>>,
}

impl<'a> Graph<'a> {
    fn new(facts: &'a Facts, committed: &[&Transaction], real_time: bool) -> Graph<'a> {
        let count = committed.len();
        let mut starts = vec![0u32; count + 1];
        facts.edges.iter().for_each(|edge| starts[edge.from as usize + 1] += 1);
        for i in 0..count {
            starts[i + 1] += starts[i];
        }
        let mut next = starts.clone();
        let mut to = vec![0; facts.edges.len()];
        for edge in &facts.edges {
            to[next[edge.from as usize] as usize] = edge.to;
            next[edge.from as usize] += 1;
        }
        let (mut barrier_of, mut behind) = (Vec::new(), Vec::new());
        if real_time {
            let mut by_completion: Vec<u32> = (0..count as u32).collect();
            by_completion.sort_by_key(|i| committed[*i as usize].completed);
            barrier_of = vec![0; count];
            by_completion.iter().enumerate().for_each(|(rank, i)| barrier_of[*i as usize] = rank as u32);
            behind = vec![Vec::new(); count];
            for (i, transaction) in committed.iter().enumerate() {
                let before = by_completion.partition_point(|j| committed[*j as usize].completed < transaction.invoked);
                if before > 0 {
                    behind[before - 1].push(i as u32);
                }
            }
        }
        Graph { facts, transactions: count, starts, to, barrier_of, behind }
    }

    fn nodes(&self) -> usize {
        self.transactions + self.behind.len()
    }

    /// The `i`th node that follows `node`, barriers numbered behind the transactions.
    fn follower(&self, node: u32, i: usize) -> Option<u32> {
        let count = self.transactions;
        if let Some(barrier) = (node as usize).checked_sub(count) {
            return match i {
                0 if barrier + 1 < self.behind.len() => Some(node + 1),
                _ => self.behind[barrier].get(i - usize::from(barrier + 1 < self.behind.len())).copied(),
            };
        }
        let edges = &self.to[self.starts[node as usize] as usize..self.starts[node as usize + 1] as usize];
        match edges.get(i) {
            Some(to) => Some(*to),
            None if i == edges.len() => self.barrier_of.get(node as usize).map(|barrier| barrier + count as u32),
            None => None,
        }
    }

    fn cycles(&self) -> Vec<Cycle> {
        let (component_of, components) = self.components();
        let mut cycles = Vec::new();
        for (number, members) in components {
            let shortest = members
                .iter()
                .take(STARTS_MAX)
                .filter_map(|start| self.shortest_cycle(*start, number, &component_of))
                .min_by_key(Vec::len);
            if let Some(nodes) = shortest {
                cycles.push(self.named(&nodes));
                if cycles.len() == CYCLES_MAX {
                    break;
                }
            }
        }
        cycles
    }

    /// The component of each node, and those that hold more than one node, with their transactions.
    fn components(&self) -> (Vec<u32>, Vec<(u32, Vec<u32>)>) {
        const NEW: u32 = u32::MAX;
        let nodes = self.nodes();
        let (mut index, mut low) = (vec![NEW; nodes], vec![0u32; nodes]);
        let mut component_of = vec![NEW; nodes];
        let mut stack = Vec::new();
        let mut work: Vec<(u32, usize)> = Vec::new();
        let mut large = Vec::new();
        let (mut counter, mut components) = (0, 0);
        for root in 0..nodes as u32 {
            if index[root as usize] != NEW {
                continue;
            }
            work.push((root, 0));
            while let Some((node, i)) = work.pop() {
                let at = node as usize;
                if i == 0 {
                    (index[at], low[at]) = (counter, counter);
                    counter += 1;
                    stack.push(node);
                }
                if let Some(next) = self.follower(node, i) {
                    work.push((node, i + 1));
                    if index[next as usize] == NEW {
                        work.push((next, 0));
                    } else if component_of[next as usize] == NEW {
                        low[at] = low[at].min(index[next as usize]);
                    }
                    continue;
                }
                if low[at] == index[at] {
                    let from = stack.iter().rposition(|member| *member == node).unwrap_or(0);
                    let members = stack.split_off(from);
                    members.iter().for_each(|member| component_of[*member as usize] = components);
                    if members.len() > 1 {
                        let own = |member: &u32| (*member as usize) < self.transactions;
                        large.push((components, members.into_iter().filter(own).collect()));
                    }
                    components += 1;
                }
                if let Some((parent, _)) = work.last() {
                    low[*parent as usize] = low[*parent as usize].min(low[at]);
                }
            }
        }
        (component_of, large)
    }

    /// A shortest cycle through a transaction, inside its component; barriers cost nothing.
    fn shortest_cycle(&self, start: u32, component: u32, component_of: &[u32]) -> Option<Vec<u32>> {
        let mut came_from: HashMap<u32, u32> = HashMap::new();
        let mut queue = VecDeque::from([start]);
        while let Some(node) = queue.pop_front() {
            for i in 0.. {
                let Some(next) = self.follower(node, i) else { break };
                if next == start {
                    let mut path = vec![node];
                    while path[path.len() - 1] != start {
                        path.push(came_from[&path[path.len() - 1]]);
                    }
                    path.reverse();
                    path.retain(|node| (*node as usize) < self.transactions);
                    return Some(path);
                }
                if component_of[next as usize] != component || came_from.contains_key(&next) {
                    continue;
                }
                came_from.insert(next, node);
                if next as usize >= self.transactions { queue.push_front(next) } else { queue.push_back(next) }
            }
        }
        None
    }

    /// The edges between transactions that follow each other on a path.
    fn named(&self, nodes: &[u32]) -> Cycle {
        let next = nodes.iter().cycle().skip(1);
        let edges = nodes.iter().zip(next).map(|(&from, &to)| {
            let inferred =
                self.facts.edges.iter().filter(|edge| edge.from == from && edge.to == to).min_by_key(|edge| edge.why);
            inferred.copied().unwrap_or(Edge { from, to, why: Why::RealTime, key: Key(0) })
        });
        Cycle { edges: edges.collect() }
    }
}
