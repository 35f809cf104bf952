//! The command line: `pinyon-server [FILE | -] [--DIRECTIVE VALUE...]...`.
//!
//! Every directive is an option, made from its row. The words behind an option, up to the next one, are its value, as
//! with redis-server: `--save 900 1 --bind 127.0.0.1 -::1`. [`lines`] turns that into `--save="900" "1"` before clap
//! sees it, so clap's part is to know the names, to complain about others, and to print help.

use std::ffi::OsString;
use std::io::Read;
use std::path::PathBuf;

use clap::builder::Str;
use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint};

use crate::config::commented::pinyon_conf;
use crate::config::directive::Directive;
use crate::config::directives::{self, SECTIONS};
use crate::config::load::{fatal_text, split_words};
use crate::config::value::{Kind, quoted};
use crate::config::{Loaded, Options, load};

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invocation {
    Run(Options),
    /// `--check-config`: say what is wrong, and nothing else.
    Check(Options),
    /// Help, the version, or what is wrong with the command line: print it and exit with the status.
    Print {
        text: String,
        status: u8,
    },
}

/// Words in configuration files that are no rows, but options like them.
const OTHER_DIRECTIVES: &[(&str, &str, &str)] = &[
    ("include", "FILE", "Read another file of directives at this place"),
    ("rename-command", "NAME NEW-NAME", "Give a command another name; \"\" takes it away"),
];
/// The same for words that only lead to an error, which should be the one that says why.
const REFUSED_DIRECTIVES: &[&str] = &["loadmodule", "user"];

const ABOUT: &str = "\
An in-memory database that speaks the Redis protocol and uses every core.

FILE is in the syntax of redis.conf; - reads standard input. Options count after it, and the last one wins:
  pinyon-server /etc/pinyon/pinyon.conf --port 6380 --maxmemory 2gb
  pinyon-server --bind 127.0.0.1 -::1 --requirepass secret";

const AFTER: &str = "\
redis.conf's other directives are options too: they are checked, kept and reported by CONFIG GET, without effect.
config/pinyon.conf describes all of them.";

/// Reads the arguments, the program's name first, and standard input when they ask for it.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Invocation {
    let mut texts = Vec::new();
    for arg in args {
        match arg.into_string() {
            Ok(text) => texts.push(text),
            Err(arg) => return failed(&format!("an argument is not UTF-8: {}", arg.to_string_lossy())),
        }
    }
    let program = if texts.is_empty() { "pinyon-server".to_owned() } else { texts.remove(0) };
    let stdin = takes_stdin(&mut texts);
    let matches = match command().try_get_matches_from(std::iter::once(program).chain(lines(&texts))) {
        Ok(matches) => matches,
        Err(e) => {
            let status = u8::try_from(e.exit_code()).unwrap_or(1);
            return Invocation::Print { text: e.render().to_string(), status };
        }
    };
    if matches.get_flag("version") {
        return Invocation::Print { text: version_line() + "\n", status: 0 };
    }
    if matches.get_flag("print-config") {
        return Invocation::Print { text: pinyon_conf(), status: 0 };
    }
    let mut options = Options {
        file: matches.get_one::<PathBuf>("FILE").cloned(),
        stdin: None,
        directives: given_directives(&matches),
    };
    if stdin {
        let mut text = String::new();
        if let Err(e) = std::io::stdin().read_to_string(&mut text) {
            return failed(&format!("can't read standard input: {e}"));
        }
        options.stdin = Some(text);
    }
    if matches.get_flag("check-config") { Invocation::Check(options) } else { Invocation::Run(options) }
}

fn failed(text: &str) -> Invocation {
    Invocation::Print { text: format!("error: {text}\n"), status: 2 }
}

/// A `-` asks for standard input where redis-server knows it: as the first or the last argument.
fn takes_stdin(args: &mut Vec<String>) -> bool {
    if args.first().is_some_and(|arg| arg == "-") {
        args.remove(0);
        return true;
    }
    if args.last().is_some_and(|arg| arg == "-") {
        args.pop();
        return true;
    }
    false
}

/// What `--check-config` prints, and its exit status: 0 when a start would get past its configuration.
pub fn check(options: &Options) -> (String, u8) {
    match load(options) {
        Ok(loaded) => {
            let mut text = loaded.warning().map(|warning| format!("warning: {warning}\n")).unwrap_or_default();
            text.push_str(&format!("The configuration is valid: {} directives.\n", loaded.directives));
            (text, 0)
        }
        Err(problems) => (problems.iter().map(|problem| format!("{problem}\n")).collect(), 1),
    }
}

