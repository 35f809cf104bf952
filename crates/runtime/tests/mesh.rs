//! Messages between cores: none lost, none out of order, no wake-up missed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use pinyon_runtime::{App, ConnId, CoreId, Io, Listeners, Next, PeerInfo, RuntimeConfig, WakeBy, run};

/// Runs in a thread of its own and gives up after a time that only a lost wake-up would take.
fn watched(cfg: RuntimeConfig, make: impl Fn(CoreId) -> Tokens + Send + Sync + 'static) {
    let (done, finished) = mpsc::channel();
    thread::spawn(move || {
        let cores = cfg.cpus.len();
        done.send(run(cfg, Listeners::none(cores), make)).unwrap();
    });
    match finished.recv_timeout(Duration::from_secs(120)) {
        Ok(result) => result.unwrap(),
        Err(error) => panic!("the cores hang: {error}"),
    }
}

enum Note {
    /// Goes from core to core until it has no hops left.
    Token {
        hops: u32,
        sequence: u64,
    },
    /// A token has ended.
    Ended,
    Stop,
}

/// Passes tokens around; core 0 stops all when the last has ended.
struct Tokens {
    start: u32,
    hops: u32,
    expecting: bool,
    left: u32,
    stop: bool,
    dice: u64,
    sent_to: Vec<u64>,
    got_from: Vec<u64>,
    delivered: Arc<AtomicU64>,
}

impl Tokens {
    fn new(core: CoreId, cores: usize, start: u32, hops: u32, delivered: &Arc<AtomicU64>) -> Tokens {
        Tokens {
            start,
            hops,
            expecting: false,
            left: start,
            stop: false,
            dice: 0x9e37_79b9_7f4a_7c15 ^ u64::from(core.0 + 1),
            sent_to: vec![0; cores],
            got_from: vec![0; cores],
            delivered: Arc::clone(delivered),
        }
    }

    fn pass(&mut self, io: &mut Io<Note>, hops: u32) {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        let others = io.cores() as u64 - 1;
        let to = (u64::from(io.core().0) + 1 + self.dice % others) % io.cores() as u64;
        let sequence = self.sent_to[to as usize];
        self.sent_to[to as usize] += 1;
        io.mail(CoreId(to as u16), Note::Token { hops, sequence });
    }
}

impl App for Tokens {
    type Mail = Note;

    fn on_start(&mut self, io: &mut Io<Note>) {
        if io.core() == CoreId(0) {
            for _ in 0..self.start {
                self.pass(io, self.hops);
            }
        }
    }

    fn on_open(&mut self, _: &mut Io<Note>, _: ConnId, _: &PeerInfo) {}
    fn on_data(&mut self, _: &mut Io<Note>, _: ConnId, _: &[u8]) {}
    fn on_close(&mut self, _: &mut Io<Note>, _: ConnId) {}

    fn on_mail(&mut self, io: &mut Io<Note>, from: CoreId, mail: Note) {
        match mail {
            Note::Token { hops, sequence } => {
                let expected = &mut self.got_from[usize::from(from.0)];
                assert_eq!(sequence, *expected, "from core {from}");
                *expected += 1;
                self.delivered.fetch_add(1, Ordering::Relaxed);
                match hops {
                    0 | 1 => io.mail(CoreId(0), Note::Ended),
                    _ => self.pass(io, hops - 1),
                }
            }
            Note::Ended => {
                self.left -= 1;
                if self.left == 0 {
                    for core in 0..io.cores() {
                        io.mail(CoreId(core as u16), Note::Stop);
                    }
                }
            }
            Note::Stop => self.stop = true,
        }
    }

    fn on_turn(&mut self, _: &mut Io<Note>) -> Next {
        if self.stop {
            return Next::Stop;
        }
        Next::Sleep { until: None, expecting: self.expecting }
    }
}

fn pass_around(mut cfg: RuntimeConfig, tokens: u32, hops: u32, expecting: bool) {
    cfg.signals = false;
    let cores = cfg.cpus.len();
    let delivered = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&delivered);
    watched(cfg, move |core| Tokens { expecting, ..Tokens::new(core, cores, tokens, hops, &counter) });
    assert_eq!(delivered.load(Ordering::Relaxed), u64::from(tokens) * u64::from(hops));
}

/// All cores sleep between any two messages.
#[test]
fn one_token_among_sleeping_cores() {
    pass_around(RuntimeConfig::new(3), 1, 60_000, false);
}

#[test]
fn a_million_messages_among_three_cores() {
    pass_around(RuntimeConfig::new(3), 7, 60_000, false);
    pass_around(RuntimeConfig::new(3), 100, 6_000, false);
}

#[test]
fn spinning_while_expecting() {
    pass_around(RuntimeConfig::new(2), 3, 100_000, true);
}

#[test]
fn more_cores_than_cpus() {
    pass_around(RuntimeConfig::new(9), 20, 5_000, true);
}

#[test]
fn woken_by_eventfd() {
    let cfg = RuntimeConfig { wake: WakeBy::EventFd, ..RuntimeConfig::new(3) };
    pass_around(cfg, 2, 30_000, false);
}

#[test]
fn full_queues_keep_order_and_lose_nothing() {
    for wake in [WakeBy::Ring, WakeBy::EventFd] {
        // Far more tokens than fit between two cores, each passed on in the turn it arrives.
        let cfg = RuntimeConfig { mail_capacity: 4, wake, ..RuntimeConfig::new(3) };
        pass_around(cfg, 20_000, 10, false);
        let cfg = RuntimeConfig { mail_capacity: 1, wake, ..RuntimeConfig::new(2) };
        pass_around(cfg, 1_000, 20, false);
    }
}

/// Mail to the core itself needs no peer and no wake-up.
#[test]
fn mail_to_oneself() {
    struct Own(u32);
    impl App for Own {
        type Mail = u32;
        fn on_start(&mut self, io: &mut Io<u32>) {
            io.mail(io.core(), 1);
        }
        fn on_open(&mut self, _: &mut Io<u32>, _: ConnId, _: &PeerInfo) {}
        fn on_data(&mut self, _: &mut Io<u32>, _: ConnId, _: &[u8]) {}
        fn on_close(&mut self, _: &mut Io<u32>, _: ConnId) {}
        fn on_mail(&mut self, io: &mut Io<u32>, from: CoreId, mail: u32) {
            assert_eq!(from, io.core());
            self.0 = mail;
            if mail < 1000 {
                io.mail(io.core(), mail + 1);
            }
        }
        fn on_turn(&mut self, _: &mut Io<u32>) -> Next {
            if self.0 == 1000 { Next::Stop } else { Next::IDLE }
        }
    }
    let cfg = RuntimeConfig { signals: false, ..RuntimeConfig::new(1) };
    run(cfg, Listeners::none(1), |_| Own(0)).unwrap();
}
