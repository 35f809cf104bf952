//! Bytes through real sockets: order, completeness, back pressure, ends and storms.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use pinyon_runtime::RuntimeConfig;
use support::{Dice, Mode, Running, echo_roundtrip, half_close, read_all, scratch, start};

fn tcp_roundtrip(running: &Running, mode: Mode, len: usize, seed: u64, piece_max: u64) {
    let stream = running.connect(mode);
    let clone = stream.try_clone().unwrap();
    echo_roundtrip(stream, clone, Dice(seed).bytes(len), seed, piece_max);
}

fn echo_on(cores: usize, host: &str) {
    let running = start(RuntimeConfig::new(cores), host, None);
    thread::scope(|scope| {
        for seed in 1..=8 {
            let running = &running;
            scope.spawn(move || {
                tcp_roundtrip(running, Mode::Echo, 1, seed, 1);
                tcp_roundtrip(running, Mode::Echo, 10_000, seed, 10);
                tcp_roundtrip(running, Mode::Echo, 1 << 20, seed, 20_000);
            });
        }
    });
    running.wait_closed();
    let stats = running.stop();
    assert_eq!(stats.recv_bytes, stats.sent_bytes + 1, "all but the byte that stops it came back");
}

#[test]
fn echo_v4_one_core() {
    echo_on(1, "127.0.0.1:0");
}

#[test]
fn echo_v4_more_cores_than_cpus() {
    echo_on(4, "127.0.0.1:0");
}

#[test]
fn echo_v6() {
    echo_on(2, "[::1]:0");
}

#[test]
fn held_output_leaves_with_the_rest_or_after_a_moment() {
    let running = start(RuntimeConfig::new(1), "127.0.0.1:0", None);
    let mut stream = running.connect(Mode::Held);
    let mut back = [0; 4];
    for _ in 0..100 {
        stream.write_all(b"ab.").unwrap();
        stream.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"ab.!");
    }
    for _ in 0..10 {
        stream.write_all(b"abc?").unwrap();
        stream.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"abc?", "nobody releases it");
    }
    // One that is held to its end, one whose place is used again.
    let big = vec![b'x'; 1 << 20];
    let clone = stream.try_clone().unwrap();
    echo_roundtrip(stream, clone, big, 1, 100_000);
    running.connect(Mode::Held).write_all(b"gone?").unwrap();
    tcp_roundtrip(&running, Mode::Echo, 100_000, 1, 1_000);
    let mut other = running.connect(Mode::Held);
    other.write_all(b"ab.").unwrap();
    other.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"ab.!");
    drop(other);
    running.wait_closed();
    running.stop();
}

#[test]
fn output_in_two_parts_is_one_send() {
    let running = start(RuntimeConfig::new(1), "127.0.0.1:0", None);
    let mut stream = running.connect(Mode::Held);
    let mut back = [0; 4];
    for _ in 0..100 {
        stream.write_all(b"ab.").unwrap();
        stream.read_exact(&mut back).unwrap();
    }
    drop(stream);
    running.wait_closed();
    let stats = running.stop();
    // A moment may be over before the second part comes, on a machine that is busy; half of the time is not.
    assert!((100..150).contains(&stats.sends), "{} sends", stats.sends);
}

#[test]
fn without_registered_files_and_with_few_buffers() {
    let mut cfg = RuntimeConfig::new(2);
    cfg.registered_files = 0;
    cfg.ring_entries = 64;
    cfg.recv_buffers = 2;
    cfg.recv_buffer_bytes = 1024;
    let running = start(cfg, "127.0.0.1:0", None);
    thread::scope(|scope| {
        for seed in 1..=16 {
            let running = &running;
            scope.spawn(move || tcp_roundtrip(running, Mode::Echo, 500_000, seed, 50_000));
        }
    });
    let stats = running.stop();
    assert!(stats.recv_starved > 0, "two buffers were enough for sixteen connections?");
}

/// More completions at once than the completion queue holds.
#[test]
fn an_overflowing_completion_queue() {
    let mut cfg = RuntimeConfig::new(1);
    cfg.ring_entries = 64;
    cfg.recv_buffers = 4096;
    cfg.recv_buffer_bytes = 512;
    let running = start(cfg, "127.0.0.1:0", None);
    let mut streams: Vec<TcpStream> = (0..700).map(|_| running.connect(Mode::Echo)).collect();
    for round in 0..5u8 {
        // Many pieces per connection, and the reader comes later: sends run into full sockets too.
        let data = vec![round; 20_000];
        for stream in &mut streams {
            stream.write_all(&data).unwrap();
        }
        for stream in &mut streams {
            let mut back = vec![0; data.len()];
            stream.read_exact(&mut back).unwrap();
            assert!(back == data);
        }
    }
    drop(streams);
    running.wait_closed();
    running.stop();
}

