//! The workload files of `bench/workloads`: one `option value` of pinyon-bench a line, and the harness's own lines, which begin
//! with `@`. The generator's `workload` reads the lines and judges its options; this gives the `@` lines their meaning.
//!
//! A file is parsed once and never changed: what a run is given (host, port, a quick run's smaller numbers) is put over it
//! in the text that `Options::text` writes, and that text is what pinyon-bench reads and what the results keep.
//!
//! ```text
//! @title GET, 16 deep            what the report calls it
//! @about …                       a sentence on what it stands for; may be repeated
//! @kind closed                   see `Kind`
//! @order 10                      its place among all, lower first
//! @needs GET SET                 commands that a server must know
//! @needs-durable yes             only servers that still have a key after being killed
//! @memcached yes                 memcached takes part
//! @server all: --appendonly yes  more of the command line, for one kind of server or for all
//! @prepare option value          of a run before the measured one; `@prepare then` begins another
//! @peak-share 0.7                open loop at that share of the peak of valkey (or of the first server there is)
//! @quick option value            what a quick run has instead; `@quick yes` alone takes the file into quick runs
//! @quick-prepare option value    the same in the first preparing run
//! @deadline 20 1000              for `{deadline}`: milliseconds within 1000 after 20 seconds from now, or later where loading
//!                                the keys takes longer
//! @value-bytes 64                kind memory: bytes of one key's value, where overhead is to be shown
//! @elements 10                   kind memory: elements per key, where bytes per element are to be shown
//! @rounds 5                      instead of the run's own number of rounds
//! @reason valkey: …              why Pinyon is behind it here, for the report
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::server::PeerKind;
use crate::load::workload::Workload as Lines;

/// What is done with a workload, and so what is learnt from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Load as fast as replies come, rounds in alternation: throughput and CPU per operation.
    Closed,
    /// Load at a fixed rate, rounds in alternation: latency from the intended time of sending.
    Open,
    /// An open loop, and BGSAVE after a third of it: latency over time.
    Snapshot,
    /// An open loop while the prepared keys become due: latency over time, and how long they stay.
    Expire,
    /// Loads, kills the server and starts it again: seconds until all keys are back.
    RecoveryLog,
    /// Loads, saves, stops the server and starts it again.
    RecoverySnapshot,
    /// Loads a fresh server: resident bytes per key.
    Memory,
    /// The closed loop over 1 to all cores.
    Scaling,
}

const KINDS: &[(&str, Kind)] = &[
    ("closed", Kind::Closed),
    ("open", Kind::Open),
    ("snapshot", Kind::Snapshot),
    ("expire", Kind::Expire),
    ("recovery-log", Kind::RecoveryLog),
    ("recovery-snapshot", Kind::RecoverySnapshot),
    ("memory", Kind::Memory),
    ("scaling", Kind::Scaling),
];

impl Kind {
    /// As files and records spell it.
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or("closed", |(name, _)| name)
    }
}

/// Options of one run of pinyon-bench, in order; the same name may stand several times (`command`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options(Vec<(String, String)>);

impl Options {
    /// The first value of an option.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The value of an option as a number.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.get(name)?.parse().ok()
    }

    /// Puts a value in place of all that the option has.
    pub fn set(&mut self, name: &str, value: impl ToString) {
        self.0.retain(|(key, _)| key != name);
        self.0.push((name.to_owned(), value.to_string()));
    }

    /// Takes an option out.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(key, _)| key != name);
    }

    /// Adds a value to those that the option has.
    pub fn push(&mut self, name: &str, value: impl ToString) {
        self.0.push((name.to_owned(), value.to_string()));
    }

    /// Replaces a word in all values.
    pub fn replace(&mut self, word: &str, by: &str) {
        for (_, value) in &mut self.0 {
            if value.contains(word) {
                *value = value.replace(word, by);
            }
        }
    }

    /// The options with others over them: an option named there loses all values it has here.
    pub fn with(&self, over: &Options) -> Options {
        let mut all = Options(self.0.iter().filter(|(key, _)| over.get(key).is_none()).cloned().collect());
        all.0.extend(over.0.iter().cloned());
        all
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As a workload file without `@` lines.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.0 {
            let _ = writeln!(text, "{name} {value}");
        }
        text
    }
}

