//! Snapshot files in a real folder: what went in comes out, and nothing that was changed since does.

use proptest::prelude::*;

use super::*;
use crate::disk::Disk;
use crate::error::RecoveryError;
use crate::manifest::SnapshotFileRef;
use crate::names;
use crate::std_disk::StdDisk;

const SERVER: ServerId = ServerId(5);
const ID: SnapshotId = SnapshotId(3);
const SHARD: ShardId = ShardId(1);

struct Scratch {
    disk: StdDisk,
    path: String,
}

impl Scratch {
    /// `test` sets it apart from those of the other tests of this process.
    fn new(test: &str) -> Scratch {
        let folder = std::env::temp_dir().join(format!("pinyon-snapshot-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for this test");
        let disk = StdDisk::new(folder);
        disk.create_folder(&names::snapshot_folder(ID)).expect("a folder in it");
        Scratch { disk, path: names::snapshot_file(ID, SHARD) }
    }

    fn store(&self, bytes: &[u8]) {
        self.disk.create(&self.path).expect("a file");
        self.disk.write(&self.path, 0, bytes).expect("written");
    }

    fn load(&self, expected: &SnapshotFileRef) -> Result<(u64, Vec<u8>), RecoveryError> {
        let file = SnapshotFile::open(&self.disk, SERVER, ID, SHARD, expected)?;
        let mut all = (0, Vec::new());
        for unit in 0..file.units() {
            let unit = file.read_unit(&self.disk, unit)?;
            all.0 += unit.entries;
            all.1.extend(unit.bytes);
        }
        Ok(all)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(self.disk.folder()));
    }
}

fn written(entries: &[Vec<u8>], raw_max: usize, compress: bool) -> (Vec<u8>, SnapshotFileRef) {
    let header = SnapshotHeader { server: SERVER, id: ID, epoch: Epoch(9), shard: SHARD, shards: 2 };
    let mut writer = SnapshotWriter::new(header, raw_max, compress);
    let mut file = Vec::new();
    for entry in entries {
        writer.entry();
        for piece in entry.chunks(70) {
            writer.piece(piece);
            file.extend(writer.take().unwrap_or_default());
        }
    }
    let (rest, summary) = writer.finish();
    file.extend(rest.concat());
    assert_eq!((file.len() as u64, entries.len() as u64), (summary.bytes, summary.entries));
    (file, summary)
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let scratch = Scratch::new("flips");
    let entries: Vec<Vec<u8>> = (0..6u8).map(|i| vec![i; 90]).collect();
    let (mut file, summary) = written(&entries, 128, true);
    for bit in 0..file.len() * 8 {
        file[bit / 8] ^= 1 << (bit % 8);
        scratch.store(&file);
        assert!(scratch.load(&summary).is_err(), "bit {bit}");
        file[bit / 8] ^= 1 << (bit % 8);
    }
    for length in [0, 1, 47, 48, 200, file.len() - 1] {
        scratch.store(&file[..length]);
        assert!(scratch.load(&summary).is_err(), "{length} bytes");
    }
    scratch.disk.remove(&scratch.path).expect("removed");
    assert!(matches!(scratch.load(&summary), Err(RecoveryError::Missing { .. })));
}

#[test]
fn an_entry_over_many_blocks_is_one_unit_and_the_others_stay_alone() {
    let scratch = Scratch::new("units");
    let entries = vec![vec![1; 300], vec![2; 5000], vec![3; 300]];
    let (file, summary) = written(&entries, 512, false);
    scratch.store(&file);
    let opened = SnapshotFile::open(&scratch.disk, SERVER, ID, SHARD, &summary).expect("in order");
    assert_eq!((opened.entries(), opened.raw_bytes()), (3, 5600));
    assert_eq!(opened.units(), 1, "the long entry begins in the first block and ends in the last");
    let many = vec![vec![4; 512]; 9];
    let (file, summary) = written(&many, 512, false);
    scratch.store(&file);
    let opened = SnapshotFile::open(&scratch.disk, SERVER, ID, SHARD, &summary).expect("in order");
    assert_eq!(opened.units(), 9);
    assert_eq!(opened.read_unit(&scratch.disk, 4).expect("in order"), Unit { entries: 1, bytes: vec![4; 512] });
}

#[test]
fn a_file_of_another_place_is_refused() {
    let scratch = Scratch::new("places");
    let (file, summary) = written(&[vec![1; 10]], 512, true);
    scratch.store(&file);
    let of_other = SnapshotFile::open(&scratch.disk, ServerId(6), ID, SHARD, &summary);
    assert!(matches!(of_other, Err(RecoveryError::OfAnotherServer { .. })));
    let other = names::snapshot_file(ID, ShardId(0));
    scratch.disk.rename(&scratch.path, &other).expect("renamed");
    let swapped = SnapshotFile::open(&scratch.disk, SERVER, ID, ShardId(0), &summary);
    assert!(matches!(swapped, Err(RecoveryError::Swapped { .. })));
}

proptest! {
    #[test]
    fn entries_come_back(
        entries in prop::collection::vec(prop::collection::vec(0u8..4, 0..900), 0..20), raw_max in 64usize..1000, compress: bool,
    ) {
        let scratch = Scratch::new("round");
        let (file, summary) = written(&entries, raw_max, compress);
        scratch.store(&file);
        prop_assert_eq!(scratch.load(&summary).expect("in order"), (entries.len() as u64, entries.concat()));
    }
}

#[test]
fn blocks_without_checksums_come_back_and_so_do_those_that_were_changed() {
    let scratch = Scratch::new("unchecked");
    let header = SnapshotHeader { server: SERVER, id: ID, epoch: Epoch(9), shard: SHARD, shards: 2 };
    let mut writer = SnapshotWriter::new(header, 4096, false).with_checksums(false);
    writer.entry();
    writer.piece(&[7; 6000]);
    let mut file = Vec::new();
    while let Some(bytes) = writer.take() {
        file.extend(bytes);
    }
    let (rest, expected) = writer.finish();
    file.extend(rest.concat());
    scratch.store(&file);
    assert_eq!(scratch.load(&expected).expect("in order"), (1, vec![7; 6000]));
    let at = FILE_HEADER_BYTES + BLOCK_HEADER_BYTES + 100;
    file[at] = 8;
    scratch.store(&file);
    assert_eq!(scratch.load(&expected).expect("nobody can tell").1[100], 8);
    // What blocks there are is told as ever.
    let at = file.len() - FOOTER_BYTES - 10;
    file[at] ^= 1;
    scratch.store(&file);
    assert!(scratch.load(&expected).is_err());
}
