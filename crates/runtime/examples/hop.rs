//! What a message to another core costs: two cores pass tokens to and fro.
//!
//! ```text
//! hop [--cpus 0,1] [--tokens 1] [--hops 200000] [--sleep] [--eventfd]
//! ```
//! With `--sleep` cores sleep between messages instead of spinning for them.

use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use pinyon_runtime::{App, ConnId, CoreId, Io, Listeners, Next, PeerInfo, RuntimeConfig, WakeBy, clock, run};

struct Hops {
    tokens: u32,
    hops: u32,
    expecting: bool,
    ended: u32,
    stop: bool,
    began: u64,
}

enum Note {
    Token(u32),
    Stop,
}

static TOOK: Mutex<Option<Duration>> = Mutex::new(None);

impl App for Hops {
    type Mail = Note;

    fn on_start(&mut self, io: &mut Io<Note>) {
        self.began = clock::monotonic_ns();
        if io.core() == CoreId(0) {
            for _ in 0..self.tokens {
                io.mail(CoreId(1), Note::Token(self.hops));
            }
        }
    }

    fn on_open(&mut self, _: &mut Io<Note>, _: ConnId, _: &PeerInfo) {}
    fn on_data(&mut self, _: &mut Io<Note>, _: ConnId, _: &[u8]) {}
    fn on_close(&mut self, _: &mut Io<Note>, _: ConnId) {}

    fn on_mail(&mut self, io: &mut Io<Note>, from: CoreId, note: Note) {
        match note {
            Note::Token(0) => {
                self.ended += 1;
                if self.ended == self.tokens {
                    let took = Duration::from_nanos(clock::monotonic_ns() - self.began);
                    if let Ok(mut place) = TOOK.lock() {
                        *place = Some(took);
                    }
                    io.mail(CoreId(0), Note::Stop);
                    io.mail(CoreId(1), Note::Stop);
                }
            }
            Note::Token(hops) => io.mail(from, Note::Token(hops - 1)),
            Note::Stop => self.stop = true,
        }
    }

    fn on_turn(&mut self, _: &mut Io<Note>) -> Next {
        match self.stop {
            true => Next::Stop,
            false => Next::Sleep { until: None, expecting: self.expecting },
        }
    }
}

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hop: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<(), Box<dyn std::error::Error>> {
    let mut cfg = RuntimeConfig { signals: false, ..RuntimeConfig::new(2) };
    // An even number of hops: all tokens end on the same core.
    let (mut tokens, mut hops, mut expecting) = (1u32, 200_000u32, true);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--cpus" => {
                cfg.cpus = value()?.split(',').map(|cpu| cpu.parse().map(Some)).collect::<Result<_, _>>()?;
            }
            "--tokens" => tokens = value()?.parse()?,
            "--hops" => hops = value()?.parse::<u32>()? & !1,
            "--sleep" => {
                expecting = false;
                cfg.busy_spin_us = 0;
            }
            "--eventfd" => cfg.wake = WakeBy::EventFd,
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    run(cfg, Listeners::none(2), |_| Hops { tokens, hops, expecting, ended: 0, stop: false, began: 0 })?;
    let took = TOOK.lock().ok().and_then(|place| *place).ok_or("no result")?;
    let messages = f64::from(tokens) * f64::from(hops);
    println!(
        "{tokens} tokens: {:.2} us per round trip, {:.2} M messages/s",
        took.as_secs_f64() * 2e6 / f64::from(hops),
        messages / took.as_secs_f64() / 1e6
    );
    Ok(())
}