#[test]
fn more_connections_than_registered_files() {
    let mut cfg = RuntimeConfig::new(1);
    cfg.registered_files = 16;
    let running = start(cfg, "127.0.0.1:0", None);
    let mut streams: Vec<TcpStream> = (0..64).map(|_| running.connect(Mode::Echo)).collect();
    for (i, stream) in streams.iter_mut().enumerate() {
        stream.write_all(&[i as u8; 3]).unwrap();
    }
    for (i, stream) in streams.iter_mut().enumerate() {
        let mut back = [0; 3];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(back, [i as u8; 3]);
    }
    drop(streams);
    running.stop();
}

#[test]
fn unix_sockets_are_dealt_over_the_cores() {
    let path = scratch("dealt.sock");
    let running = start(RuntimeConfig::new(4), "127.0.0.1:0", Some(path.clone()));
    let streams: Vec<UnixStream> = (0..16).map(|_| UnixStream::connect(&path).unwrap()).collect();
    for (seed, stream) in streams.into_iter().enumerate() {
        let clone = stream.try_clone().unwrap();
        echo_roundtrip(stream, clone, Dice(seed as u64 + 1).bytes(300_000), seed as u64 + 1, 30_000);
    }
    {
        let per_core = running.seen.per_core.lock().unwrap();
        for core in 0..4 {
            assert_eq!(per_core.get(&core), Some(&4), "{per_core:?}");
        }
    }
    running.stop();
    assert!(!path.exists());
}

#[test]
fn few_connections_are_spread_over_the_cores() {
    let running = start(RuntimeConfig::new(4), "127.0.0.1:0", None);
    let mut streams = Vec::new();
    for round in 1..=5 {
        for _ in 0..4 {
            let mut stream = running.connect(Mode::Echo);
            stream.write_all(b"x").unwrap();
            stream.read_exact(&mut [0]).unwrap();
            streams.push(stream);
        }
        let per_core = running.seen.per_core.lock().unwrap();
        assert!((0..4).all(|core| per_core.get(&core) == Some(&round)), "{per_core:?}");
    }
    drop(streams);
    running.wait_closed();
    running.stop();
}

#[test]
fn ten_megabytes_both_ways() {
    let running = start(RuntimeConfig::new(2), "127.0.0.1:0", None);
    thread::scope(|scope| {
        for seed in 1..=3 {
            let running = &running;
            scope.spawn(move || tcp_roundtrip(running, Mode::Echo, 10 << 20, seed, 3 << 20));
            scope.spawn(move || tcp_roundtrip(running, Mode::Gentle, 10 << 20, seed + 10, 3 << 20));
        }
    });
    running.stop();
}

#[test]
fn blobs_keep_their_place() {
    let running = start(RuntimeConfig::new(1), "127.0.0.1:0", None);
    for (seed, len) in [(1, 10), (2, 5_000), (3, 2 << 20), (4, 8 << 20)] {
        let mut stream = running.connect(Mode::Blob);
        // Without the two bytes that frame each piece.
        let data: Vec<u8> = Dice(seed).bytes(len).into_iter().filter(|byte| !b"<>".contains(byte)).collect();
        let mut writer = stream.try_clone().unwrap();
        let sent = data.clone();
        let sender = thread::spawn(move || {
            for piece in sent.chunks(7_777) {
                writer.write_all(piece).unwrap();
            }
            half_close(&writer);
        });
        let back = read_all(&mut stream);
        sender.join().unwrap();
        let pieces = back.iter().filter(|&&byte| byte == b'<').count();
        assert_eq!(back.iter().filter(|&&byte| byte == b'>').count(), pieces);
        assert_eq!((back.first(), back.last()), (Some(&b'<'), Some(&b'>')));
        let plain: Vec<u8> = back.into_iter().filter(|byte| !b"<>".contains(byte)).collect();
        assert!(plain == data);
    }
    running.wait_closed();
    running.stop();
}

#[test]
fn pausing_keeps_the_order() {
    let running = start(RuntimeConfig::new(1), "127.0.0.1:0", None);
    thread::scope(|scope| {
        for seed in 1..=4u64 {
            let running = &running;
            scope.spawn(move || {
                let mut stream = running.connect(Mode::Stutter);
                let data = Dice(seed).bytes(2 << 20);
                let sent = data.clone();
                let mut writer = stream.try_clone().unwrap();
                let sender = thread::spawn(move || {
                    let mut dice = Dice(seed);
                    let mut rest = &sent[..];
                    while !rest.is_empty() {
                        let len = (1 + dice.below(60_000) as usize).min(rest.len());
                        writer.write_all(&rest[..len]).unwrap();
                        rest = &rest[len..];
                    }
                    half_close(&writer);
                });
                let back = read_all(&mut stream);
                sender.join().unwrap();
                assert!(back == data, "{} of {} bytes, or changed", back.len(), data.len());
            });
        }
    });
    running.wait_closed();
    running.stop();
}