/// One workload file.
#[derive(Clone, Debug)]
pub struct Workload {
    /// The file's name without `.txt`.
    pub name: String,
    pub title: String,
    pub about: String,
    pub kind: Kind,
    /// Commands, in upper case.
    pub needs: Vec<String>,
    pub needs_durable: bool,
    pub memcached: bool,
    /// More arguments by kind of server; those under `None` are for all.
    pub server: Vec<(Option<PeerKind>, Vec<String>)>,
    pub prepare: Vec<Options>,
    pub options: Options,
    pub peak_share: Option<f64>,
    /// It takes part in quick runs.
    pub quick: bool,
    quick_options: Options,
    quick_prepare: Options,
    /// Seconds from now, and the milliseconds over which deadlines spread.
    pub deadline: Option<(f64, u64)>,
    pub value_bytes: Option<f64>,
    pub elements: Option<f64>,
    pub rounds: Option<usize>,
    /// Its place among all workloads, lower first.
    pub order: usize,
    pub reasons: BTreeMap<String, String>,
}

impl Workload {
    /// Reads one file. Errors name the file and the line.
    pub fn read(path: &Path) -> Result<Workload, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Workload::parse(&name, &text).map_err(|error| format!("{}:{error}", path.display()))
    }

    /// Reads all `*.txt` of a folder, in the order of their `@order`, then of their names.
    pub fn read_all(folder: &Path) -> Result<Vec<Workload>, String> {
        let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.retain(|path| path.extension().is_some_and(|end| end == "txt"));
        paths.sort();
        let mut all = paths.iter().map(|path| Workload::read(path)).collect::<Result<Vec<_>, String>>()?;
        all.sort_by_key(|one| one.order);
        Ok(all)
    }

    /// Reads the text of a file. Errors begin with the number of the line.
    pub fn parse(name: &str, text: &str) -> Result<Workload, String> {
        let mut workload = Workload {
            name: name.to_owned(),
            title: name.to_owned(),
            about: String::new(),
            kind: Kind::Closed,
            needs: Vec::new(),
            needs_durable: false,
            memcached: false,
            server: Vec::new(),
            prepare: Vec::new(),
            options: Options::default(),
            peak_share: None,
            quick: false,
            quick_options: Options::default(),
            quick_prepare: Options::default(),
            deadline: None,
            value_bytes: None,
            elements: None,
            rounds: None,
            order: usize::MAX,
            reasons: BTreeMap::new(),
        };
        let lines = Lines::parse(name, text).map_err(|error| format!("{}: {}", error.line, error.why))?;
        for line in &lines.directives {
            workload.take_own(&line.name, &line.value).map_err(|error| format!("{}: {error}", line.number))?;
        }
        for line in lines.options {
            workload.options.push(&line.name, line.value);
        }
        workload.check().map_err(|error| format!("1: {error}"))?;
        Ok(workload)
    }

    fn take_own(&mut self, word: &str, rest: &str) -> Result<(), String> {
        match word {
            "title" => self.title = rest.to_owned(),
            "about" if self.about.is_empty() => self.about = rest.to_owned(),
            "about" => self.about = format!("{} {rest}", self.about),
            "kind" => {
                let known = KINDS.iter().find(|(name, _)| *name == rest);
                self.kind = known.ok_or_else(|| format!("no kind {rest:?}"))?.1;
            }
            "needs" => self.needs.extend(rest.split_whitespace().map(str::to_uppercase)),
            "needs-durable" => self.needs_durable = yes(rest)?,
            "memcached" => self.memcached = yes(rest)?,
            "server" => {
                let (who, arguments) =
                    rest.split_once(':').ok_or("@server wants `all: ARGUMENTS` or `NAME: ARGUMENTS`")?;
                let who = match who.trim() {
                    "all" => None,
                    name => Some(PeerKind::named(name).ok_or_else(|| format!("no server is called {name:?}"))?),
                };
                self.server.push((who, arguments.split_whitespace().map(str::to_owned).collect()));
            }
            "prepare" if rest == "then" => self.prepare.push(Options::default()),
            "prepare" => {
                let (name, value) = option(rest)?;
                if self.prepare.is_empty() {
                    self.prepare.push(Options::default());
                }
                let last = self.prepare.len() - 1;
                self.prepare[last].push(name, value);
            }
            "peak-share" => self.peak_share = Some(number(rest)?),
            "quick" if rest == "yes" => self.quick = true,
            "quick" => {
                let (name, value) = option(rest)?;
                self.quick = true;
                self.quick_options.push(name, value);
            }
            "quick-prepare" => {
                let (name, value) = option(rest)?;
                self.quick_prepare.push(name, value);
            }
            "deadline" => {
                let (seconds, spread) = option(rest)?;
                self.deadline = Some((number(seconds)?, number(spread)? as u64));
            }
            "value-bytes" => self.value_bytes = Some(number(rest)?),
            "elements" => self.elements = Some(number(rest)?),
            "rounds" => self.rounds = Some(number(rest)? as usize),
            "order" => self.order = number(rest)? as usize,
            "reason" => {
                let (peer, text) = rest.split_once(':').ok_or("@reason wants `PEER: TEXT`")?;
                self.reasons.insert(peer.trim().to_owned(), text.trim().to_owned());
            }
            _ => return Err(format!("no line @{word} is known")),
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        let wants =
            |what: bool, text: &str| if what { Ok(()) } else { Err(format!("kind {}: {text}", self.kind.name())) };
        wants(!self.options.is_empty(), "no options of a run")?;
        wants(self.options.get("command").is_some(), "no command")?;
        match self.kind {
            Kind::Open => {
                wants(self.peak_share.is_some() || self.options.get("rate").is_some(), "neither rate nor @peak-share")
            }
            Kind::Snapshot => wants(self.options.get("rate").is_some(), "no rate"),
            Kind::Expire => {
                wants(self.options.get("rate").is_some() && self.deadline.is_some(), "no rate or no @deadline")
            }
            Kind::Memory | Kind::RecoveryLog | Kind::RecoverySnapshot => {
                wants(self.options.get("requests").is_some(), "no requests")
            }
            Kind::Closed | Kind::Scaling => Ok(()),
        }
    }

    /// The preparing runs and the measured one, with a quick run's numbers if it is one.
    pub fn runs(&self, quick: bool) -> (Vec<Options>, Options) {
        if !quick {
            return (self.prepare.clone(), self.options.clone());
        }
        let mut prepare = self.prepare.clone();
        if let Some(first) = prepare.first_mut() {
            *first = first.with(&self.quick_prepare);
        }
        (prepare, self.options.with(&self.quick_options))
    }

    /// What this workload adds to a server's command line.
    pub fn arguments_for(&self, kind: PeerKind) -> Vec<String> {
        let of_kind = self.server.iter().filter(|(who, _)| who.is_none_or(|who| who == kind));
        of_kind.flat_map(|(_, arguments)| arguments.iter().cloned()).collect()
    }

    /// Why a server does not take part whatever it is asked, if so.
    pub fn leaves_out(&self, kind: PeerKind) -> Option<&'static str> {
        let durable = self.needs_durable || matches!(self.kind, Kind::RecoveryLog | Kind::RecoverySnapshot);
        if kind == PeerKind::Memcached && durable {
            return Some("memcached keeps nothing on disk");
        }
        if kind == PeerKind::Memcached && !self.memcached {
            return Some("memcached is compared where the load is GET and SET");
        }
        if kind == PeerKind::Dragonfly && (self.needs_durable || self.kind == Kind::RecoveryLog) {
            return Some("Dragonfly has no durable log");
        }
        None
    }
}

