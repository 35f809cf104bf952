//! Killing a real server again and again, and judging what it comes back with.
//!
//! Some clients write, each to keys of its own and one step after the other, a step being a command or an EXEC over keys of
//! several shards. The server is killed at a random moment and started again, with another number of shards. What is left
//! of a client's keys must be what they were after one of its steps ([`judge`]): so nothing is half there. Which step that may be
//! depends on what was promised:
//!
//! - `always`: not before the last acknowledged one;
//! - otherwise: not before the last one that WAITAOF confirmed, and all clients together must be at one cut of history: a step
//!   that was acknowledged before another one was sent is not lost if the other one is kept.
//!
//! Kill -9 leaves the page cache as it is; power cuts are the simulator's (`crates/sim`).

mod judge;
mod load;
mod state;
mod step;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::{Client, Program, Random, Server, ServerOptions, Value};
use judge::Verdict;
use load::{Author, Story};
use state::State;

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub rounds: usize,
    pub clients: usize,
    /// The longest that a server lives.
    pub life: Duration,
    /// Where the server was built; `PINYON_SERVER` says otherwise.
    pub built_at: Option<PathBuf>,
    /// Called with a line for every round.
    pub tell: fn(&str),
}

/// What a whole run came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    pub rounds: usize,
    pub acknowledged: usize,
    /// Acknowledged and lost, where the policy allows it.
    pub lost: usize,
    pub saves: usize,
}

/// Whether replies wait for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Always,
    EverySecond,
    No,
}

impl Policy {
    fn name(self) -> &'static str {
        match self {
            Policy::Always => "always",
            Policy::EverySecond => "everysec",
            Policy::No => "no",
        }
    }
}

/// A folder that outlives the servers.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // A failed run keeps what it leaves, for whoever looks into it.
        if !std::thread::panicking() {
            drop(std::fs::remove_dir_all(&self.0));
        }
    }
}

/// Runs the plan; an error says what was violated, in which round, and the seed that goes there again.
pub fn run(plan: &Plan) -> Result<Outcome, String> {
    let folder = std::env::temp_dir().join(format!("pinyon-crash-{}-{}", std::process::id(), plan.seed));
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let folder = Folder(folder);
    let mut random = Random::new(plan.seed);
    let mut states = vec![State::default(); plan.clients];
    let mut shared = [0; step::SHARED];
    let mut outcome = Outcome::default();
    for round in 0..plan.rounds {
        let failed = |why: String| {
            let place = folder.0.display();
            format!("seed {}, round {round}: {why}\n(the store is in {place}, until it is removed)", plan.seed)
        };
        let told = one_round(plan, &folder, &mut random, &mut states, &mut shared, &mut outcome);
        let told = told.map_err(failed).inspect_err(|_| keep(&folder))?;
        (plan.tell)(&format!("round {round}: {told}"));
    }
    Ok(outcome)
}

/// Copies the store aside before the folder goes.
fn keep(folder: &Folder) {
    drop(std::fs::rename(&folder.0, folder.0.with_extension("violated")));
}

fn one_round(
    plan: &Plan,
    folder: &Folder,
    random: &mut Random,
    states: &mut [State],
    shared: &mut [i64; step::SHARED],
    outcome: &mut Outcome,
) -> Result<String, String> {
    let policy = [Policy::Always, Policy::EverySecond, Policy::EverySecond, Policy::No][random.below(4)];
    let mut server = start(plan, folder, random, policy)?;
    let abilities = step::Abilities::of(&mut connect(&server)?);
    let authors: Vec<Author> = (0..plan.clients)
        .map(|number| Author { number, seed: random.next_u64(), abilities, address: server.address() })
        .collect();
    let life = Duration::from_millis(30 + random.below(plan.life.as_millis() as usize) as u64);
    let (stories, killed) = std::thread::scope(|scope| {
        let writers: Vec<_> = authors.iter().map(|author| scope.spawn(|| author.write())).collect();
        let saves = disturb(&server, random, life);
        outcome.saves += saves;
        let killed = Instant::now();
        let end = server.signal("KILL").map_err(|error| error.to_string());
        let stories = writers.into_iter().map(|writer| writer.join().expect("a writer does not panic"));
        (stories.collect::<Result<Vec<Story>, String>>(), end.map(|()| killed))
    });
    let (stories, killed) = (stories?, killed?);
    drop(server.wait_exit(Duration::from_secs(20)));
    let server = start(plan, folder, random, policy)?;
    let mut client = connect(&server)?;
    let verdict = Verdict::of(&mut client, policy, states, shared, &stories, killed)?;
    let steps: usize = stories.iter().map(|story| story.acknowledged()).sum();
    outcome.rounds += 1;
    outcome.acknowledged += steps;
    outcome.lost += verdict.lost;
    terminate(server, random)?;
    Ok(format!("{}, {life:?}: {steps} steps acknowledged, {} of them lost", policy.name(), verdict.lost))
}

fn start(plan: &Plan, folder: &Folder, random: &mut Random, policy: Policy) -> Result<Server, String> {
    let mut options = ServerOptions::new(Program::Pinyon).shards(1 + random.below(4) as u16).log_in(&folder.0);
    if let Some(path) = &plan.built_at {
        options = options.built_at(path);
    }
    let words = ["--appendfsync", policy.name(), "--log-segment-size", "1mb", "--save", ""];
    options.args(words).start().map_err(|error| error.to_string())
}

/// The server that was looked at ends by another kill or in order.
fn terminate(mut server: Server, random: &mut Random) -> Result<(), String> {
    let signal = if random.one_in(2) { "KILL" } else { "TERM" };
    server.signal(signal).map_err(|error| error.to_string())?;
    match server.wait_exit(Duration::from_secs(30)) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(format!("it does not end after SIG{signal}")),
        Err(error) => Err(error.to_string()),
    }
}

fn connect(server: &Server) -> Result<Client, String> {
    Client::connect(&server.address()).map_err(|error| error.to_string())
}

/// Waits until `life` is over; now and then begins a save meanwhile, where the server has that. How many were begun.
fn disturb(server: &Server, random: &mut Random, life: Duration) -> usize {
    let begin = Instant::now();
    let mut begun = 0;
    let mut client = Client::connect(&server.address()).ok();
    while let Some(left) = life.checked_sub(begin.elapsed()).filter(|left| !left.is_zero()) {
        std::thread::sleep(left.min(Duration::from_millis(random.between(5, 200) as u64)));
        let command = random.pick(&["BGSAVE", "BGREWRITEAOF", "PING", "PING", "PING"]);
        if let Some(client) = &mut client
            && matches!(client.call(&[command]), Ok(Value::Simple(text)) if text.starts_with("Background"))
        {
            begun += 1;
        }
    }
    begun
}