/// The configuration to start with, or what a start prints that cannot begin.
pub fn configure(options: &Options) -> Result<Loaded, String> {
    load(options).map_err(|problems| fatal_text(&problems))
}

/// The one line of `--version`, in the form in which redis-server says it.
pub fn version_line() -> String {
    format!(
        "Pinyon server v={} sha={} malloc=mimalloc bits={} build={}-{}{}",
        env!("CARGO_PKG_VERSION"),
        option_env!("PINYON_GIT_SHA").unwrap_or("unknown"),
        usize::BITS,
        std::env::consts::ARCH,
        std::env::consts::OS,
        if cfg!(debug_assertions) { "-debug" } else { "" },
    )
}

// ---------------------------------------------------------------------------------------------- redis-server's style

/// The arguments as clap takes them: one `--name=words` for each directive, the words quoted.
fn lines(args: &[String]) -> Vec<String> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(arg) = args.get(at) {
        at += 1;
        let Some(option) = arg.strip_prefix("--").filter(|option| !option.is_empty()) else {
            out.push(arg.clone());
            continue;
        };
        if let Some((name, words)) = in_one_argument(option) {
            out.push(line(&name, &words));
            continue;
        }
        if !is_directive(option) {
            out.push(arg.clone());
            continue;
        }
        let words = words_behind(&args[at..], option);
        at += words.len();
        // A list may be empty: `--save` alone switches snapshots off. Anything else is clap's to complain about.
        let list = directives::find(option).is_some_and(|row| matches!(row.kind, Kind::List(_)));
        out.push(if words.is_empty() && !list { arg.clone() } else { line(option, words) });
    }
    out
}

/// `--name=value`, or a whole line in quotes: `"--maxmemory 700mb"`.
fn in_one_argument(option: &str) -> Option<(String, Vec<String>)> {
    let end = option.find(['=', ' '])?;
    let (name, value) = (&option[..end], &option[end + 1..]);
    if !is_directive(name) {
        return None;
    }
    let list = directives::find(name).is_none_or(|row| matches!(row.kind, Kind::List(_)));
    let words = if option.as_bytes()[end] == b'=' && !list {
        vec![value.to_owned()]
    } else {
        split_words(value).unwrap_or_else(|| vec![value.to_owned()])
    };
    Some((name.to_owned(), words))
}

/// The words of the option `name`: all up to the next option. The first may begin with `--` when no option is called
/// so.
fn words_behind<'a>(args: &'a [String], name: &str) -> &'a [String] {
    let list = directives::find(name).is_none_or(|row| matches!(row.kind, Kind::List(_)));
    let ends = |(i, arg): (usize, &String)| match arg.strip_prefix("--") {
        Some(option) => i > 0 || is_option(option.split(['=', ' ']).next().unwrap_or(option)),
        // A `-h` is no second value of `--port`, but `-::1` is one of `--bind`.
        None => i > 0 && !list && arg.starts_with('-'),
    };
    let end = args.iter().enumerate().position(ends).unwrap_or(args.len());
    &args[..end]
}

fn is_directive(name: &str) -> bool {
    directives::find(name).is_some()
        || OTHER_DIRECTIVES.iter().any(|(other, ..)| other.eq_ignore_ascii_case(name))
        || REFUSED_DIRECTIVES.iter().any(|other| other.eq_ignore_ascii_case(name))
}

fn is_option(name: &str) -> bool {
    is_directive(name) || ["help", "version", "check-config", "print-config"].contains(&name)
}

fn line(name: &str, words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    format!("--{}={}", name.to_ascii_lowercase(), words.join(" "))
}

/// The directives in the order in which they were given.
fn given_directives(matches: &ArgMatches) -> Vec<(String, Vec<String>)> {
    let mut given: Vec<(usize, String, Vec<String>)> = Vec::new();
    let rows = directives::all().map(|row| row.name);
    let others = OTHER_DIRECTIVES.iter().map(|(name, ..)| *name);
    for name in rows.chain(others).chain(REFUSED_DIRECTIVES.iter().copied()) {
        let (Some(places), Some(values)) = (matches.indices_of(name), matches.get_many::<String>(name)) else {
            continue;
        };
        for (place, value) in places.zip(values) {
            given.push((place, name.to_owned(), split_words(value).unwrap_or_else(|| vec![value.clone()])));
        }
    }
    given.sort();
    given.into_iter().map(|(_, name, words)| (name, words)).collect()
}

// ------------------------------------------------------------------------------------------------------ clap's part