fn option(line: &str) -> Result<(&str, &str), String> {
    let (name, value) = line.split_once(char::is_whitespace).ok_or_else(|| format!("{line:?} is no `option value`"))?;
    let well_named =
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.');
    if well_named { Ok((name, value.trim())) } else { Err(format!("{name:?} is no name of an option")) }
}

fn number(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

fn yes(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(format!("{text:?} is neither yes nor no")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::settings::Settings;

    #[test]
    fn every_file_of_the_repository_parses() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads");
        let all = Workload::read_all(&folder).expect("the workloads");
        assert!(all.len() >= 25, "only {} workloads", all.len());
        for (_, kind) in KINDS {
            assert!(all.iter().any(|one| one.kind == *kind), "no workload of kind {}", kind.name());
        }
        for one in &all {
            assert!(!one.needs.is_empty(), "{}: says not which commands it needs", one.name);
            assert!(!one.about.is_empty(), "{}: says not what it stands for", one.name);
            assert_ne!(one.title, one.name, "{}: has no title", one.name);
            let (prepare, run) = one.runs(false);
            for options in prepare.iter().chain([&run]) {
                assert!(options.get("command").is_some(), "{}: a run without a command", one.name);
                assert!(options.get("seed").is_some(), "{}: a run without a seed", one.name);
                let mut options = options.clone();
                options.replace("{deadline}", "{int:1..2}");
                judged(&options).unwrap_or_else(|error| panic!("{}: {error}", one.name));
            }
        }
        assert!(all.iter().any(|one| one.quick));
    }

    /// What pinyon-bench says of options.
    fn judged(options: &Options) -> Result<(), String> {
        let mut settings = Settings::default();
        let lines = Lines::parse("options", &options.text()).map_err(|error| error.to_string())?;
        lines.apply(&mut settings).map_err(|error| error.to_string())?;
        settings.check()?;
        settings.templates().map(|_| ())
    }

    #[test]
    fn quick_numbers_replace_the_usual_ones() {
        let text = "@title t\n@needs GET\n@prepare keys 10\n@prepare command 1 SET a b\n@quick-prepare keys 2\n@quick duration 1\nduration 9\ncommand 1 GET a\ncommand 2 GET b\n";
        let workload = Workload::parse("x", text).expect("parses");
        let (prepare, run) = workload.runs(true);
        assert_eq!(prepare[0].get("keys"), Some("2"));
        assert_eq!(run.text(), "command 1 GET a\ncommand 2 GET b\nduration 1\n");
        assert_eq!(workload.runs(false).1.get("duration"), Some("9"));
        assert!(workload.quick);
    }

    #[test]
    fn preparing_runs_are_told_apart_and_arguments_by_server() {
        let text = "@server all: --a 1\n@server valkey: --b 2\n@prepare keys 1\n@prepare then\n@prepare keys 2\ncommand 1 GET a";
        let workload = Workload::parse("x", text).expect("parses");
        assert_eq!(workload.prepare.iter().map(|run| run.get("keys")).collect::<Vec<_>>(), [Some("1"), Some("2")]);
        assert_eq!(workload.arguments_for(PeerKind::Valkey), ["--a", "1", "--b", "2"]);
        assert_eq!(workload.arguments_for(PeerKind::Redis), ["--a", "1"]);
    }

    #[test]
    fn errors_name_the_line() {
        for (text, error) in [
            ("connections 5\n@kind odd", "2: no kind \"odd\""),
            ("@rounds many", "1: \"many\" is no number"),
            ("\n\nconnections", "3: connections has no value"),
            ("@prepare Connections 5", "1: \"Connections\" is no name of an option"),
            ("@server sqlite: -x", "1: no server is called \"sqlite\""),
            ("@colour red", "1: no line @colour is known"),
            ("@kind open\ncommand 1 GET a", "1: kind open: neither rate nor @peak-share"),
            ("duration 2", "1: kind closed: no command"),
        ] {
            assert_eq!(Workload::parse("x", text).map(|_| ()), Err(error.to_owned()), "{text}");
        }
    }
}