#[test]
fn a_reader_that_does_not_drain_holds_nobody_up() {
    let running = start(RuntimeConfig::new(1), "127.0.0.1:0", None);
    let mut lazy = running.connect(Mode::Gentle);
    lazy.set_nonblocking(true).unwrap();
    let data = Dice(5).bytes(64 << 20);
    let (mut sent, begin) = (0, Instant::now());
    // Until nothing moves any more: both socket buffers and the server's limit are full.
    let mut moved = Instant::now();
    while moved.elapsed() < Duration::from_millis(300) && begin.elapsed() < Duration::from_secs(20) {
        match lazy.write(&data[sent..]) {
            Ok(n) => {
                sent += n;
                moved = Instant::now();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(Duration::from_millis(1)),
            Err(error) => panic!("{error}"),
        }
    }
    assert!(sent < data.len(), "a paused connection took everything");
    for seed in 1..=3 {
        tcp_roundtrip(&running, Mode::Echo, 1 << 20, seed, 50_000);
    }
    let unsent_max = running.seen.unsent_max.load(Ordering::Relaxed);
    // What was on its way when it was paused: at most what all receive buffers hold.
    let config = RuntimeConfig::new(1);
    let on_its_way_max = u64::from(config.recv_buffers) * u64::from(config.recv_buffer_bytes);
    let limit = on_its_way_max + (1 << 20);
    assert!(unsent_max <= limit, "{unsent_max} bytes gathered although receiving was paused");

    // It all comes once it is read.
    lazy.set_nonblocking(false).unwrap();
    half_close(&lazy);
    let back = read_all(&mut lazy);
    assert!(back == data[..sent]);
    running.wait_closed();
    let stats = running.stop();
    assert!(stats.send_waits > 0);
}

#[test]
fn the_end_of_one_side_leaves_the_other() {
    let running = start(RuntimeConfig::new(2), "127.0.0.1:0", None);
    for len in [0, 1, 100_000, 6 << 20] {
        let mut stream = running.connect(Mode::AtEof);
        let mut data = Dice(9).bytes(len);
        stream.write_all(&data).unwrap();
        half_close(&stream);
        let back = read_all(&mut stream);
        data.reverse();
        assert!(back == data, "{} of {len} bytes", back.len());
    }
    running.wait_closed();
    running.stop();
}

#[test]
fn closing_waits_for_the_output() {
    let running = start(RuntimeConfig::new(1), "127.0.0.1:0", None);
    for bytes in [0usize, 1, 70_000, 20 << 20] {
        let mut stream = running.connect(Mode::Blast);
        stream.write_all(format!("{bytes}\n").as_bytes()).unwrap();
        if bytes > 1 << 20 {
            thread::sleep(Duration::from_millis(100));
        }
        let back = read_all(&mut stream);
        assert_eq!(back.len(), bytes);
        assert!(back.iter().enumerate().all(|(i, &byte)| byte == i as u8));
    }
    running.wait_closed();
    running.stop();
}

/// Closes with a reset instead of an orderly end.
fn reset(stream: TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let size = size_of_val(&linger) as libc::socklen_t;
    // SAFETY: `linger` is readable for its size.
    let rc = unsafe {
        libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), size)
    };
    assert_eq!(rc, 0);
}

#[test]
fn a_storm_of_connections() {
    let running = start(RuntimeConfig::new(4), "127.0.0.1:0", None);
    let (threads, each) = (8, 250);
    thread::scope(|scope| {
        for thread in 0..threads {
            let running = &running;
            scope.spawn(move || {
                let mut dice = Dice(thread + 1);
                let mut open: Vec<TcpStream> = Vec::new();
                for _ in 0..each {
                    let mut stream = running.connect(Mode::Echo);
                    let data = dice.bytes(1 + thread as usize * 100);
                    stream.write_all(&data).unwrap();
                    match dice.below(6) {
                        // Gone before the answer.
                        0 => reset(stream),
                        1 => drop(stream),
                        // A big request, and gone in the middle of its answer.
                        2 => {
                            let mut blast = running.connect(Mode::Blast);
                            blast.write_all(b"3000000\n").unwrap();
                            let _ = blast.read(&mut [0; 1000]);
                            reset(blast);
                        }
                        3 => {
                            half_close(&stream);
                            assert_eq!(read_all(&mut stream), data);
                        }
                        _ => {
                            let mut back = vec![0; data.len()];
                            stream.read_exact(&mut back).unwrap();
                            assert_eq!(back, data);
                            open.push(stream);
                        }
                    }
                    if open.len() > 40 {
                        open.swap_remove(dice.below(open.len() as u64) as usize);
                    }
                }
            });
        }
    });
    running.wait_closed();
    let stats = running.stop();
    assert!(stats.accepts >= threads * each, "{stats:?}");
    // The control connection is still open when its core stops.
    assert!(stats.accepts - stats.closes <= 1, "{stats:?}");
}
