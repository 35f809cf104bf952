//! Starting, stopping, failing; signals; idleness; listeners that come and go.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use pinyon_runtime::{
    App, ConnId, CoreId, Io, ListenSpec, Listeners, Next, PeerInfo, RuntimeConfig, RuntimeError, TcpListen, bind,
    listen, run,
};
use support::{Mode, start};

/// `fs` of a thread of this process: (voluntary context switches, cpu time in ticks).
fn thread_costs(name: &str) -> Vec<(u64, u64)> {
    let mut costs = Vec::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let task = task.unwrap().path();
        let read = |file: &str| std::fs::read_to_string(task.join(file)).unwrap_or_default();
        if read("comm").trim() != name {
            continue;
        }
        let status = read("status");
        let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).unwrap_or("x 0");
        let switches = line.split_whitespace().last().unwrap().parse().unwrap();
        let stat = read("stat");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        costs.push((switches, ticks));
    }
    costs
}

/// Other tests of this file have cores too; only this one has 23.
#[test]
fn idle_cores_cost_nothing() {
    let running = start(RuntimeConfig::new(24), "127.0.0.1:0", None);
    // Connections that say nothing, and one that has said something.
    let idle: Vec<TcpStream> = (0..50).map(|_| running.connect(Mode::Echo)).collect();
    let mut used = running.connect(Mode::Echo);
    used.write_all(b"hello").unwrap();
    used.read_exact(&mut [0; 5]).unwrap();
    thread::sleep(Duration::from_millis(300));
    let before = thread_costs("core-23");
    thread::sleep(Duration::from_secs(2));
    let after = thread_costs("core-23");
    assert_eq!(before.len(), 1);
    assert_eq!(before, after, "an idle core woke up");
    drop(idle);
    running.stop();
}

#[test]
fn stopping_closes_everything() {
    let running = start(RuntimeConfig::new(3), "127.0.0.1:0", None);
    let mut streams: Vec<TcpStream> = (0..10).map(|_| running.connect(Mode::Echo)).collect();
    let addr = running.addr(Mode::Echo);
    for stream in &mut streams {
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
    running.stop();
    for stream in &mut streams {
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0, "open after the stop");
    }
    assert!(TcpStream::connect(addr).is_err());
    // The port is free again.
    TcpListener::bind(addr).unwrap();
}

struct Panicking(CoreId);

impl App for Panicking {
    type Mail = ();
    fn on_open(&mut self, _: &mut Io<()>, _: ConnId, _: &PeerInfo) {}
    fn on_data(&mut self, _: &mut Io<()>, _: ConnId, _: &[u8]) {}
    fn on_close(&mut self, _: &mut Io<()>, _: ConnId) {}
    fn on_mail(&mut self, _: &mut Io<()>, _: CoreId, (): ()) {}
    fn on_turn(&mut self, io: &mut Io<()>) -> Next {
        assert!(self.0 != CoreId(1) || io.stats().turns < 1, "on purpose");
        match self.0 {
            CoreId(1) => Next::Sleep { until: Some(io.now_us() + 20_000), expecting: false },
            _ => Next::IDLE,
        }
    }
}

#[test]
fn a_panic_stops_all_cores() {
    let (done, finished) = mpsc::channel();
    thread::spawn(move || {
        let cfg = RuntimeConfig { signals: false, ..RuntimeConfig::new(3) };
        done.send(run(cfg, Listeners::none(3), Panicking)).unwrap();
    });
    let result = finished.recv_timeout(Duration::from_secs(20)).expect("the other cores hang");
    assert!(matches!(result, Err(RuntimeError::Panicked(1))), "{result:?}");
}

#[test]
fn what_cannot_start_says_why() {
    let cfg = RuntimeConfig { signals: false, ..RuntimeConfig::new(2) };
    let error = run(cfg.clone(), Listeners::none(3), Panicking).unwrap_err();
    assert!(matches!(error, RuntimeError::ListenerCores { bound: 3, cores: 2 }), "{error}");
    let none = RuntimeConfig { cpus: Vec::new(), ..cfg.clone() };
    assert!(matches!(run(none, Listeners::none(0), Panicking), Err(RuntimeError::Cores(0))));
    let elsewhere = RuntimeConfig { cpus: vec![None, Some(1000)], ..cfg };
    let error = run(elsewhere, Listeners::none(2), Panicking).unwrap_err();
    assert!(matches!(error, RuntimeError::Pin { core: 1, cpu: 1000, .. }), "{error}");
}

/// Opens and closes a second listener when told to; `s` stops it.
struct Doors {
    second: Option<SocketAddr>,
    told: Arc<Mutex<Vec<SocketAddr>>>,
    stop: bool,
}

impl App for Doors {
    type Mail = ();
    fn on_open(&mut self, _: &mut Io<()>, _: ConnId, _: &PeerInfo) {}
    fn on_data(&mut self, io: &mut Io<()>, conn: ConnId, data: &[u8]) {
        match data[0] {
            b'o' => {
                let addr = self.told.lock().unwrap()[0];
                let number = io.listen(&TcpListen { addr, backlog: 16, keepalive_secs: 0 }).unwrap();
                assert!(number > 0);
                self.second = Some(addr);
            }
            b'c' => assert!(io.unlisten(self.second.take().unwrap())),
            b's' => self.stop = true,
            b'n' => io.stop_accepting(),
            _ => {}
        }
        if let Some(output) = io.output(conn) {
            output.bytes_mut().extend_from_slice(data);
        }
    }
    fn on_close(&mut self, _: &mut Io<()>, _: ConnId) {}
    fn on_mail(&mut self, _: &mut Io<()>, _: CoreId, (): ()) {}
    fn on_turn(&mut self, _: &mut Io<()>) -> Next {
        if self.stop { Next::Stop } else { Next::IDLE }
    }
}

