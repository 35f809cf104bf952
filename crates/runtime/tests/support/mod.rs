//! A runtime under test: an echo program on some cores, in threads of the test's own process, with
//! a control listener that stops it.
#![allow(dead_code)]

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use pinyon_runtime::{
    App, ConnId, CoreId, Io, IoStats, ListenSpec, Next, PeerInfo, PeerKind, RuntimeConfig, RuntimeError, UnixListen,
    bind, host, run,
};

/// What the program does with a connection, by the listener it came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Sends back what arrives.
    Echo,
    /// As `Echo`, but stops receiving while much is unsent.
    Gentle,
    /// As `Echo`, each piece as a shared blob between two bytes of frame: `<` blob `>`.
    Blob,
    /// As `Echo`, and pauses after each receive until a later turn.
    Stutter,
    /// Sends `n` bytes for the request `n\n`, then closes.
    Blast,
    /// Answers the peer's end with all bytes it got, reversed.
    AtEof,
    /// As `Echo`, with the output held; what ends in `.` gets a `!` in a later turn, which releases it.
    Held,
    /// Any byte stops the runtime.
    Control,
}

pub const MODES: [Mode; 8] =
    [Mode::Echo, Mode::Gentle, Mode::Blob, Mode::Stutter, Mode::Blast, Mode::AtEof, Mode::Held, Mode::Control];

/// What the cores have counted; complete after `Running::stop`.
#[derive(Default)]
pub struct Seen {
    pub stats: Mutex<Vec<IoStats>>,
    pub opens: AtomicU64,
    pub closes: AtomicU64,
    /// Connections per core.
    pub per_core: Mutex<HashMap<u16, u64>>,
    pub unsent_max: AtomicU64,
}

pub enum Note {
    Rest(ConnId),
    Stop,
}

struct State {
    mode: Mode,
    kept: Vec<u8>,
    paused: bool,
}

pub struct Program {
    seen: Arc<Seen>,
    conns: HashMap<ConnId, State>,
    stop: bool,
    turns: u64,
}

impl Program {
    pub fn new(seen: Arc<Seen>) -> Program {
        Program { seen, conns: HashMap::new(), stop: false, turns: 0 }
    }
}

const GENTLE_MAX: usize = 256 * 1024;

impl App for Program {
    type Mail = Note;

    fn on_open(&mut self, io: &mut Io<Note>, conn: ConnId, peer: &PeerInfo) {
        self.seen.opens.fetch_add(1, Ordering::Relaxed);
        *self.seen.per_core.lock().unwrap().entry(io.core().0).or_default() += 1;
        let mode = match peer.kind {
            PeerKind::Tcp => MODES[peer.listener % MODES.len()],
            PeerKind::Unix => Mode::Echo,
        };
        if peer.kind == PeerKind::Tcp {
            assert!(peer.is_loopback());
            assert!(peer.addr_text().contains(':'));
        }
        let before = self.conns.insert(conn, State { mode, kept: Vec::new(), paused: false });
        assert!(before.is_none(), "an id was used twice");
    }

    fn on_data(&mut self, io: &mut Io<Note>, conn: ConnId, data: &[u8]) {
        assert!(!data.is_empty());
        let state = self.conns.get_mut(&conn).expect("data of an open connection");
        assert!(!state.paused, "data of a paused connection");
        match state.mode {
            Mode::Echo => io.output(conn).unwrap().bytes_mut().extend_from_slice(data),
            Mode::Gentle => {
                io.output(conn).unwrap().bytes_mut().extend_from_slice(data);
                let unsent = io.unsent(conn);
                self.seen.unsent_max.fetch_max(unsent as u64, Ordering::Relaxed);
                if unsent > GENTLE_MAX {
                    state.paused = true;
                    io.pause(conn);
                }
            }
            Mode::Blob => {
                let output = io.output(conn).unwrap();
                output.bytes_mut().push(b'<');
                output.push_blob(Arc::new(data.to_vec()));
                output.bytes_mut().push(b'>');
            }
            Mode::Stutter => {
                io.output(conn).unwrap().bytes_mut().extend_from_slice(data);
                state.paused = true;
                io.pause(conn);
                assert!(io.is_paused(conn));
            }
            Mode::Blast => {
                state.kept.extend_from_slice(data);
                if let Some(text) = state.kept.strip_suffix(b"\n") {
                    let bytes: usize = std::str::from_utf8(text).unwrap().parse().unwrap();
                    let output = io.output(conn).unwrap();
                    let start = output.len();
                    output.bytes_mut().extend((start..start + bytes).map(|i| i as u8));
                    io.close_after_output(conn);
                }
            }
            Mode::AtEof => state.kept.extend_from_slice(data),
            Mode::Held => {
                io.output(conn).unwrap().bytes_mut().extend_from_slice(data);
                io.hold(conn);
                if data.ends_with(b".") {
                    io.mail(io.core(), Note::Rest(conn));
                }
            }
            Mode::Control => {
                for core in 0..io.cores() {
                    io.mail(CoreId(core as u16), Note::Stop);
                }
            }
        }
    }

    fn on_eof(&mut self, io: &mut Io<Note>, conn: ConnId) {
        let state = self.conns.get_mut(&conn).expect("end of an open connection");
        if state.mode == Mode::AtEof {
            state.kept.reverse();
            io.output(conn).unwrap().bytes_mut().extend_from_slice(&state.kept);
        }
        io.close_after_output(conn);
    }