fn command() -> Command {
    let mut command = Command::new("pinyon-server")
        .about(ABOUT)
        .override_usage("pinyon-server [FILE | -] [--DIRECTIVE VALUE...]...")
        .after_help(AFTER)
        .disable_version_flag(true)
        .disable_help_flag(true)
        .arg(
            Arg::new("FILE")
                .help("The configuration file; - for standard input")
                .value_hint(ValueHint::FilePath)
                .value_parser(clap::value_parser!(PathBuf)),
        )
        .arg(flag("help", 'h', "Print help; -h the short one, --help all of it").action(ArgAction::Help))
        .arg(flag("version", 'v', "Print the version").short_alias('V').action(ArgAction::SetTrue))
        .arg(word("check-config", "Say what is wrong with the configuration, and exit"))
        .arg(word("print-config", "Print a configuration file with every directive, its default and what it does"));
    for section in SECTIONS {
        let arg = |row: &'static Directive| directive_arg(row).help_heading(section.title);
        command = command.args(section.rows.iter().map(arg));
    }
    let other = |(name, value, help): &(&'static str, &'static str, &'static str)| {
        option(name).value_name(*value).help(*help).help_heading("Other")
    };
    command = command.args(OTHER_DIRECTIVES.iter().map(other));
    command.args(REFUSED_DIRECTIVES.iter().map(|name| option(name).hide(true)))
}

fn word(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).help(help).action(ArgAction::SetTrue)
}

fn flag(name: &'static str, short: char, help: &'static str) -> Arg {
    Arg::new(name).long(name).short(short).help(help)
}

fn option(name: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::Append).num_args(1)
}

fn directive_arg(row: &'static Directive) -> Arg {
    let short = row.doc.split_once(". ").map_or(row.doc, |(first, _)| first).trim_end_matches('.');
    let default = if row.default == "\"\"" { "none" } else { row.default };
    let long = format!("{} [{}; default: {default}]", row.doc, row.kind.shape());
    option(row.name)
        .aliases(row.aliases)
        .value_name(value_name(row))
        .help(wrapped(&format!("{short} [{default}]"), SHORT_WIDTH))
        .long_help(wrapped(&long, LONG_WIDTH))
        .hide(row.lacking().is_some() || row.hidden)
}

/// clap wraps no lines without its terminal features, so the texts come wrapped.
const SHORT_WIDTH: usize = 72;
const LONG_WIDTH: usize = 90;

fn wrapped(text: &str, width: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut line_start = 0;
    for word in text.split_whitespace() {
        if out.len() > line_start {
            if out.len() - line_start + 1 + word.len() > width {
                out.push('\n');
                line_start = out.len();
            } else {
                out.push(' ');
            }
        }
        out.push_str(word);
    }
    out
}

