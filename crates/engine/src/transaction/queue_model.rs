//! A model of many coordinators and shards whose messages arrive in any order that keeps each pair's own: whatever the
//! order, every transaction comes to its end, and no two that conflict are ever under way together.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::{Access, Event, Intents, Queue};

/// Keys of a shard; few, so that transactions collide.
const KEYS: u64 = 4;

/// What one transaction wants of one shard.
#[derive(Clone, Debug)]
enum Want {
    Nothing,
    Keys(Vec<(u64, bool)>),
    All(bool),
}

/// Messages on their way, by shard.
#[derive(Clone, Copy, Debug)]
enum Message {
    Acquire,
    Yielded,
    Release,
    Granted,
    Yield,
}

struct Coordinator {
    wants: Vec<Intents>,
    granted: Vec<bool>,
    begun: bool,
    released: usize,
}

struct World {
    coordinators: Vec<Coordinator>,
    shards: Vec<Queue<usize>>,
    /// By transaction and shard: the way there and the way back.
    there: Vec<Vec<VecDeque<Message>>>,
    back: Vec<Vec<VecDeque<Message>>>,
    finished: Vec<usize>,
}

fn access(write: bool) -> Access {
    if write { Access::Write } else { Access::Read }
}

fn intents(want: &Want) -> Intents {
    match want {
        Want::Nothing => Intents::default(),
        Want::All(write) => Intents::whole(access(*write)),
        Want::Keys(keys) => {
            let mut intents = Intents::default();
            keys.iter().for_each(|&(key, write)| intents.add(key, access(write)));
            intents.settle();
            intents
        }
    }
}

fn conflict(a: &Intents, b: &Intents) -> bool {
    match (a.all(), b.all()) {
        (Some(access), _) => !b.is_empty() && access.conflicts(b.most()),
        (None, Some(access)) => !a.is_empty() && access.conflicts(a.most()),
        _ => a.keys().iter().any(|x| b.keys().iter().any(|y| x.hash == y.hash && x.access.conflicts(y.access))),
    }
}

impl World {
    fn new(wants: &[Vec<Want>]) -> World {
        let shards = wants[0].len();
        let coordinators = wants.iter().map(|wants| Coordinator {
            wants: wants.iter().map(intents).collect(),
            granted: vec![false; shards],
            begun: false,
            released: 0,
        });
        let ways = || (0..wants.len()).map(|_| (0..shards).map(|_| VecDeque::new()).collect()).collect();
        World {
            coordinators: coordinators.collect(),
            shards: (0..shards).map(|_| Queue::default()).collect(),
            there: ways(),
            back: ways(),
            finished: Vec::new(),
        }
    }

    fn start(&mut self, t: usize) {
        for shard in 0..self.shards.len() {
            if !self.coordinators[t].wants[shard].is_empty() {
                self.there[t][shard].push_back(Message::Acquire);
            }
        }
        self.maybe_begin(t);
    }

    /// Every way that has a message.
    fn ways(&self) -> Vec<(bool, usize, usize)> {
        let of = |ways: &Vec<Vec<VecDeque<Message>>>, out: bool| {
            let mut found = Vec::new();
            for (t, shards) in ways.iter().enumerate() {
                found.extend((0..shards.len()).filter(|&shard| !shards[shard].is_empty()).map(|shard| (out, t, shard)));
            }
            found
        };
        [of(&self.there, true), of(&self.back, false)].concat()
    }

    fn deliver(&mut self, (out, t, shard): (bool, usize, usize)) {
        let way = if out { &mut self.there } else { &mut self.back };
        let message = way[t][shard].pop_front().expect("chosen for having one");
        let mut events = Vec::new();
        let queue = &mut self.shards[shard];
        match message {
            Message::Acquire => {
                if queue.acquire(t as u64, self.coordinators[t].wants[shard].clone(), t, &mut events) {
                    events.push(Event::Granted(t));
                }
            }
            Message::Yielded => {
                queue.yielded(t as u64);
                queue.grant(&mut events);
            }
            Message::Release => {
                queue.release(t as u64);
                queue.grant(&mut events);
                self.coordinators[t].released += 1;
            }
            Message::Granted => {
                self.coordinators[t].granted[shard] = true;
                self.maybe_begin(t);
            }
            Message::Yield => {
                let coordinator = &mut self.coordinators[t];
                if !coordinator.begun && coordinator.granted[shard] {
                    coordinator.granted[shard] = false;
                    self.there[t][shard].push_back(Message::Yielded);
                }
            }
        }
        for event in events {
            match event {
                Event::Granted(t) => self.back[t][shard].push_back(Message::Granted),
                Event::Yield(t) => self.back[t][shard].push_back(Message::Yield),
            }
        }
    }

    /// The lock point: all are granted, so nobody who conflicts may be between his own and his last release.
    fn maybe_begin(&mut self, t: usize) {
        let all = |c: &Coordinator| c.wants.iter().zip(&c.granted).all(|(want, granted)| want.is_empty() || *granted);
        if self.coordinators[t].begun || !all(&self.coordinators[t]) {
            return;
        }
        self.coordinators[t].begun = true;
        for shard in 0..self.shards.len() {
            let mine = &self.coordinators[t].wants[shard];
            if mine.is_empty() {
                continue;
            }
            for (other, coordinator) in self.coordinators.iter().enumerate() {
                let under_way = other != t && coordinator.begun && self.is_here(other, shard);
                assert!(!(under_way && conflict(mine, &coordinator.wants[shard])), "{t} and {other} on shard {shard}");
            }
            self.there[t][shard].push_back(Message::Release);
        }
        self.finished.push(t);
    }

    /// Whether a transaction that has begun has not been released by a shard yet.
    fn is_here(&self, t: usize, shard: usize) -> bool {
        self.there[t][shard].iter().any(|message| matches!(message, Message::Release))
    }
}

fn want() -> impl Strategy<Value = Want> {
    let keys = proptest::collection::vec((0..KEYS, any::<bool>()), 1..4);
    prop_oneof![4 => Just(Want::Nothing), 12 => keys.prop_map(Want::Keys), 1 => any::<bool>().prop_map(Want::All)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn all_come_to_their_end_and_none_meets_another(
        wants in (1..5usize).prop_flat_map(|shards| {
            proptest::collection::vec(proptest::collection::vec(want(), shards), 1..24)
        }),
        choices in proptest::collection::vec(any::<u16>(), 64..512),
    ) {
        let mut world = World::new(&wants);
        let mut choices = choices.into_iter().cycle();
        let mut choose = |n: usize| usize::from(choices.next().expect("it is endless")) % n;
        let mut started = 0;
        let mut steps = 0;
        loop {
            let ways = world.ways();
            if started < wants.len() && (ways.is_empty() || choose(3) == 0) {
                world.start(started);
                started += 1;
            } else if !ways.is_empty() {
                let way = ways[choose(ways.len())];
                world.deliver(way);
            } else {
                break;
            }
            steps += 1;
            prop_assert!(steps < 100_000, "no end");
        }
        prop_assert_eq!(world.finished.len(), wants.len(), "somebody waits for ever");
        prop_assert!(world.shards.iter().all(|queue| queue.is_empty() && !queue.is_holding()));
    }
}
