//! The executor by itself, without a core loop: that it answers everything, hangs never, sleeps when idle, and writes what it
//! was given.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::*;

type Mail = Result<u64, String>;

/// A wait that takes this long is a hang.
const PATIENCE: Duration = Duration::from_secs(20);

struct Bench {
    storage: Storage<Mail>,
    folder: PathBuf,
    got: Vec<Mail>,
}

impl Bench {
    fn new(name: &str) -> Bench {
        let folder = std::env::temp_dir().join(format!("pinyon-storage-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let thread = format!("st-{name}");
        Bench { storage: Storage::start(thread, None).unwrap(), folder, got: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn job(&mut self, job: impl FnOnce(&Files) -> Answer<Mail> + Send + 'static) {
        self.storage.submit(Box::new(job));
    }

    /// Sleeps like a core does until `count` more answers have come.
    fn wait(&mut self, count: usize) {
        let wanted = self.got.len() + count;
        let begin = Instant::now();
        self.storage.flush();
        while self.got.len() < wanted {
            assert!(begin.elapsed() < PATIENCE, "{} of {wanted} answers: a hang", self.got.len());
            let mut poll = libc::pollfd { fd: self.storage.event_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one entry, writable.
            unsafe { libc::poll(&mut poll, 1, 5_000) };
            let got = &mut self.got;
            self.storage.take(|mail| got.push(mail)).unwrap();
            self.storage.flush();
        }
    }

    fn run(&mut self, job: impl FnOnce(&Files) -> Answer<Mail> + Send + 'static) -> Mail {
        self.job(job);
        self.wait(1);
        self.got.pop().unwrap()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.folder));
    }
}

fn text<T>(result: io::Result<T>, value: impl FnOnce(T) -> u64) -> Mail {
    result.map(value).map_err(|error| format!("{:?}", error.kind()))
}

#[test]
fn lone_jobs_and_bursts_are_all_answered() {
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut dice: u64 = seed | 1;
    let mut random = move |below: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice % below
    };
    let mut bench = Bench::new("stress");
    let path = bench.path("read");
    fs::write(&path, vec![7; 64 * 1024]).unwrap();
    let mut slowest = Duration::ZERO;
    let mut asked = 0;
    for round in 0..6_000u64 {
        let burst = match round % 100 {
            0 => 300,
            1..20 => random(20) + 1,
            _ => 1,
        };
        for _ in 0..burst {
            asked += 1;
            let path = path.clone();
            match random(3) {
                0 => bench.job(move |_| Answer::now(Ok(asked))),
                1 => bench.job(move |files| files.read(path, 4096, 100).then(move |read| text(read, |_| asked))),
                _ => bench.job(move |files| {
                    let again = files.clone();
                    let first = files.read(path.clone(), 0, 8192);
                    first.and(move |_| again.read(path, 60_000, 10)).then(move |read| text(read, |_| asked))
                }),
            }
        }
        let begin = Instant::now();
        bench.wait(burst as usize);
        slowest = slowest.max(begin.elapsed());
    }
    println!("{asked} jobs, the slowest burst took {slowest:?}");
    let mut numbers: Vec<u64> = bench.got.iter().map(|mail| *mail.as_ref().unwrap()).collect();
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(1..=asked), "each exactly once");
}

#[test]
fn jobs_begin_in_order_and_quick_ones_overtake() {
    let mut bench = Bench::new("order");
    for number in 0..500 {
        bench.job(move |_| Answer::now(Ok(number)));
    }
    bench.wait(500);
    assert!(bench.got.iter().map(|mail| *mail.as_ref().unwrap()).eq(0..500));
}

#[test]
fn an_idle_executor_sleeps() {
    let mut bench = Bench::new("idle");
    assert_eq!(bench.run(|_| Answer::now(Ok(1))), Ok(1));
    // It may still be on its way to sleep; but there must come a while in which it never runs.
    let quiet = (0..20).any(|_| {
        let before = switches("st-idle");
        std::thread::sleep(Duration::from_secs(1));
        before == switches("st-idle")
    });
    assert!(quiet, "it woke up in every second");
}

/// Context switches of the threads of that name: the executor's, and the one that glommio starts for blocking calls.
fn switches(name: &str) -> Vec<String> {
    let mut found = Vec::new();
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let task = task.unwrap().path();
        if fs::read_to_string(task.join("comm")).unwrap_or_default().trim() == name {
            let status = fs::read_to_string(task.join("status")).unwrap();
            found.extend(status.lines().filter(|line| line.contains("ctxt_switches")).map(str::to_owned));
        }
    }
    assert!(!found.is_empty());
    found
}