    fn on_close(&mut self, io: &mut Io<Note>, conn: ConnId) {
        assert!(io.output(conn).is_none());
        assert!(self.conns.remove(&conn).is_some(), "closed twice");
        self.seen.closes.fetch_add(1, Ordering::Relaxed);
    }

    fn on_mail(&mut self, io: &mut Io<Note>, _from: CoreId, mail: Note) {
        match mail {
            Note::Rest(conn) => {
                if let Some(output) = io.output(conn) {
                    output.bytes_mut().push(b'!');
                    io.release(conn);
                }
            }
            Note::Stop => self.stop = true,
        }
    }

    fn on_turn(&mut self, io: &mut Io<Note>) -> Next {
        self.turns += 1;
        if self.stop {
            self.seen.stats.lock().unwrap().push(io.stats());
            return Next::Stop;
        }
        let mut paused = false;
        for (&conn, state) in &mut self.conns {
            match state.mode {
                Mode::Gentle if state.paused && io.unsent(conn) < GENTLE_MAX / 2 => {
                    state.paused = false;
                    io.resume(conn);
                }
                // Every third turn: sometimes before the cancellation has come through.
                Mode::Stutter if state.paused => {
                    if self.turns.is_multiple_of(3) {
                        state.paused = false;
                        io.resume(conn);
                    } else {
                        paused = true;
                    }
                }
                _ => {}
            }
        }
        if paused { Next::Again } else { Next::IDLE }
    }
}

pub struct Running {
    pub addrs: Vec<SocketAddr>,
    pub unix: Option<PathBuf>,
    pub seen: Arc<Seen>,
    thread: Option<JoinHandle<Result<(), RuntimeError>>>,
}

/// Starts the echo program with `cfg`; each mode has a listener on `host`.
pub fn start(mut cfg: RuntimeConfig, host: &str, unix: Option<PathBuf>) -> Running {
    cfg.signals = false;
    host::raise_open_files(16_384);
    let addr: SocketAddr = host.parse().unwrap();
    let spec = ListenSpec {
        tcp: vec![addr; MODES.len()],
        unix: unix.clone().map(|path| UnixListen { path, mode: Some(0o700) }),
        backlog: 1024,
        cores: cfg.cpus.len(),
        keepalive_secs: 300,
        own: Vec::new(),
    };
    let listeners = bind(&spec).unwrap();
    let addrs = listeners.local_addrs().to_vec();
    let seen = Arc::new(Seen::default());
    let thread = thread::spawn({
        let seen = Arc::clone(&seen);
        move || {
            let result = run(cfg, listeners, |_core| Program::new(Arc::clone(&seen)));
            if let Err(error) = &result {
                eprintln!("the runtime failed: {error}");
            }
            result
        }
    });
    Running { addrs, unix, seen, thread: Some(thread) }
}

impl Running {
    pub fn addr(&self, mode: Mode) -> SocketAddr {
        self.addrs[MODES.iter().position(|&m| m == mode).unwrap()]
    }

    pub fn connect(&self, mode: Mode) -> TcpStream {
        let stream = TcpStream::connect(self.addr(mode)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// Waits until all connections that were opened are closed.
    pub fn wait_closed(&self) {
        let begin = Instant::now();
        while self.seen.opens.load(Ordering::Relaxed) != self.seen.closes.load(Ordering::Relaxed) {
            assert!(begin.elapsed() < Duration::from_secs(30), "connections stay open");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stops the runtime; the sum of its counters.
    pub fn stop(mut self) -> IoStats {
        self.connect(Mode::Control).write_all(b"x").unwrap();
        self.thread.take().unwrap().join().unwrap().unwrap();
        let stats = self.seen.stats.lock().unwrap();
        stats.iter().fold(IoStats::default(), |sum, one| IoStats {
            turns: sum.turns + one.turns,
            sleeps: sum.sleeps + one.sleeps,
            wakes_sent: sum.wakes_sent + one.wakes_sent,
            recv_bytes: sum.recv_bytes + one.recv_bytes,
            recv_starved: sum.recv_starved + one.recv_starved,
            sends: sum.sends + one.sends,
            sent_bytes: sum.sent_bytes + one.sent_bytes,
            send_waits: sum.send_waits + one.send_waits,
            accepts: sum.accepts + one.accepts,
            closes: sum.closes + one.closes,
            ..sum
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.thread.take().is_some_and(|thread| !thread.is_finished()) && !thread::panicking() {
            panic!("the runtime was not stopped");
        }
    }
}

/// A small generator of pseudo-random numbers (xorshift), so that failures repeat.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).take(len).collect()
    }
}

/// Sends `data` in pieces of random size from a thread of its own, reads back as many bytes, and
/// compares.
pub fn echo_roundtrip<S>(stream: S, clone: S, data: Vec<u8>, seed: u64, piece_max: u64)
where
    S: Read + Write + Send + 'static,
{
    let (mut reader, mut writer) = (stream, clone);
    let expected = data.clone();
    let sender = thread::spawn(move || {
        let mut dice = Dice(seed);
        let mut rest = &data[..];
        while !rest.is_empty() {
            let len = (1 + dice.below(piece_max) as usize).min(rest.len());
            writer.write_all(&rest[..len]).unwrap();
            rest = &rest[len..];
        }
    });
    let mut back = vec![0; expected.len()];
    reader.read_exact(&mut back).unwrap();
    sender.join().unwrap();
    assert!(back == expected, "bytes came back changed or out of order");
}

/// Reads to the end.
pub fn read_all(stream: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

pub fn half_close(stream: &TcpStream) {
    stream.shutdown(Shutdown::Write).unwrap();
}

pub fn scratch(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("pinyon-runtime-{}-{name}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}
