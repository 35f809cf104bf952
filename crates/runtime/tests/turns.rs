//! The order of what a turn brings about.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use pinyon_runtime::{App, ConnId, CoreId, Io, ListenSpec, Next, PeerInfo, RuntimeConfig, bind, run};

const PATIENCE: Duration = Duration::from_secs(20);

/// Answers, and has something else to do that takes until the answer was read.
struct Program {
    owes: bool,
    answered: bool,
    read: Option<Receiver<()>>,
}

impl App for Program {
    type Mail = ();

    fn on_open(&mut self, _: &mut Io<()>, _: ConnId, _: &PeerInfo) {}

    fn on_data(&mut self, io: &mut Io<()>, conn: ConnId, data: &[u8]) {
        io.output(conn).unwrap().bytes_mut().extend_from_slice(data);
        self.owes = true;
    }

    fn on_close(&mut self, _: &mut Io<()>, _: ConnId) {}
    fn on_mail(&mut self, _: &mut Io<()>, _: CoreId, (): ()) {}

    fn on_turn(&mut self, _: &mut Io<()>) -> Next {
        match () {
            () if self.answered => Next::Stop,
            () if self.owes => Next::Again,
            () => Next::IDLE,
        }
    }

    fn on_again(&mut self, _: &mut Io<()>) -> bool {
        if self.owes {
            self.read.as_ref().unwrap().recv_timeout(PATIENCE).expect("the answer has left before");
            self.answered = true;
        }
        self.owes
    }
}

#[test]
fn answers_leave_before_other_work_begins() {
    let mut cfg = RuntimeConfig::new(1);
    cfg.signals = false;
    let spec = ListenSpec { cores: 1, tcp: vec!["127.0.0.1:0".parse().unwrap()], backlog: 16, ..ListenSpec::default() };
    let listeners = bind(&spec).unwrap();
    let addr = listeners.local_addrs()[0];
    let (tell, read) = channel();
    let client = thread::spawn(move || {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"hello").unwrap();
        stream.read_exact(&mut [0; 5]).unwrap();
        tell.send(()).unwrap();
    });
    let read = std::sync::Mutex::new(Some(read));
    run(cfg, listeners, move |_| Program { owes: false, answered: false, read: read.lock().unwrap().take() }).unwrap();
    client.join().unwrap();
}
