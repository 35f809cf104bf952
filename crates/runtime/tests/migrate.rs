//! Connections that move from core to core while their clients write and read: nothing is lost, doubled or reordered, also
//! when a client ends its side on the way.

use std::any::Any;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pinyon_runtime::{App, ConnId, CoreId, Io, Leave, ListenSpec, Next, PeerInfo, RuntimeConfig, bind, run};

/// Seen by all cores and by the test.
#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    moved: AtomicU64,
    opened: AtomicU64,
    closed: AtomicU64,
    refused: AtomicU64,
}

/// Echoes; every so many receives the connection moves on.
struct Wanderer {
    seen: Arc<Seen>,
    conns: HashMap<ConnId, Traveller>,
    waits: HashMap<ConnId, ()>,
}

/// What a connection takes along.
struct Traveller {
    peer: PeerInfo,
    received: u64,
}

impl App for Wanderer {
    type Mail = ();

    fn on_open(&mut self, _io: &mut Io<()>, conn: ConnId, peer: &PeerInfo) {
        self.seen.opened.fetch_add(1, Ordering::Relaxed);
        self.conns.insert(conn, Traveller { peer: peer.clone(), received: 0 });
    }

    fn on_data(&mut self, io: &mut Io<()>, conn: ConnId, data: &[u8]) {
        if let Some(out) = io.output(conn) {
            out.bytes_mut().extend_from_slice(data);
        }
        let Some(traveller) = self.conns.get_mut(&conn) else { unreachable!("data of a connection that has left") };
        traveller.received += data.len() as u64;
        if traveller.received % 3 != 0 {
            let to = (io.core().0 + 1 + (traveller.received % 2) as u16) % io.cores() as u16;
            io.move_to(conn, CoreId(to));
        }
    }

    fn on_leave(&mut self, _io: &mut Io<()>, conn: ConnId) -> Leave {
        // Now and then it goes later, or stays after all.
        if self.waits.insert(conn, ()).is_none() {
            return Leave::Wait;
        }
        self.waits.remove(&conn);
        if self.conns[&conn].received.is_multiple_of(5) {
            self.seen.refused.fetch_add(1, Ordering::Relaxed);
            return Leave::Stay;
        }
        let traveller = self.conns.remove(&conn).expect("a connection of this core");
        Leave::Go(traveller.peer.clone(), Box::new(traveller))
    }

    fn on_arrive(&mut self, _io: &mut Io<()>, conn: ConnId, peer: &PeerInfo, luggage: Box<dyn Any + Send>) {
        let traveller = *luggage.downcast::<Traveller>().expect("what on_leave gave");
        assert_eq!(traveller.peer.peer, peer.peer);
        self.seen.moved.fetch_add(1, Ordering::Relaxed);
        self.conns.insert(conn, traveller);
    }

    fn on_close(&mut self, _io: &mut Io<()>, conn: ConnId) {
        assert!(self.conns.remove(&conn).is_some(), "closed where it lived");
        self.seen.closed.fetch_add(1, Ordering::Relaxed);
    }

    fn on_mail(&mut self, _io: &mut Io<()>, _from: CoreId, (): ()) {}

    fn on_turn(&mut self, io: &mut Io<()>) -> Next {
        if self.seen.stop.load(Ordering::Relaxed) {
            return Next::Stop;
        }
        Next::Sleep { until: Some(io.now_us() + 20_000), expecting: false }
    }
}

/// Sends numbers in pieces of changing size and reads them back.
fn client(stream: TcpStream, bytes: usize, mut dice: u64) {
    let data: Vec<u8> = (0..bytes).map(|i| (i * 7 + i / 251) as u8).collect();
    let mut reader = stream.try_clone().expect("a second handle");
    let expected = data.clone();
    let reading = thread::spawn(move || {
        let mut got = Vec::new();
        reader.read_to_end(&mut got).expect("all of it");
        assert!(got == expected, "{} bytes of {}", got.len(), expected.len());
    });
    let mut writer = stream;
    let mut at = 0;
    while at < data.len() {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        let piece = (dice as usize % 3000 + 1).min(data.len() - at);
        writer.write_all(&data[at..at + piece]).expect("room");
        at += piece;
        if dice.is_multiple_of(4) {
            thread::yield_now();
        }
    }
    writer.shutdown(Shutdown::Write).expect("half closed");
    reading.join().expect("the same bytes");
}

#[test]
fn nothing_is_lost_on_the_way() {
    const CLIENTS: u64 = 12;
    const BYTES: usize = 1_000_000;
    let spec = ListenSpec { tcp: vec!["127.0.0.1:0".parse().unwrap()], backlog: 64, cores: 3, ..ListenSpec::default() };
    let listeners = bind(&spec).unwrap();
    let addr = listeners.local_addrs()[0];
    let seen = Arc::new(Seen::default());
    let running = thread::spawn({
        let seen = Arc::clone(&seen);
        let mut cfg = RuntimeConfig::new(3);
        cfg.signals = false;
        cfg.recv_buffer_bytes = 1024;
        move || {
            let make = |_| Wanderer { seen: Arc::clone(&seen), conns: HashMap::new(), waits: HashMap::new() };
            run(cfg, listeners, make).unwrap();
        }
    });
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let stream = TcpStream::connect(addr).unwrap();
            thread::spawn(move || client(stream, BYTES, 0x9E37_79B9_7F4A_7C15 ^ number))
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while seen.closed.load(Ordering::Relaxed) < CLIENTS {
        assert!(Instant::now() < deadline, "connections stay open");
        thread::sleep(Duration::from_millis(5));
    }
    seen.stop.store(true, Ordering::Relaxed);
    running.join().unwrap();
    assert_eq!(seen.opened.load(Ordering::Relaxed), CLIENTS);
    let moved = seen.moved.load(Ordering::Relaxed);
    assert!(moved > 10 * CLIENTS, "{moved} moves");
    assert!(seen.refused.load(Ordering::Relaxed) > 0, "some stayed");
}

#[test]
fn a_client_that_goes_while_it_moves_is_closed_once() {
    const CLIENTS: u64 = 300;
    let spec =
        ListenSpec { tcp: vec!["127.0.0.1:0".parse().unwrap()], backlog: 512, cores: 2, ..ListenSpec::default() };
    let listeners = bind(&spec).unwrap();
    let addr = listeners.local_addrs()[0];
    let seen = Arc::new(Seen::default());
    let running = thread::spawn({
        let seen = Arc::clone(&seen);
        let mut cfg = RuntimeConfig::new(2);
        cfg.signals = false;
        move || {
            let make = |_| Wanderer { seen: Arc::clone(&seen), conns: HashMap::new(), waits: HashMap::new() };
            run(cfg, listeners, make).unwrap();
        }
    });
    for _ in 0..CLIENTS {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.write_all(b"x").unwrap();
        drop(stream);
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while seen.opened.load(Ordering::Relaxed) < CLIENTS || seen.closed.load(Ordering::Relaxed) < CLIENTS {
        assert!(Instant::now() < deadline, "{} of {CLIENTS} are closed", seen.closed.load(Ordering::Relaxed));
        thread::sleep(Duration::from_millis(5));
    }
    seen.stop.store(true, Ordering::Relaxed);
    running.join().unwrap();
    assert_eq!(seen.closed.load(Ordering::Relaxed), CLIENTS);
}