fn value_name(row: &Directive) -> Str {
    match row.kind {
        Kind::Bool => "yes|no".into(),
        Kind::Int(..) => "N".into(),
        Kind::Octal(..) => "MODE".into(),
        Kind::Memory(..) => "BYTES".into(),
        Kind::MemoryOrPercent(_) => "BYTES|PERCENT%".into(),
        Kind::Choice(names) if names.len() <= 3 => names.join("|").into(),
        Kind::Choice(_) => "NAME".into(),
        Kind::Text | Kind::Checked(_) => "TEXT".into(),
        Kind::List(_) => "VALUE...".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[&str]) -> Invocation {
        parse(std::iter::once("pinyon-server").chain(args.iter().copied()).map(OsString::from))
    }

    fn options(args: &[&str]) -> Options {
        match run(args) {
            Invocation::Run(options) => options,
            other => panic!("{args:?}: {other:?}"),
        }
    }

    /// The directives as lines of a file.
    fn directives_of(args: &[&str]) -> Vec<String> {
        let shown = |(name, words): (String, Vec<String>)| {
            std::iter::once(name).chain(words.iter().map(|word| quoted(word))).collect::<Vec<_>>().join(" ")
        };
        options(args).directives.into_iter().map(shown).collect()
    }

    fn error(args: &[&str]) -> String {
        match run(args) {
            Invocation::Print { text, status: 2 } => text,
            other => panic!("{args:?}: {other:?}"),
        }
    }

    #[test]
    fn reads_as_redis_server_does() {
        for (args, lines) in [
            (&["--port", "7000", "--loglevel", "verbose"][..], &["port \"7000\"", "loglevel \"verbose\""][..]),
            (&["--save", "900", "1", "--port", "1"], &["save \"900\" \"1\"", "port \"1\""]),
            (&["--save", "", "--port", "1"], &["save \"\"", "port \"1\""]),
            (&["--save", "--port", "1"], &["save", "port \"1\""]),
            (&["--bind", "127.0.0.1", "-::1"], &["bind \"127.0.0.1\" \"-::1\""]),
            (&["--port", "1", "--port", "2"], &["port \"1\"", "port \"2\""]),
            (&["--maxmemory 700mb", "--save '900' \"1\""], &["maxmemory \"700mb\"", "save \"900\" \"1\""]),
            (&["--maxmemory=700mb", "--save=900 1"], &["maxmemory \"700mb\"", "save \"900\" \"1\""]),
            (&["--logfile=a b", "--PORT", "1"], &["logfile \"a b\"", "port \"1\""]),
            (&["--requirepass", "--abc", "--port", "1"], &["requirepass \"--abc\"", "port \"1\""]),
            (&["--requirepass=--port"], &["requirepass \"--port\""]),
            (&["--slowlog-log-slower-than", "-1"], &["slowlog-log-slower-than \"-1\""]),
            (&["--hash-max-ziplist-value", "9"], &["hash-max-listpack-value \"9\""]),
            (
                &["--rename-command", "A", "", "--include", "x.conf"],
                &["rename-command \"A\" \"\"", "include \"x.conf\""],
            ),
            (&["--port", "6379", "6380"], &["port \"6379\" \"6380\""]),
        ] {
            assert_eq!(directives_of(args), lines, "{args:?}");
        }
        let file = options(&["/etc/pinyon.conf", "--port", "1"]);
        assert_eq!((file.file, file.directives.len()), (Some(PathBuf::from("/etc/pinyon.conf")), 1));
    }

    #[test]
    fn options_win_in_order() {
        let loaded = load(&options(&["--port", "1", "--timeout", "5", "--port", "2"])).unwrap();
        assert_eq!((loaded.config.port, loaded.config.timeout), (2, 5));
        let wrong = load(&options(&["--port", "6379", "6380"])).unwrap_err();
        assert_eq!(wrong[0].to_string(), "command line: port 6379 6380: wrong number of arguments");
        let users = load(&options(&["--user", "a", "on"])).unwrap_err();
        assert!(users[0].to_string().contains("can't be honoured"), "{}", users[0]);
    }

    #[test]
    fn standard_input_is_first_or_last() {
        assert!(takes_stdin(&mut vec!["-".into(), "--port".into()]));
        assert!(takes_stdin(&mut vec!["a.conf".into(), "-".into()]));
        assert!(!takes_stdin(&mut vec!["--requirepass".into(), "-".into(), "--port".into(), "1".into()]));
    }

    #[test]
    fn wrong_options_are_explained() {
        assert!(error(&["--prot", "1"]).contains("'--port'"), "{}", error(&["--prot", "1"]));
        assert!(error(&["--port", "--loglevel", "verbose"]).contains("--port"));
        assert!(error(&["a.conf", "b.conf"]).contains("b.conf"));
    }

    #[test]
    fn version_and_help() {
        let printed = |args: &[&str]| match run(args) {
            Invocation::Print { text, status: 0 } => text,
            other => panic!("{args:?}: {other:?}"),
        };
        let version = printed(&["--version"]);
        assert!(version.starts_with("Pinyon server v=") && version.lines().count() == 1, "{version}");
        assert_eq!(printed(&["-v"]), version);
        let (short, long) = (printed(&["-h"]), printed(&["--help"]));
        for text in [&short, &long] {
            assert!(text.contains("--maxmemory-policy") && text.contains("Network:"), "{text}");
            assert!(!text.contains("--appendfilename"), "{text}");
        }
        assert!(short.len() < long.len());
        assert!(short.lines().all(|line| line.len() <= 120), "{:?}", short.lines().max_by_key(|line| line.len()));
        assert_eq!(printed(&["--port", "1", "-h"]), short);
    }

    #[test]
    fn checking() {
        let Invocation::Check(options) = run(&["--check-config", "--port", "x", "--appendonly", "yes"]) else {
            panic!("not a check");
        };
        let (text, status) = check(&options);
        assert_eq!((text.as_str(), status), ("command line: port x: argument couldn't be parsed into an integer\n", 1));
        let (text, status) =
            check(&Options { directives: vec![("appendfilename".into(), vec!["log".into()])], ..Options::default() });
        assert_eq!(status, 0);
        assert!(text.contains("logs and snapshots have no use for it: appendfilename\n"), "{text}");
    }

    #[test]
    fn clap_accepts_the_command() {
        command().debug_assert();
    }
}