#[test]
fn streams_write_what_they_are_given() {
    let mut bench = Bench::new("streams");
    for (number, length) in [0usize, 1, 4096, 5000, 1 << 20, (3 << 20) + 17, 9 << 20].into_iter().enumerate() {
        let (path, id) = (bench.path("stream"), StreamId(number as u64));
        let bytes: Vec<u8> = (0..length).map(|i| (i / 7 + number) as u8).collect();
        let target = path.clone();
        assert_eq!(bench.run(move |files| files.create(id, target).then(|made| text(made, |()| 0))), Ok(0));
        for piece in bytes.chunks(300_001) {
            let piece = piece.to_vec();
            bench.job(move |files| files.append(id, &piece).then(|done| text(done, |()| 0)));
        }
        let pieces = bytes.chunks(300_001).count();
        bench.wait(pieces);
        assert!(bench.got.drain(..).all(|mail| mail == Ok(0)));
        assert_eq!(bench.run(move |files| files.finish(id).then(|done| text(done, |n| n))), Ok(length as u64));
        assert!(fs::read(&path).unwrap() == bytes, "{length} bytes");
    }
}

#[test]
fn segments_are_filled_and_ranges_read() {
    let mut bench = Bench::new("fill");
    let path = bench.path("segment");
    let (target, head) = (path.clone(), vec![5u8; 512]);
    let bytes = (2 << 20) + 8192;
    assert_eq!(bench.run(move |files| files.fill(target, bytes, head).then(|done| text(done, |()| 1))), Ok(1));
    let mut expected = vec![0; bytes as usize];
    expected[..512].fill(5);
    assert!(fs::read(&path).unwrap() == expected);
    let target = path.clone();
    let head = vec![6u8; 4096];
    assert_eq!(bench.run(move |files| files.write_head(target, head).then(|done| text(done, |()| 1))), Ok(1));
    expected[..4096].fill(6);
    assert!(fs::read(&path).unwrap() == expected);
    for (offset, length) in [(0, 10), (511, 2), (4000, 200), (1_000_000, 1_100_000), (bytes - 5, 5)] {
        let target = path.clone();
        let wanted = expected[offset as usize..offset as usize + length].to_vec();
        let read = bench.run(move |files| {
            files.read(target, offset, length).then(move |read| text(read, |r| u64::from(r == wanted)))
        });
        assert_eq!(read, Ok(1), "{length} bytes at {offset}");
    }
    let target = path.clone();
    let beyond = bench.run(move |files| files.read(target, bytes - 5, 6).then(|read| text(read, |_| 0)));
    assert_eq!(beyond, Err("UnexpectedEof".to_owned()));
}

#[test]
fn failures_are_answers() {
    let mut bench = Bench::new("fail");
    let nowhere = bench.path("no/such/folder");
    let target = nowhere.clone();
    let made = bench.run(move |files| files.create(StreamId(1), target).then(|made| text(made, |()| 0)));
    assert_eq!(made, Err("NotFound".to_owned()));
    let appended = bench.run(|files| files.append(StreamId(1), b"x").then(|done| text(done, |()| 0)));
    assert_eq!(appended, Err("NotFound".to_owned()));
    let filled = bench.run(move |files| files.fill(nowhere, 4096, Vec::new()).then(|done| text(done, |()| 0)));
    assert_eq!(filled, Err("NotFound".to_owned()));
    // A file that does not let itself be written: the error stays with its stream.
    if PathBuf::from("/dev/full").exists() {
        let made = bench.run(|files| files.create(StreamId(2), "/dev/full").then(|made| text(made, |()| 0)));
        if made.is_ok() {
            let bytes = vec![1; 5 << 20];
            bench.job(move |files| files.append(StreamId(2), &bytes).then(|done| text(done, |()| 0)));
            bench.wait(1);
            let end = bench.run(|files| files.finish(StreamId(2)).then(|done| text(done, |n| n)));
            assert_eq!(end, Err("StorageFull".to_owned()));
        }
    }
}

#[test]
fn what_was_handed_over_is_done_before_the_end() {
    let mut bench = Bench::new("end");
    let path = bench.path("late");
    let target = path.clone();
    bench.job(|files| {
        files.set_class(Class::Idle);
        Answer::now(Ok(0))
    });
    bench.job(move |files| files.fill(target, 1 << 20, Vec::new()).then(|done| text(done, |()| 0)));
    let open = bench.path("open");
    bench.job(move |files| files.create(StreamId(9), open).then(|made| text(made, |()| 0)));
    bench.storage.flush();
    let Bench { storage, .. } = &mut bench;
    let fresh = Storage::start("st-other".to_owned(), Some(crate::pin::allowed_cpus()[0])).unwrap();
    drop(std::mem::replace(storage, fresh));
    assert_eq!(fs::metadata(&path).unwrap().len(), 1 << 20);
}
