//! One seed: a store is made, served, crashed, damaged, opened again with another shape, and checked each time.

use pinyon_durability::recovery;
use pinyon_durability::segment::SegmentMaker;
use pinyon_durability::{Disk, Epoch, Options, RecoveryError, ServerId, names};

use pinyon_base::ShardId;

use crate::disk::{Crash, SimDisk};
use crate::engine::{Engine, Key};
use crate::node::{ALIGN, Node, Opened, Policy, Shape};
use crate::oracle::Oracle;
use crate::recover::{Failure, Recovered, recover};
use crate::rng::Rng;

/// What happened in some seeds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub runs: u64,
    pub power_cuts: u64,
    pub kills: u64,
    pub acknowledged: u64,
    pub snapshots: u64,
    pub dropped: u64,
    pub torn: u64,
    pub damages: u64,
    pub damages_refused: u64,
    pub damages_cut: u64,
}

impl Tally {
    pub fn add(&mut self, other: &Tally) {
        let Tally { runs, power_cuts, kills, acknowledged, snapshots, .. } = other;
        let Tally { dropped, torn, damages, damages_refused, damages_cut, .. } = other;
        self.runs += runs;
        self.power_cuts += power_cuts;
        self.kills += kills;
        self.acknowledged += acknowledged;
        self.snapshots += snapshots;
        self.dropped += dropped;
        self.torn += torn;
        self.damages += damages;
        self.damages_refused += damages_refused;
        self.damages_cut += damages_cut;
    }
}

/// Where a seed stands between two runs.
struct Scenario<E> {
    rng: Rng,
    disk: SimDisk,
    now: u64,
    keys: Vec<Key>,
    /// The run that ended, until what is left of it was checked.
    ended: Option<(Oracle<E>, Crash)>,
    /// What was recovered, from when it was checked until the next run is open.
    checked: Option<E>,
    store_exists: bool,
    tally: Tally,
    trace: bool,
}

/// Runs one seed. `Err` says what was not as it must be. `trace`: prints what happens.
pub fn run<E: Engine>(seed: u64, trace: bool) -> Result<Tally, String> {
    let mut rng = Rng::new(seed);
    let keys = (0..4 + rng.below(28)).map(|i| format!("key:{i}").into_bytes()).collect();
    let disk = SimDisk::new(rng.fork());
    let mut scenario: Scenario<E> = Scenario {
        rng,
        disk,
        now: 1_000_000,
        keys,
        ended: None,
        checked: None,
        store_exists: false,
        tally: Tally::default(),
        trace,
    };
    for _ in 0..1 + scenario.rng.below(4) {
        scenario.round()?;
    }
    // What the last run left is looked at, too.
    scenario.open()?;
    Ok(scenario.tally)
}

impl<E: Engine> Scenario<E> {
    fn round(&mut self) -> Result<(), String> {
        let (shape, opened) = self.open()?;
        self.tally.runs += 1;
        let rng = self.rng.fork();
        let mut node = Node::new(self.disk.clone(), rng, self.now, shape, opened, self.trace);
        let cut_inside = self.rng.permille(300);
        let steps = 20 + self.rng.below(*self.rng.clone().pick(&[40, 200, 500]));
        let fuse_at = self.rng.below(steps);
        let full = self.rng.permille(120);
        for step in 0..steps {
            if cut_inside && step == fuse_at {
                self.disk.set_fuse(Some(self.rng.below(30)));
            }
            if full && self.rng.permille(20) {
                let room = self.rng.permille(600).then(|| self.rng.below(20_000));
                self.disk.set_room(room);
            }
            node.step()?;
            if self.disk.is_off() {
                break;
            }
        }
        if self.rng.permille(200) {
            node.idle();
        }
        let crash = if self.disk.is_off() || self.rng.permille(800) { Crash::PowerCut } else { Crash::Kill };
        match crash {
            Crash::PowerCut => self.tally.power_cuts += 1,
            Crash::Kill => self.tally.kills += 1,
        }
        node.trace(|| format!("{crash:?}"));
        self.disk.crash(crash);
        self.now = node.now;
        self.tally.acknowledged += node.oracle.acknowledged;
        self.tally.snapshots += node.snapshots;
        self.ended = Some((node.oracle, crash));
        if self.rng.permille(500) {
            self.damage()?;
        }
        Ok(())
    }

