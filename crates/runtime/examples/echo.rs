//! The core loop alone, to be measured with a load generator: answers `+PONG` to every receive,
//! whatever it holds (so it is right for unpipelined PINGs only).
//!
//! ```text
//! echo [--addr 127.0.0.1:7000] [--cpus 0,1 | --cores 2] [--files N] [--buffers N] [--spin-us N] [--busy-spin-us N] [--eventfd]
//! taskset -c 1 redis-benchmark -p 7000 -t ping_mbulk -P 1 -n 1000000
//! ```
//! SIGTERM or SIGINT ends it; it then prints its counters and the cpu time it used.

use std::process::ExitCode;

use pinyon_runtime::{
    App, ConnId, CoreId, Io, ListenSpec, Next, PeerInfo, RuntimeConfig, WakeBy, bind, check_kernel, run, signal,
};

#[global_allocator]
static ALLOC: pinyon_runtime::memory::Counting = pinyon_runtime::memory::Counting;

struct Pong {
    stop: bool,
}

/// Core 0 was told to stop.
struct Stop;

impl App for Pong {
    type Mail = Stop;

    fn on_open(&mut self, _io: &mut Io<Stop>, _conn: ConnId, _peer: &PeerInfo) {}

    fn on_data(&mut self, io: &mut Io<Stop>, conn: ConnId, _data: &[u8]) {
        if let Some(output) = io.output(conn) {
            output.bytes_mut().extend_from_slice(b"+PONG\r\n");
        }
    }

    fn on_close(&mut self, _io: &mut Io<Stop>, _conn: ConnId) {}

    fn on_mail(&mut self, _io: &mut Io<Stop>, _from: CoreId, _mail: Stop) {
        self.stop = true;
    }

    fn on_signal(&mut self, io: &mut Io<Stop>, _signal: i32) {
        for core in 0..io.cores() {
            io.mail(CoreId(core as u16), Stop);
        }
    }

    fn on_turn(&mut self, io: &mut Io<Stop>) -> Next {
        if self.stop {
            println!("core {}: {:?}", io.core(), io.stats());
            return Next::Stop;
        }
        Next::IDLE
    }
}

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<(), Box<dyn std::error::Error>> {
    signal::block()?;
    check_kernel()?;
    let mut addr = "127.0.0.1:7000".to_owned();
    let mut cfg = RuntimeConfig::new(1);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--addr" => addr = value()?,
            "--cpus" => {
                cfg.cpus = value()?.split(',').map(|cpu| cpu.parse().map(Some)).collect::<Result<_, _>>()?;
            }
            "--cores" => cfg.cpus = vec![None; value()?.parse()?],
            "--files" => cfg.registered_files = value()?.parse()?,
            "--buffers" => cfg.recv_buffers = value()?.parse()?,
            "--buffer-bytes" => cfg.recv_buffer_bytes = value()?.parse()?,
            "--spin-us" => cfg.spin_us = value()?.parse()?,
            "--busy-spin-us" => cfg.busy_spin_us = value()?.parse()?,
            "--eventfd" => cfg.wake = WakeBy::EventFd,
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    let cores = cfg.cpus.len();
    let spec =
        ListenSpec { tcp: vec![addr.parse()?], backlog: 511, cores, keepalive_secs: 300, ..ListenSpec::default() };
    let listeners = bind(&spec)?;
    println!("listening on {} with {cores} cores", listeners.local_addrs()[0]);
    run(cfg, listeners, |_core| Pong { stop: false })?;
    println!(
        "cpu: {}",
        std::fs::read_to_string("/proc/self/stat")?
            .split(' ')
            .skip(13)
            .take(2)
            .collect::<Vec<_>>()
            .join(" user ticks, system ticks ")
    );
    Ok(())
}