#[test]
fn listeners_come_and_go() {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let spec = ListenSpec { tcp: vec![any], backlog: 16, cores: 1, ..ListenSpec::default() };
    let listeners = bind(&spec).unwrap();
    let addr = listeners.local_addrs()[0];
    assert!(listen::probe(addr).is_err());
    // A port that is free: one that was just let go.
    let second = TcpListener::bind(any).unwrap().local_addr().unwrap();
    listen::probe(second).unwrap();
    let told = Arc::new(Mutex::new(vec![second]));
    let thread = thread::spawn(move || {
        let cfg = RuntimeConfig { signals: false, ..RuntimeConfig::new(1) };
        run(cfg, listeners, move |_| Doors { second: None, told: Arc::clone(&told), stop: false })
    });
    let ask = |stream: &mut TcpStream, what: u8| {
        stream.write_all(&[what]).unwrap();
        let mut back = [0];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(back[0], what);
    };
    let mut control = TcpStream::connect(addr).unwrap();
    for _ in 0..3 {
        assert!(TcpStream::connect(second).is_err());
        ask(&mut control, b'o');
        let mut client = TcpStream::connect(second).unwrap();
        ask(&mut client, b'-');
        ask(&mut control, b'c');
        // The accept is cancelled in the turn that answered; the socket goes with it.
        let begin = Instant::now();
        while TcpStream::connect(second).is_ok() {
            assert!(begin.elapsed() < Duration::from_secs(5), "still listening");
        }
        ask(&mut client, b'-');
    }
    ask(&mut control, b'n');
    let begin = Instant::now();
    while TcpStream::connect(addr).is_ok() {
        assert!(begin.elapsed() < Duration::from_secs(5), "still listening");
    }
    control.write_all(b"s").unwrap();
    thread.join().unwrap().unwrap();
}

/// The example program beside this test's own.
fn example() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(|deps| deps.parent()).unwrap().join("examples/echo")
}

fn spawn_example(args: &[&str]) -> (Child, SocketAddr) {
    let program = example();
    assert!(program.exists(), "{} is not built: run the tests of the whole package", program.display());
    let mut child =
        Command::new(program).args(["--addr", "127.0.0.1:0"]).args(args).stdout(Stdio::piped()).spawn().unwrap();
    let mut text = Vec::new();
    let out = child.stdout.as_mut().unwrap();
    while !text.ends_with(b"\n") {
        let mut byte = [0];
        out.read_exact(&mut byte).unwrap();
        text.push(byte[0]);
    }
    let text = String::from_utf8(text).unwrap();
    let addr = text.split_whitespace().nth(2).unwrap().parse().unwrap();
    (child, addr)
}

#[test]
fn signals_reach_core_0_and_end_the_process_in_order() {
    for (signal, args) in [(libc::SIGTERM, &["--cores", "3"][..]), (libc::SIGINT, &["--cores", "1", "--eventfd"][..])] {
        let (mut child, addr) = spawn_example(args);
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.write_all(b"PING").unwrap();
        let mut back = [0; 7];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"+PONG\r\n");
        // A peer that resets while it is written to must not end the process by SIGPIPE.
        // SAFETY: the child is ours and has not been waited for.
        assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGPIPE) }, 0);
        thread::sleep(Duration::from_millis(20));
        // SAFETY: as above.
        assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if begin.elapsed() > Duration::from_secs(10) {
                child.kill().unwrap();
                panic!("does not end");
            }
            thread::sleep(Duration::from_millis(5));
        };
        assert!(status.success(), "{status}");
    }
}

/// The process runs out of descriptors and recovers.
#[test]
fn running_out_of_descriptors_passes() {
    let program = example();
    assert!(program.exists(), "{} is not built: run the tests of the whole package", program.display());
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(format!("ulimit -n 40; exec {} --addr 127.0.0.1:0", program.display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut text = Vec::new();
    let out = child.stdout.as_mut().unwrap();
    while !text.ends_with(b"\n") {
        let mut byte = [0];
        out.read_exact(&mut byte).unwrap();
        text.push(byte[0]);
    }
    let addr: SocketAddr = String::from_utf8(text).unwrap().split_whitespace().nth(2).unwrap().parse().unwrap();
    let ping = |stream: &mut TcpStream| -> std::io::Result<()> {
        stream.write_all(b"PING")?;
        let mut back = [0; 7];
        stream.read_exact(&mut back)
    };
    let mut streams: Vec<TcpStream> = (0..60).map(|_| TcpStream::connect(addr).unwrap()).collect();
    ping(&mut streams[0]).unwrap();
    let last = streams.last_mut().unwrap();
    last.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(ping(last).is_err(), "sixty connections with forty descriptors?");
    // While it is starved it must not spin.
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = ticks();
    thread::sleep(Duration::from_secs(1));
    assert!(ticks() - before <= 5, "{} ticks of cpu in a second", ticks() - before);
    // Room again: those that waited are served.
    streams.drain(..40);
    let mut last = streams.pop().unwrap();
    last.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut back = [0; 7];
    last.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"+PONG\r\n");
    child.kill().unwrap();
    child.wait().unwrap();
}
