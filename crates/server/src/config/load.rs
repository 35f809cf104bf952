//! From files, standard input and command line options to a [`Config`]: first all lines, then the checks of the
//! whole.
//!
//! Sources count in this order: the file (with what it includes, where it is included), standard input, options.
//! Later lines win; `save` and `client-output-buffer-limit` add up, as in Redis. Every problem is collected, so that
//! one start shows all of them; a `Config` comes out only when there is none.

use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use pinyon_base::split_args;

use super::Config;
use super::directive::{Directive, Lacking, Refusal};
use super::directives;
use super::lists::os_words;
use super::value::ValueError;

/// Files that include files that include files: a circle beyond this depth.
const INCLUDE_DEPTH_MAX: usize = 16;
/// The longest path of a unix socket, less its final zero byte.
const UNIX_PATH_BYTES_MAX: usize = 107;

/// What the command line asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub file: Option<PathBuf>,
    /// What standard input held, when it was asked for.
    pub stdin: Option<String>,
    /// Directives, each as its name and its words.
    pub directives: Vec<(String, Vec<String>)>,
}

/// A valid configuration, and what is to be said about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// The main file as an absolute path, for CONFIG REWRITE and INFO.
    pub file: Option<PathBuf>,
    /// Directives that were given and have no effect, in the order given.
    pub without_effect: Vec<(&'static str, Lacking)>,
    /// How many directives were read, from all sources.
    pub directives: usize,
}

/// Where a line was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    File {
        path: Rc<Path>,
        line: usize,
    },
    Stdin {
        line: usize,
    },
    Options,
    /// The configuration as a whole.
    Whole,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Stdin { line } => write!(f, "standard input:{line}"),
            Origin::Options => f.write_str("command line"),
            Origin::Whole => f.write_str("configuration"),
        }
    }
}

/// What is wrong with a line, or with the whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("can't open config file '{}': {reason}", path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("the line is not UTF-8")]
    NotUtf8,
    #[error("Unbalanced quotes in configuration line")]
    Unbalanced,
    #[error("Bad directive or wrong number of arguments{}", meant(*nearest))]
    Unknown { nearest: Option<&'static str> },
    #[error("{0}")]
    Value(ValueError),
    #[error("'{name}' can't be honoured: {}. Remove it to start without", .lacking.why())]
    Unavailable { name: String, lacking: Lacking },
    #[error("sentinel directive while not in sentinel mode")]
    Sentinel,
    #[error("files include each other more than {INCLUDE_DEPTH_MAX} deep")]
    IncludeDepth,
    #[error("Configured to not listen anywhere: port is 0, or bind is empty, and unixsocket is not set")]
    NowhereToListen,
    #[error("core-ports need ports {first} to {last}, {why}; see core-port-base")]
    CorePorts { first: u32, last: u32, why: &'static str },
    #[error("unix socket path too long ({0}), must be under {max}", max = UNIX_PATH_BYTES_MAX + 1)]
    UnixPathTooLong(usize),
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; did you mean '{name}'?")).unwrap_or_default()
}

/// A fault and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub origin: Origin,
    /// The line as written; secrets left out.
    pub line: String,
    pub fault: Fault,
}

impl fmt::Display for Problem {
    /// `/etc/pinyon.conf:12: port 70000: argument must be between 0 and 65535 inclusive`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.line.is_empty() {
            write!(f, "{}: ", self.line)?;
        }
        write!(f, "{}", self.fault)
    }
}

/// What a start that failed prints.
pub fn fatal_text(problems: &[Problem]) -> String {
    use fmt::Write;
    let mut text = format!("\n*** FATAL CONFIG FILE ERROR (Pinyon {}) ***\n", env!("CARGO_PKG_VERSION"));
    for problem in problems {
        // Writing into a String does not fail.
        let _ = match &problem.origin {
            Origin::File { path, line } => {
                writeln!(text, "Reading the configuration file {}, at line {line}", path.display())
            }
            Origin::Stdin { line } => writeln!(text, "Reading standard input, at line {line}"),
            Origin::Options => writeln!(text, "Reading the command line"),
            Origin::Whole => Ok(()),
        };
        if !problem.line.is_empty() {
            let _ = writeln!(text, ">>> '{}'", problem.line);
        }
        let _ = writeln!(text, "{}", problem.fault);
    }
    text
}

