//! Jobs of the storage executor seen from a core loop: answers come as mail, also to a core that sleeps, and a core without
//! work wakes for nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pinyon_runtime::storage::{Answer, StreamId};
use pinyon_runtime::{App, ConnId, CoreId, Io, ListenSpec, Next, PeerInfo, RuntimeConfig, bind, run};

enum Note {
    /// A lone job has come home.
    Lone(u64),
    Burst,
    Written(std::io::Result<u64>),
    /// From core to core: this one is done.
    Done,
}

const LONE: u64 = 2_000;
const BURST: u64 = 500;

struct Program {
    core: u16,
    bursts: u64,
    done: usize,
    written: bool,
    total: Arc<AtomicU64>,
}

impl Program {
    fn lone(io: &mut Io<Note>, number: u64) {
        io.store(move |files| match number % 2 {
            0 => Answer::now(Note::Lone(number)),
            _ => files.read("/proc/self/exe", number, 100).then(move |read| {
                assert_eq!(read.unwrap().len(), 100);
                Note::Lone(number)
            }),
        });
    }
}

impl App for Program {
    type Mail = Note;

    fn on_start(&mut self, io: &mut Io<Note>) {
        assert!(io.has_storage());
        Self::lone(io, 0);
    }

    fn on_open(&mut self, _: &mut Io<Note>, _: ConnId, _: &PeerInfo) {}
    fn on_data(&mut self, _: &mut Io<Note>, _: ConnId, _: &[u8]) {}
    fn on_close(&mut self, _: &mut Io<Note>, _: ConnId) {}

    fn on_mail(&mut self, io: &mut Io<Note>, _: CoreId, mail: Note) {
        self.total.fetch_add(1, Ordering::Relaxed);
        match mail {
            Note::Lone(number) if number < LONE => Self::lone(io, number + 1),
            Note::Lone(_) => (0..BURST).for_each(|_| io.store(|_| Answer::now(Note::Burst))),
            Note::Burst => {
                self.bursts += 1;
                if self.bursts == BURST {
                    let path = std::env::temp_dir().join(format!("pinyon-core-{}-{}", std::process::id(), self.core));
                    let id = StreamId(7);
                    io.store(move |files| {
                        let files = files.clone();
                        let made = files.create(id, path.clone());
                        made.and(move |made| {
                            made.unwrap();
                            drop(files.append(id, &[1; 3_000_000]));
                            files.finish(id)
                        })
                        .then(move |length| {
                            std::fs::remove_file(path).unwrap();
                            Note::Written(length)
                        })
                    });
                }
            }
            Note::Written(length) => {
                assert_eq!(length.unwrap(), 3_000_000);
                self.written = true;
                (0..io.cores()).for_each(|core| io.mail(CoreId(core as u16), Note::Done));
            }
            Note::Done => self.done += 1,
        }
    }

    fn on_turn(&mut self, io: &mut Io<Note>) -> Next {
        if self.written && self.done == io.cores() { Next::Stop } else { Next::IDLE }
    }
}

#[test]
fn answers_wake_a_core_that_sleeps() {
    let mut cfg = RuntimeConfig::new(2);
    cfg.signals = false;
    cfg.storage = true;
    let spec = ListenSpec { cores: 2, tcp: vec!["127.0.0.1:0".parse().unwrap()], backlog: 16, ..ListenSpec::default() };
    let listeners = bind(&spec).unwrap();
    let total = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&total);
    let begin = Instant::now();
    run(cfg, listeners, move |core| Program {
        core: core.0,
        bursts: 0,
        done: 0,
        written: false,
        total: Arc::clone(&counted),
    })
    .unwrap();
    assert_eq!(total.load(Ordering::Relaxed), 2 * (LONE + 1 + BURST + 1 + 2));
    println!("{:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(60));
}