    fn shape(&mut self) -> Shape {
        let rng = &mut self.rng;
        Shape {
            shards: 1 + rng.below(4) as u16,
            segment_bytes: *rng.pick(&[4096, 8192, 16384]),
            frame_raw_max: 600 + rng.index(1400),
            writes_max: 1 + rng.index(4),
            compress: rng.permille(500),
            keys: self.keys.clone(),
            value_max: *rng.pick(&[100, 1000, 6000]),
            io_errors: if rng.permille(100) { 20 } else { 0 },
        }
    }

    /// Opens the store, however often the power goes meanwhile.
    fn open(&mut self) -> Result<(Shape, Opened<E>), String> {
        let shape = self.shape();
        loop {
            let fuse = self.rng.permille(200).then(|| self.rng.below(120));
            self.disk.set_fuse(fuse);
            let read_error = self.rng.permille(50);
            self.disk.fail_read_in(read_error.then(|| self.rng.below(20)));
            let full = self.rng.permille(50);
            if full {
                self.disk.set_room(Some(self.rng.below(10_000)));
            }
            let opened = self.try_open(&shape);
            if self.trace
                && let Err(why) = &opened
            {
                println!("not opened, off {}: {why:?}", self.disk.is_off());
            }
            self.disk.set_fuse(None);
            self.disk.set_room(None);
            if self.disk.is_off() {
                self.disk.crash(Crash::PowerCut);
                continue;
            }
            match opened {
                Ok(opened) => {
                    self.ended = None;
                    self.checked = None;
                    self.store_exists = true;
                    return Ok((shape, opened));
                }
                Err(NotOpened::Wrong(what)) => return Err(what),
                Err(NotOpened::Refused(Failure::Recovery(RecoveryError::Disk(_)))) if read_error || full => {}
                Err(NotOpened::Refused(failure)) => return Err(format!("it does not start: {failure:?}")),
            }
        }
    }

    fn try_open(&mut self, shape: &Shape) -> Result<Opened<E>, NotOpened> {
        let recovered = match recover::<E>(&self.disk, Options::default())? {
            Some(recovered) => recovered,
            None if self.store_exists => return Err(NotOpened::Wrong("the store is gone".to_owned())),
            None => {
                let server = ServerId(self.rng.u64());
                let store = recovery::create(&self.disk, server).map_err(Failure::Recovery)?;
                let scans = store.scan(&self.disk);
                let plan = store.plan(&self.disk, scans, Options::default()).map_err(Failure::Recovery)?;
                Recovered { plan, world: E::empty() }
            }
        };
        let Recovered { plan, world } = recovered;
        self.check(&plan, &world).map_err(NotOpened::Wrong)?;
        let shards = shape.shards;
        let mut makers: Vec<SegmentMaker> =
            (0..shards).map(|shard| SegmentMaker::new(ShardId(shard), shards)).collect();
        let begun = plan.begin(&self.disk, &mut makers, ALIGN, shape.segment_bytes);
        let manifest = begun.map_err(|error| Failure::Recovery(error.into()))?;
        let base: Epoch = plan.base_epoch();
        let policy = *self.rng.pick(&[Policy::Always, Policy::Always, Policy::EverySec, Policy::EverySec, Policy::No]);
        Ok(Opened { manifest, world, makers, base, policy })
    }

    fn check(&mut self, plan: &recovery::Plan, world: &E) -> Result<(), String> {
        if let Some(before) = &self.checked {
            let same = before == world;
            return if same { Ok(()) } else { Err("the second recovery differs from the first".to_owned()) };
        }
        if let Some((oracle, crash)) = &self.ended {
            oracle.check(plan, world, Some(*crash), self.now)?;
            self.tally.dropped += plan.report.dropped.iter().sum::<u64>();
            self.tally.torn += plan.report.torn.len() as u64;
        } else if *world != E::empty() {
            return Err("something in a store that is new".to_owned());
        }
        self.checked = Some(world.clone());
        Ok(())
    }

    // ---------------------------------------------------------------------------------------------------------- damage