impl Loaded {
    /// The one warning about directives without effect: a line for each reason. None when there are none.
    pub fn warning(&self) -> Option<String> {
        let mut reasons: Vec<Lacking> = self.without_effect.iter().map(|(_, lacking)| *lacking).collect();
        reasons.sort_unstable();
        reasons.dedup();
        let line = |reason: &Lacking| {
            let same = self.without_effect.iter().filter(|(_, lacking)| lacking == reason);
            let names: Vec<&str> = same.map(|(name, _)| *name).collect();
            format!("\n    {}: {}", reason.why(), names.join(", "))
        };
        let lines: String = reasons.iter().map(line).collect();
        (!lines.is_empty()).then(|| format!("These directives have no effect:{lines}"))
    }
}

/// Reads everything that the options name.
pub fn load(options: &Options) -> Result<Loaded, Vec<Problem>> {
    let mut loader = Loader::new();
    let file = options.file.as_deref().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
    if let Some(path) = &file {
        loader.file(path, 0, &Origin::Options);
    }
    if let Some(text) = &options.stdin {
        for (line, text) in text.lines().enumerate() {
            loader.line(text, Origin::Stdin { line: line + 1 }, 0);
        }
    }
    for (name, words) in &options.directives {
        loader.directive(name, words, Origin::Options, 0);
    }
    loader.finish(file)
}

struct Loader {
    config: Config,
    /// Rows that a line has given a value, with the line that gave the last one.
    given: Vec<(&'static Directive, Origin, String)>,
    without_effect: Vec<(&'static str, Lacking)>,
    directives: usize,
    problems: Vec<Problem>,
}

impl Loader {
    fn new() -> Loader {
        Loader {
            config: Config::default(),
            given: Vec::new(),
            without_effect: Vec::new(),
            directives: 0,
            problems: Vec::new(),
        }
    }

    fn fail(&mut self, origin: Origin, line: String, fault: Fault) {
        self.problems.push(Problem { origin, line, fault });
    }

    fn file(&mut self, path: &Path, depth: usize, named_by: &Origin) {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) => {
                let fault = Fault::Unreadable { path: path.to_owned(), reason: os_words(&e) };
                return self.fail(named_by.clone(), String::new(), fault);
            }
        };
        let path: Rc<Path> = path.into();
        for (line, bytes) in bytes.split(|c| *c == b'\n').enumerate() {
            let origin = Origin::File { path: path.clone(), line: line + 1 };
            match std::str::from_utf8(bytes) {
                Ok(text) => self.line(text, origin, depth),
                Err(_) => self.fail(origin, String::from_utf8_lossy(bytes).into_owned(), Fault::NotUtf8),
            }
        }
    }

    fn line(&mut self, text: &str, origin: Origin, depth: usize) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            return;
        }
        match split_words(text) {
            Some(words) => {
                if let Some((name, words)) = words.split_first() {
                    self.directive(name, words, origin, depth);
                }
            }
            None => {
                let name = text.split_whitespace().next().unwrap_or_default();
                let secret = directives::find(name).is_some_and(|row| row.secret);
                let line = if secret { format!("{name} ...") } else { text.to_owned() };
                self.fail(origin, line, Fault::Unbalanced);
            }
        }
    }

    fn directive(&mut self, name: &str, words: &[String], origin: Origin, depth: usize) {
        self.directives += 1;
        let row = directives::find(name);
        let line = shown(name, words, row.is_some_and(|row| row.secret));
        let fault = match row {
            Some(row) => self.row(row, words, &origin, &line),
            None => self.word(name, words, &origin, depth),
        };
        if let Err(fault) = fault {
            self.fail(origin, line, fault);
        }
    }

    /// A line that is a row's.
    fn row(&mut self, row: &'static Directive, words: &[String], origin: &Origin, line: &str) -> Result<(), Fault> {
        let repeated = self.given.iter().any(|(given, ..)| given.name == row.name);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let value = row.kind.read_words(&words, &row.get(&self.config), repeated).map_err(Fault::Value)?;
        row.set(&mut self.config, value);
        self.given.retain(|(given, ..)| given.name != row.name);
        self.given.push((row, origin.clone(), line.to_owned()));
        Ok(())
    }

    /// A line that is no row's: what names other files, commands or things that Redis has and this version has not.
    fn word(&mut self, name: &str, words: &[String], origin: &Origin, depth: usize) -> Result<(), Fault> {
        let name = name.to_ascii_lowercase();
        match (name.as_str(), words) {
            ("include", [_]) if depth >= INCLUDE_DEPTH_MAX => return Err(Fault::IncludeDepth),
            ("include", [pattern]) => {
                for path in matching_files(Path::new(pattern)) {
                    self.file(&path, depth + 1, origin);
                }
            }
            ("rename-command", [from, to]) => {
                let from = from.to_ascii_lowercase();
                self.config.renamed_commands.retain(|(renamed, _)| *renamed != from);
                self.config.renamed_commands.push((from, to.clone()));
            }
            ("user", [_, ..]) => return Err(Fault::Unavailable { name, lacking: Lacking::Users }),
            ("loadmodule", [_, ..]) => return Err(Fault::Unavailable { name, lacking: Lacking::Modules }),
            ("sentinel", _) => return Err(Fault::Sentinel),
            (name, _) => {
                let known = directives::FORGOTTEN.iter().find(|(forgotten, _)| *forgotten == name);
                let (name, lacking) = *known.ok_or(Fault::Unknown { nearest: directives::nearest(name) })?;
                self.without_effect.push((name, lacking));
            }
        }
        Ok(())
    }

    fn finish(mut self, file: Option<PathBuf>) -> Result<Loaded, Vec<Problem>> {
        for (row, origin, line) in std::mem::take(&mut self.given) {
            let Some(lacking) = row.lacking() else { continue };
            let default = row.default_value().is_ok_and(|default| default == row.get(&self.config));
            if row.refusal == Refusal::Always && !default {
                self.fail(origin, line, Fault::Unavailable { name: row.name.to_owned(), lacking });
            } else {
                self.without_effect.push((row.name, lacking));
            }
        }
        if self.problems.is_empty() {
            for fault in faults(&self.config) {
                self.fail(Origin::Whole, String::new(), fault);
            }
        }
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        let Loader { config, without_effect, directives, .. } = self;
        Ok(Loaded { config, file, without_effect, directives })
    }
}

