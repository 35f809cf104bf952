//! The tool on real folders: stores made by the log itself, verified, printed, backed up and restored by the binary.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pinyon_base::ShardId;
use pinyon_durability::ids::LogId;
use pinyon_durability::recovery::{self, Found};
use pinyon_durability::segment::{SegmentHeader, SegmentMaker};
use pinyon_durability::{Disk, Epoch, Log, LogConfig, LogStart, Manifest, OpKind, Options, ServerId, StdDisk, names};

const ALIGN: u32 = 512;
const SEGMENT_BYTES: u64 = 8192;
const SERVER: ServerId = ServerId(0x70_01);
/// Unix milliseconds of the first epoch's end; each later one ends a second later.
const START: u64 = 1_700_000_000_000;

struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("pinyon-tool-{}-{test}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder for this test");
        Folder(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Runs the tool: whether it is content, and what it said.
fn pinyon(args: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_pinyon")).args(args).output().expect("the tool runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// A running store of two shards.
struct Node {
    disk: StdDisk,
    manifest: Manifest,
    shards: Vec<(Log, SegmentMaker)>,
    epoch: u64,
}

impl Node {
    /// Opens the store, or makes it, and begins a run.
    fn open(folder: &Path) -> Node {
        fs::create_dir_all(folder).expect("a folder");
        let disk = StdDisk::new(folder);
        let store = match recovery::find(&disk).expect("readable") {
            Found::Store(store) => store,
            Found::Nothing => recovery::create(&disk, SERVER).expect("a new store"),
        };
        let scans = store.scan(&disk);
        let plan = store.plan(&disk, scans, Options::default()).expect("in order");
        let mut makers: Vec<SegmentMaker> = (0..2).map(|shard| SegmentMaker::new(ShardId(shard), 2)).collect();
        let manifest = plan.begin(&disk, &mut makers, ALIGN, SEGMENT_BYTES).expect("a new run");
        let log = |shard| {
            let id = LogId { server: SERVER, run: manifest.last_run, shard: ShardId(shard) };
            let config = LogConfig {
                id,
                align: ALIGN,
                segment_bytes: SEGMENT_BYTES,
                frame_raw_max: 4000,
                writes_max: 2,
                compress: false,
            };
            Log::new(config, LogStart::FRESH, plan.base_epoch().next(), false)
        };
        let shards = (0..2).map(log).zip(makers).collect();
        let epoch = plan.base_epoch().0;
        Node { disk, manifest, shards, epoch }
    }

    /// Sets a key on each shard, long enough to need some segments, and seals the epoch.
    fn epoch(&mut self) {
        self.epoch += 1;
        for shard in 0..2 {
            let key = format!("k{}:{shard}", self.epoch);
            let value = vec![b'v'; 900];
            // As crates/engine/src/record draws it: text, database 0; key; no deadline; value of 900 bytes.
            let op = [&[1, key.len() as u8][..], key.as_bytes(), &[0], &[0x84, 0x07], &value].concat();
            self.shards[shard].0.append(1, None, &op);
            self.shards[shard].0.seal(false, false);
            self.run(shard);
        }
    }

    /// Carries out what the log wants.
    fn run(&mut self, shard: usize) {
        let id = LogId { server: SERVER, run: self.manifest.last_run, shard: ShardId(shard as u16) };
        let (log, maker) = &mut self.shards[shard];
        log.commit(START + (self.epoch - 1) * 1000, Epoch(self.epoch - 1));
        log.want_sync();
        loop {
            if let Some(segment) = log.wants_segment() {
                let header = SegmentHeader { log: id, shards: 2, segment, align: ALIGN, bytes: SEGMENT_BYTES };
                maker.prepare(&self.disk, &header).expect("a segment");
                log.segment_ready(segment);
            }
            let Some(op) = log.next_op() else { return };
            if let OpKind::Write { offset, buffer, .. } = &op.kind {
                let name = names::SegmentName { run: id.run, shard: id.shard, segment: op.segment };
                self.disk.write(&name.path(), *offset, buffer).expect("written");
            }
            log.complete(op, Ok(()));
        }
    }
}

/// The keys that a store's logs set, in no order.
fn keys(dir: &Path) -> Vec<String> {
    let (fine, said) = pinyon(&["log", text(dir)]);
    assert!(fine, "{said}");
    let set = said.lines().filter_map(|line| line.split_once(" SET \"")).map(|(_, rest)| rest);
    let mut keys: Vec<String> = set.map(|rest| rest.split('"').next().unwrap_or_default().to_owned()).collect();
    keys.sort();
    keys
}

fn expected(epochs: u64) -> Vec<String> {
    let mut keys: Vec<String> = (1..=epochs).flat_map(|epoch| (0..2).map(move |s| format!("k{epoch}:{s}"))).collect();
    keys.sort();
    keys
}

#[test]
fn check_says_what_a_start_would_restore_and_finds_every_kind_of_damage() {
    let folder = Folder::new("check");
    let store = folder.path("dir/appendonlydir");
    let mut node = Node::open(&store);
    (0..20).for_each(|_| node.epoch());
    let (fine, said) = pinyon(&["check", text(&folder.path("dir"))]);
    assert!(fine, "{said}");
    assert!(said.contains("run 1, shard 1: 40 records"), "{said}");
    assert!(said.contains("cut at epoch 20") && said.ends_with("in order\n"), "{said}");
    let (fine, said) = pinyon(&["log", text(&store), "--shard", "1", "--from", "20"]);
    assert!(fine, "{said}");
    assert_eq!(said.lines().count(), 2, "{said}");
    let line = "2023-11-14T22:13:39.000Z run 1 shard 1 lsn 39 epoch 20  db 0 SET \"k20:1\" \"vvv";
    assert!(said.starts_with(line), "{said}");
    // One byte of a frame that others follow.
    let path = store.join("log-1-0-1");
    let whole = fs::read(&path).expect("a segment");
    let mut damaged = whole.clone();
    damaged[2000] ^= 1;
    fs::write(&path, damaged).expect("written");
    let (fine, said) = pinyon(&["check", text(&store)]);
    assert!(!fine && said.contains("DAMAGED  log-1-0-1 is damaged at byte"), "{said}");
    fs::remove_file(&path).expect("removed");
    let (fine, said) = pinyon(&["check", text(&store)]);
    assert!(!fine && said.contains("log-1-0-1 is missing"), "{said}");
    fs::write(&path, whole).expect("written");
    fs::write(store.join("manifest"), "pinyon-manifest 9\n").expect("written");
    let (fine, said) = pinyon(&["check", text(&store)]);
    assert!(!fine && said.contains("format version 9"), "{said}");
    let (fine, said) = pinyon(&["check", text(&folder.path("nowhere"))]);
    assert!(!fine && said.contains("there is no store in"), "{said}");
}

#[test]
fn a_backup_is_restored_to_its_end_or_to_a_moment_before() {
    let folder = Folder::new("backup");
    let (store, target) = (folder.path("store"), folder.path("backups"));
    let mut node = Node::open(&store);
    (0..20).for_each(|_| node.epoch());
    let (fine, said) = pinyon(&["backup", text(&store), text(&target)]);
    assert!(fine && said.starts_with("backup 1: epoch 20"), "{said}");
    // Another run goes on; of the first one nothing is copied again.
    drop(node);
    let mut node = Node::open(&store);
    (0..4).for_each(|_| node.epoch());
    let before = fs::metadata(target.join("files/log-1-0-1")).and_then(|it| it.modified()).expect("a copy");
    let (fine, said) = pinyon(&["backup", text(&store), text(&target)]);
    assert!(fine && said.starts_with("backup 2: epoch 24"), "{said}");
    let after = fs::metadata(target.join("files/log-1-0-1")).and_then(|it| it.modified()).expect("a copy");
    assert_eq!(before, after, "it was copied again");
    let restored = |name: &str, until: &[&str]| {
        let dir = folder.path(name);
        let (fine, said) = pinyon(&[&["restore", text(&target), text(&dir)], until].concat());
        assert!(fine, "{said}");
        let (fine, said) = pinyon(&["check", text(&dir)]);
        assert!(fine, "{said}");
        keys(&dir)
    };
    assert_eq!(restored("all", &[]), expected(24));
    assert_eq!(restored("epoch", &["--until", "7"]), expected(7));
    assert_eq!(restored("first-run", &["--until", "20"]), expected(20));
    assert_eq!(restored("second-run", &["--until", "22"]), expected(22));
    // The ninth epoch ended eight seconds after the first.
    assert_eq!(restored("time", &["--until", "2023-11-14T22:13:28.500Z"]), expected(9));
    let (fine, said) = pinyon(&["restore", text(&target), text(&folder.path("late")), "--until", "25"]);
    assert!(!fine && said.contains("epoch 25 is not in these backups") && said.contains("backup 2"), "{said}");
    let (fine, said) = pinyon(&["restore", text(&target), text(&folder.path("all"))]);
    assert!(!fine && said.contains("is there already"), "{said}");
    // A restored store goes on.
    let mut node = Node::open(&folder.path("epoch/appendonlydir"));
    node.epoch();
    let (fine, said) = pinyon(&["check", text(&folder.path("epoch"))]);
    assert!(fine, "{said}");
}

#[test]
fn a_torn_copy_is_cut_where_it_is_whole_and_a_damaged_one_is_no_backup() {
    let folder = Folder::new("torn");
    let (store, target) = (folder.path("store"), folder.path("backups"));
    let mut node = Node::open(&store);
    (0..3).for_each(|_| node.epoch());
    // One shard is ahead, as when it was copied later.
    node.shards[1].0.append(1, None, &[0, 1, b'x']);
    node.shards[1].0.seal(false, false);
    node.run(1);
    let (fine, said) = pinyon(&["backup", text(&store), text(&target)]);
    assert!(fine && said.starts_with("backup 1: epoch 3"), "{said}");
    let path = store.join("log-1-0-1");
    let mut bytes = fs::read(&path).expect("a segment");
    bytes[700] ^= 1;
    fs::write(&path, bytes).expect("written");
    let (fine, said) = pinyon(&["backup", text(&store), text(&folder.path("other"))]);
    assert!(!fine && said.contains("log-1-0-1 is damaged"), "{said}");
    assert!(!folder.path("other/backup-1").exists());
}

#[test]
fn a_store_that_a_server_has_open_is_not_copied_behind_its_back() {
    let folder = Folder::new("locked");
    let store = folder.path("store");
    let mut node = Node::open(&store);
    node.epoch();
    let lock = node.disk.lock().expect("a lock file").expect("nobody has it");
    let (fine, said) = pinyon(&["backup", text(&store), text(&folder.path("backups"))]);
    assert!(!fine && said.contains("a server has"), "{said}");
    drop(lock);
    let (fine, said) = pinyon(&["backup", text(&store), text(&folder.path("backups"))]);
    assert!(fine, "{said}");
}