    /// Breaks one file of a copy of the disk, and looks what recovery makes of it.
    fn damage(&mut self) -> Result<(), String> {
        let Ok(Some(sound)) = recover::<E>(&self.disk, Options::default()) else { return Ok(()) };
        let files = self.disk.files();
        let files: Vec<_> = files.into_iter().filter(|(_, bytes)| *bytes > 0).collect();
        if files.is_empty() {
            return Ok(());
        }
        let (file, bytes) = self.rng.pick(&files).clone();
        let copy = self.disk.copy();
        let what = self.rng.below(10);
        match what {
            0 => copy.truncate(&file, self.rng.below(bytes)),
            1 => drop(copy.remove(&file)),
            _ => {
                // Most of a segment is empty: the beginning is the likelier place for something to be.
                let within = if self.rng.permille(500) { bytes.min(1500) } else { bytes };
                let bit = self.rng.below(within * 8);
                if std::env::var("DBG").is_ok() {
                    eprintln!("flip {file} byte {} {:?}", bit / 8, sound.plan.report);
                }
                copy.flip(&file, bit);
            }
        }
        self.tally.damages += 1;
        let damaged = recover::<E>(&copy, Options::default());
        let told = self.judge(&sound, damaged, &file, what).map_err(|why| format!("damage {what} to {file}: {why}"))?;
        if told == Told::Repairable {
            let options = Options { repair: true };
            match recover::<E>(&copy, options) {
                Ok(Some(repaired)) if !repaired.plan.report.repaired.is_empty() => {}
                Ok(_) => return Err(format!("damage {what} to {file}: repaired without a word")),
                Err(failure) => return Err(format!("damage {what} to {file}: not repaired: {failure:?}")),
            }
        }
        Ok(())
    }

    fn judge(
        &mut self,
        sound: &Recovered<E>,
        damaged: Result<Option<Recovered<E>>, Failure>,
        file: &str,
        what: u64,
    ) -> Result<Told, String> {
        let recovered = match damaged {
            Err(Failure::Recovery(error)) => {
                self.tally.damages_refused += 1;
                return Ok(if error.is_repairable() { Told::Repairable } else { Told::Refused });
            }
            Err(failure) => return Err(format!("not noticed: {failure:?}")),
            Ok(None) => return Err("an empty start".to_owned()),
            Ok(Some(recovered)) => recovered,
        };
        if self.must_refuse(sound, file, what) {
            return Err("not noticed".to_owned());
        }
        if recovered.world == sound.world {
            return Ok(Told::NothingLost);
        }
        if what == 1 {
            // A removed last segment leaves a log that ends at the one before: nothing tells it from one that never came.
            return Ok(Told::NothingLost);
        }
        if !recovered.plan.report.torn.iter().any(|torn| torn.place.file == file) {
            let (report, runs) = (&recovered.plan.report, &recovered.plan.runs);
            return Err(format!("something is lost without a word: {report:?} {runs:?}, sound {:?}", sound.plan.runs));
        }
        self.tally.damages_cut += 1;
        if let Some((oracle, _)) = &self.ended {
            oracle.check(&recovered.plan, &recovered.world, None, self.now)?;
        }
        Ok(Told::Cut)
    }

    /// Whether the file is one of which every byte counts, or that has to be there.
    fn must_refuse(&self, sound: &Recovered<E>, file: &str, what: u64) -> bool {
        let manifest = &sound.plan.manifest;
        if file == names::MANIFEST {
            return true;
        }
        if let Some(snapshot) = &manifest.snapshot
            && file.starts_with(&format!("{}/", names::snapshot_folder(snapshot.id)))
        {
            return true;
        }
        let Some(names::Named::Segment(name)) = names::read(file) else { return false };
        let named = manifest.runs.iter().find(|run| run.run == name.run && run.names(name));
        let Some(run) = named else { return false };
        match what {
            0 => true,
            1 => {
                let log = &run.logs[usize::from(name.shard.0)];
                let holds_nothing = log.end.is_some_and(|(_, end)| end < log.start.lsn);
                log.start.segment == name.segment && !holds_nothing
            }
            _ => false,
        }
    }
}

#[derive(PartialEq)]
enum Told {
    NothingLost,
    Refused,
    Repairable,
    Cut,
}

#[derive(Debug)]
enum NotOpened {
    Refused(Failure),
    /// A check failed.
    Wrong(String),
}

impl From<Failure> for NotOpened {
    fn from(failure: Failure) -> NotOpened {
        NotOpened::Refused(failure)
    }
}
