//! A store in a real folder: made, written, opened again, and opened after somebody broke it. Each kind of damage has its own
//! error, which names the file and says what to do.

use std::fs;
use std::path::PathBuf;

use pinyon_base::ShardId;
use pinyon_durability::ids::LogId;
use pinyon_durability::names;
use pinyon_durability::recovery::{self, Found};
use pinyon_durability::segment::{SegmentHeader, SegmentMaker};
use pinyon_durability::{
    Disk, Epoch, Log, LogConfig, LogStart, Manifest, OpKind, Options, Plan, RecoveryError, Rule, ServerId, StdDisk,
};

const ALIGN: u32 = 512;
const SEGMENT_BYTES: u64 = 8192;
const SERVER: ServerId = ServerId(0x5151_5151_0000_0001);

struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("pinyon-store-{}-{test}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder for this test");
        Folder(path)
    }

    fn disk(&self) -> StdDisk {
        StdDisk::new(&self.0)
    }

    fn change(&self, file: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let path = self.0.join(file);
        let mut bytes = fs::read(&path).expect("a file of the store");
        change(&mut bytes);
        fs::write(&path, bytes).expect("written");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn plan(disk: &StdDisk, options: Options) -> Result<Plan, RecoveryError> {
    let Found::Store(store) = recovery::find(disk)? else { panic!("a store") };
    let scans = store.scan(disk);
    store.plan(disk, scans, options)
}

fn open(disk: &StdDisk) -> Result<Plan, RecoveryError> {
    plan(disk, Options::default())
}

fn begin(disk: &StdDisk, plan: &Plan, shards: u16) -> (Manifest, Vec<Log>, Vec<SegmentMaker>) {
    let mut makers: Vec<SegmentMaker> = (0..shards).map(|shard| SegmentMaker::new(ShardId(shard), shards)).collect();
    let manifest = plan.begin(disk, &mut makers, ALIGN, SEGMENT_BYTES).expect("a new run");
    let log = |shard| {
        let config = LogConfig {
            id: LogId { server: SERVER, run: manifest.last_run, shard: ShardId(shard) },
            align: ALIGN,
            segment_bytes: SEGMENT_BYTES,
            frame_raw_max: 4000,
            writes_max: 2,
            compress: true,
        };
        Log::new(config, LogStart::FRESH, plan.base_epoch().next(), true)
    };
    let logs = (0..shards).map(log).collect();
    (manifest, logs, makers)
}

/// Carries out what the log wants.
fn run(disk: &StdDisk, manifest: &Manifest, shard: u16, log: &mut Log, maker: &mut SegmentMaker, durable: Epoch) {
    let shards = manifest.runs.last().expect("a run").logs.len() as u16;
    let id = LogId { server: SERVER, run: manifest.last_run, shard: ShardId(shard) };
    let header = |segment| SegmentHeader { log: id, shards, segment, align: ALIGN, bytes: SEGMENT_BYTES };
    log.commit(1_700_000_000_000, durable);
    loop {
        if let Some(segment) = log.wants_segment() {
            maker.prepare(disk, &header(segment)).expect("a segment");
            log.segment_ready(segment);
        }
        let Some(op) = log.next_op() else { return };
        let path = header(op.segment).name().path();
        if let OpKind::Write { offset, buffer, .. } = &op.kind {
            disk.write(&path, *offset, buffer).expect("written");
        }
        disk.sync(&path).expect("synced");
        log.complete(op, Ok(()));
    }
}

/// Two shards with `records` records each of 700 bytes, sealed and durable twice over so that all of it has witnesses.
fn filled(folder: &Folder, records: u8) -> StdDisk {
    let disk = folder.disk();
    let store = recovery::create(&disk, SERVER).expect("a new store");
    let scans = store.scan(&disk);
    let plan = store.plan(&disk, scans, Options::default()).expect("nothing in it");
    let (manifest, mut logs, mut makers) = begin(&disk, &plan, 2);
    for epoch in 0..2 {
        for (shard, (log, maker)) in logs.iter_mut().zip(&mut makers).enumerate() {
            for record in 0..if epoch == 0 { records } else { 0 } {
                // Not to be compressed, so that the segments fill.
                let byte = |i: u32| (i.wrapping_mul(2_654_435_761) >> 13) as u8 ^ record;
                log.append(3, None, &(0..700).map(byte).collect::<Vec<u8>>());
                run(&disk, &manifest, shard as u16, log, maker, Epoch(epoch));
            }
            log.seal(true, false);
            run(&disk, &manifest, shard as u16, log, maker, Epoch(epoch));
        }
    }
    disk
}

fn records(disk: &StdDisk, plan: &Plan) -> usize {
    let mut count = 0;
    for run in &plan.runs {
        for log in &run.logs {
            let mut replay = plan.replay(disk, run, log);
            while let Some(record) = replay.next_record().expect("whole") {
                count += usize::from(!record.seal);
            }
        }
    }
    count
}

#[test]
fn what_was_written_is_there_again_also_with_other_numbers_of_shards() {
    let folder = Folder::new("again");
    let disk = filled(&folder, 20);
    for shards in [3, 1, 2] {
        let plan = open(&disk).expect("a store");
        assert_eq!(records(&disk, &plan), 40);
        begin(&disk, &plan, shards);
    }
    let plan = open(&disk).expect("a store");
    assert_eq!((records(&disk, &plan), plan.runs.len()), (40, 2), "of runs without records the last alone is named");
    assert!(plan.report.torn.is_empty() && plan.report.repaired.is_empty());
}

#[test]
fn a_folder_without_a_store_is_nothing_and_a_part_of_one_is_refused() {
    let folder = Folder::new("parts");
    assert!(matches!(recovery::find(&folder.disk()), Ok(Found::Nothing)));
    fs::write(folder.0.join("dump.rdb"), "of somebody else").expect("written");
    assert!(matches!(recovery::find(&folder.disk()), Ok(Found::Nothing)));
    let disk = filled(&folder, 3);
    disk.remove(names::MANIFEST).expect("removed");
    let error = open(&disk).expect_err("no manifest");
    assert!(matches!(&error, RecoveryError::ManifestMissing { found } if found.starts_with("log-")), "{error}");
}

#[test]
fn a_torn_tail_is_cut_off_and_reported() {
    let folder = Folder::new("torn");
    let disk = filled(&folder, 3);
    // The last frame of shard 0 has no witness: the second seal.
    let sound = open(&disk).expect("a store");
    let last = sound.report.cut.as_ref().expect("a cut").ends[0];
    folder.change("log-1-0-1", |bytes| {
        let end = bytes.iter().rposition(|byte| *byte != 0).expect("frames");
        bytes[end] ^= 0x10;
    });
    let plan = open(&disk).expect("a torn tail is no damage");
    let cut = plan.report.cut.as_ref().expect("a cut");
    assert_eq!((cut.ends[0].0, cut.rule, records(&disk, &plan)), (last.0 - 1, Rule::StablePrefix, 6));
    assert_eq!((plan.report.torn.len(), plan.report.torn[0].place.file.as_str()), (1, "log-1-0-1"));
}

#[test]
fn damage_before_the_tail_is_refused_with_file_and_offset_unless_it_is_to_be_repaired() {
    let folder = Folder::new("damage");
    let disk = filled(&folder, 20);
    folder.change("log-1-1-2", |bytes| bytes[2048 + 200] ^= 1);
    let error = open(&disk).expect_err("damage");
    let RecoveryError::LogDamaged { file, offset, shard, .. } = &error else { panic!("{error}") };
    assert_eq!((file.as_str(), *shard), ("log-1-1-2", ShardId(1)));
    assert!(*offset <= 2048 + 200 && *offset >= 1024, "{offset}");
    assert!(error.is_repairable() && error.to_string().contains("log-repair yes"), "{error}");
    let plan = plan(&disk, Options { repair: true }).expect("repaired");
    assert_eq!(plan.report.repaired.len(), 1);
    assert!((20..40).contains(&records(&disk, &plan)));
}

#[test]
fn every_way_to_break_a_file_has_its_error() {
    let broken = |test: &str, change: &dyn Fn(&Folder)| {
        let folder = Folder::new(test);
        let disk = filled(&folder, 20);
        change(&folder);
        let error = open(&disk).expect_err(test);
        (error.to_string(), error)
    };
    let rename = |folder: &Folder, from: &str, to: &str| folder.disk().rename(from, to).expect("renamed");

    let (text, error) = broken("missing", &|folder| folder.disk().remove("log-1-0-2").expect("removed"));
    assert!(matches!(&error, RecoveryError::Missing { file, .. } if file == "log-1-0-2"), "{text}");
    // The last one that holds something: only the other shard's log knows that there was more.
    let (text, error) = broken("last", &|folder| {
        folder.disk().remove("log-1-0-3").expect("removed");
        drop(folder.disk().remove("log-1-0-4"));
    });
    assert!(matches!(&error, RecoveryError::LogDamaged { shard: ShardId(0), .. }), "{text}");
    let (text, error) = broken("truncated", &|folder| folder.change("log-1-1-1", |bytes| bytes.truncate(1024)));
    assert!(matches!(&error, RecoveryError::Truncated { bytes: 1024, expected: SEGMENT_BYTES, .. }), "{text}");
    let (text, error) = broken("swapped", &|folder| {
        rename(folder, "log-1-0-1", "log-x");
        rename(folder, "log-1-1-1", "log-1-0-1");
        rename(folder, "log-x", "log-1-1-1");
    });
    assert!(matches!(&error, RecoveryError::Swapped { says, .. } if says == "log-1-1-1"), "{text}");
    let (text, error) = broken("future", &|folder| folder.change("log-1-0-1", |bytes| bytes[8] = 9));
    assert!(matches!(&error, RecoveryError::FromTheFuture { version: 9, .. }), "{text}");
    let (text, error) = broken("header", &|folder| folder.change("log-1-0-1", |bytes| bytes[3] = 9));
    assert!(matches!(&error, RecoveryError::HeaderDamaged { .. }), "{text}");
    let (text, error) = broken("manifest", &|folder| folder.change(names::MANIFEST, |bytes| bytes[40] ^= 1));
    assert!(matches!(&error, RecoveryError::ManifestDamaged { .. }), "{text}");
    let (text, error) = broken("foreign", &|folder| {
        let log = LogId { server: ServerId(7), run: pinyon_durability::RunId(1), shard: ShardId(0) };
        let header = SegmentHeader { log, shards: 2, segment: 1, align: ALIGN, bytes: SEGMENT_BYTES };
        folder.change("log-1-0-1", |bytes| bytes[..64].copy_from_slice(&header.write()));
    });
    assert!(matches!(&error, RecoveryError::OfAnotherServer { found: ServerId(7), expected: SERVER, .. }), "{text}");
    let (text, error) = broken("older", &|folder| {
        let old = fs::read(folder.0.join(names::MANIFEST)).expect("a manifest");
        let disk = folder.disk();
        let plan = open(&disk).expect("a store");
        let (manifest, mut logs, mut makers) = begin(&disk, &plan, 1);
        logs[0].append(3, None, b"of the second run");
        run(&disk, &manifest, 0, &mut logs[0], &mut makers[0], Epoch(0));
        fs::write(folder.0.join(names::MANIFEST), old).expect("put back");
    });
    assert!(matches!(&error, RecoveryError::ManifestOlder { file } if file == "log-2-0-1"), "{text}");
}

#[test]
fn a_folder_is_locked_by_one() {
    let folder = Folder::new("lock");
    let first = folder.disk().lock().expect("a lock file");
    assert!(first.is_some() && folder.disk().lock().expect("a lock file").is_none());
    drop(first);
    assert!(folder.disk().lock().expect("a lock file").is_some());
}

/// A server that has kept no log begins one. Killed before the snapshot is there on which it builds, it finds what it had; and
/// what the run without a base has logged is gone.
#[test]
fn a_run_without_a_base_does_not_count() {
    let folder = Folder::new("apart");
    let disk = filled(&folder, 3);
    let plan = open(&disk).expect("in order");
    let closed = plan.close(&disk).expect("closed");
    assert!(closed.runs.iter().all(|run| !run.is_open()));
    let found = |plan: &Plan| plan.runs.iter().flat_map(|run| &run.logs).map(|log| log.end).collect::<Vec<_>>();
    let ends = found(&plan);
    assert_eq!(found(&open(&disk).expect("in order")), ends);
    // The run is begun, and written to.
    let mut makers: Vec<SegmentMaker> = (0..2).map(|shard| SegmentMaker::new(ShardId(shard), 2)).collect();
    let manifest = recovery::begin_apart(&disk, &closed, &mut makers, ALIGN, SEGMENT_BYTES).expect("begun");
    let id = |shard| LogId { server: SERVER, run: manifest.last_run, shard: ShardId(shard) };
    let name = SegmentHeader { log: id(0), shards: 2, segment: 1, align: ALIGN, bytes: SEGMENT_BYTES }.name();
    let config = LogConfig {
        id: id(0),
        align: ALIGN,
        segment_bytes: SEGMENT_BYTES,
        frame_raw_max: 4000,
        writes_max: 2,
        compress: true,
    };
    let mut log = Log::new(config, LogStart::FRESH, plan.base_epoch().next(), true);
    log.append(3, None, b"a record");
    log.seal(true, false);
    log.commit(1_700_000_000_000, Epoch(0));
    while let Some(op) = log.next_op() {
        if let OpKind::Write { offset, buffer, .. } = &op.kind {
            disk.write(&name.path(), *offset, buffer).expect("written");
        }
        log.complete(op, Ok(()));
    }
    let plan = open(&disk).expect("a run that does not count is no reason not to start");
    assert_eq!(found(&plan), ends);
    assert!(disk.length(&name.path()).expect("a look").is_some());
    begin(&disk, &plan, 3);
    assert!(disk.length(&name.path()).expect("a look").is_none(), "its files are removed");
    assert_eq!(found(&open(&disk).expect("in order"))[..ends.len()], ends);
}