/// What is wrong between directives that are right each for itself.
fn faults(config: &Config) -> Vec<Fault> {
    let mut faults = Vec::new();
    let tcp = (config.port != 0 || config.first_core_port().is_some()) && !config.bind.is_empty();
    match &config.unixsocket {
        None if !tcp => faults.push(Fault::NowhereToListen),
        None => {}
        Some(path) => {
            let bytes = path.as_os_str().len();
            if bytes > UNIX_PATH_BYTES_MAX {
                faults.push(Fault::UnixPathTooLong(bytes));
            }
        }
    }
    faults.extend(core_port_fault(config));
    faults
}

/// Whether every core can have a port, and none of them is the main one.
fn core_port_fault(config: &Config) -> Option<Fault> {
    let first = u32::from(config.first_core_port()?);
    let last = first + u32::from(config.shard_count()) - 1;
    let why = if last > u32::from(u16::MAX) {
        "which go too far"
    } else if config.port == 0 && config.core_port_base == 0 {
        "as port is 0"
    } else if (first..=last).contains(&u32::from(config.port)) {
        "and port is among them"
    } else {
        return None;
    };
    Some(Fault::CorePorts { first, last, why })
}

/// The words of a line. None when quotes are not balanced. What `\xHH` makes must be UTF-8, or it is replaced.
pub fn split_words(line: &str) -> Option<Vec<String>> {
    let words = split_args(line.as_bytes())?;
    Some(words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect())
}

/// A directive as a line, for messages.
fn shown(name: &str, words: &[String], secret: bool) -> String {
    let mut line = name.to_owned();
    for word in words {
        line.push(' ');
        line.push_str(&if secret { "...".to_owned() } else { super::value::bare_or_quoted(word) });
    }
    line
}

/// The files that `include` names. A path with `*`, `?` or `[` may match any number of files, none included, and
/// gives them in order of their names; any other is itself.
fn matching_files(pattern: &Path) -> Vec<PathBuf> {
    let is_pattern = |text: &str| text.contains(['*', '?', '[']);
    if !is_pattern(&pattern.to_string_lossy()) {
        return vec![pattern.to_owned()];
    }
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let name = part.as_os_str().to_string_lossy();
        if !is_pattern(&name) {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        found = found.iter().flat_map(|folder| matching_entries(folder, &name)).collect();
    }
    found.retain(|path| path.is_file());
    found
}

fn matching_entries(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let start = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(entries) = std::fs::read_dir(start) else { return Vec::new() };
    let mut names: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.file_name())).collect();
    // As in a shell, a leading dot is only matched by a dot.
    names.retain(|name| {
        let name = name.to_string_lossy();
        (pattern.starts_with('.') || !name.starts_with('.'))
            && pinyon_base::glob_match(pattern.as_bytes(), name.as_bytes(), false)
    });
    names.sort();
    names.into_iter().map(|name| folder.join(name)).collect()
}
