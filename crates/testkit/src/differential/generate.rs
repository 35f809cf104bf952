//! Generates calls from Pinyon's own command table: each row's grammar says what a well-formed call looks like, and a part
//! of the calls is then spoiled (arguments dropped, doubled, exchanged, replaced, tokens where none belong).

use pinyon_engine::command::blocking::Patience;
use pinyon_engine::command::registry::registry;
use pinyon_engine::command::row::{Arg, ArgFlags, ArgKind, Command};

use pinyon_resp::{Args, Span};

use super::allowed::{How, how, is_avoided};
use super::times::{TimeArg, TimePlaces};
use super::vocabulary::{self, KeyChoice};
use crate::Random;

/// Which server the calls are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// redis-server 7.0.15: what it has, and nothing newer.
    Redis70,
    /// Valkey 9: what redis-server 7.0.15 lacks, and a few plain commands to see what it did.
    Valkey9,
}

/// The last version that the first oracle knows.
const REDIS_70: (u16, u16) = (7, 0);

impl Era {
    /// Whether the oracle of this era knows what came with version `since`.
    fn knows(self, since: &str) -> bool {
        self == Era::Valkey9 || !is_newer(since)
    }
}

fn version(text: &str) -> (u16, u16) {
    let mut numbers = text.split('.').map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Whether what came with version `since` is missing from redis-server 7.0.15.
pub(super) fn is_newer(since: &str) -> bool {
    version(since) > REDIS_70
}

fn is_new(arg: &Arg) -> bool {
    arg.since.is_some_and(is_newer) || arg.args.iter().any(is_new)
}

/// One command that calls are made of.
struct Choice {
    words: Vec<&'static str>,
    row: &'static Command,
    times: TimePlaces,
    /// All tokens of its grammar.
    tokens: Vec<&'static str>,
    weight: usize,
    has_keys: bool,
}

/// Makes calls without end.
pub(super) struct Generator {
    random: Random,
    era: Era,
    choices: Vec<Choice>,
    weights: usize,
    /// The connections that have begun a MULTI.
    queueing: Vec<bool>,
}

/// Some calls for one connection, to be sent together.
pub(super) struct Step {
    pub connection: usize,
    pub calls: Vec<Vec<Vec<u8>>>,
}

impl Generator {
    pub fn new(seed: u64, era: Era) -> Generator {
        let mut choices = Vec::new();
        for id in registry().top_level() {
            let row = registry().row(id);
            choices.extend(choice(vec![row.name], row, era));
            for sub in row.subcommands {
                choices.extend(choice(vec![row.name, sub.name], sub, era));
            }
        }
        let weights = choices.iter().map(|choice| choice.weight).sum();
        Generator { random: Random::new(seed), era, choices, weights, queueing: Vec::new() }
    }

    /// The next calls: mostly one, else a pipeline for one connection. Only commands with keys are pipelined: with others,
    /// pipelines over several shards may overlap. What is queued by a MULTI must be compared byte by byte, for so is the
    /// reply of EXEC, and no MULTI goes on for long.
    pub fn step(&mut self, connections: usize) -> Step {
        self.queueing.resize(connections, false);
        let connection = self.random.below(connections);
        // Valkey 9 refuses these within a transaction and spoils it; what Redis 7.0 does is compared with that.
        let is_spoiling =
            |choice: &Choice, era: Era| era == Era::Valkey9 && matches!(choice.words[0], "multi" | "watch");
        let era = self.era;
        let length = if self.random.one_in(8) { 2 + self.random.below(15) } else { 1 };
        let mut calls = Vec::new();
        for _ in 0..length {
            let call = match self.queueing[connection] {
                true if self.random.one_in(6) => self.end_of_multi(),
                true => self.call(|choice| how(&choice.words.join("|"), 9) == How::Exact && !is_spoiling(choice, era)),
                false if length > 1 => self.call(|choice| choice.has_keys),
                false => self.call(|_| true),
            };
            self.queueing[connection] = is_queueing(self.queueing[connection], &call);
            calls.push(call);
        }
        Step { connection, calls }
    }

    /// EXEC, or sometimes what ends a MULTI without it.
    fn end_of_multi(&mut self) -> Vec<Vec<u8>> {
        let word = self.random.pick(&["exec", "exec", "exec", "exec", "exec", "discard"]);
        vec![self.any_case(word)]
    }

    fn call(&mut self, wanted: impl Fn(&Choice) -> bool) -> Vec<Vec<u8>> {
        loop {
            if self.random.one_in(400) && wanted(&self.choices[0]) {
                return self.unknown();
            }
            let mut at = self.random.below(self.weights);
            let index = self.choices.iter().position(|choice| {
                let found = at < choice.weight;
                at = at.saturating_sub(choice.weight);
                found
            });
            let Some(index) = index.filter(|index| wanted(&self.choices[*index])) else {
                continue;
            };
            let args = self.call_of(index);
            let name = full_name(&args);
            if how(&name, args.len()) != How::NotSent && !is_avoided(&args) {
                return args;
            }
        }
    }

    /// A command or subcommand that does not exist.
    fn unknown(&mut self) -> Vec<Vec<u8>> {
        let mut args: Vec<Vec<u8>> = match self.random.below(4) {
            0 => vec![b"CLIENT".to_vec(), b"nosuch".to_vec()],
            1 => vec![b"object".to_vec(), vec![b's'; 200]],
            2 => vec![b"nosuch\r\ncommand".to_vec()],
            _ => vec![[b"NOSUCH", &[b'x'; 150][..self.random.below(150)]].concat()],
        };
        for _ in 0..self.random.below(5) {
            args.push(vocabulary::value(&mut self.random));
        }
        args
    }

    fn call_of(&mut self, index: usize) -> Vec<Vec<u8>> {
        let mut args = self.name_of(index);
        let row = self.choices[index].row;
        let words = args.len();
        let keys = KeyChoice::new(&mut self.random);
        if row.name == "getkeys" || row.name == "getkeysandflags" {
            args.extend(self.call(|choice| choice.has_keys));
        } else if row.subcommands.is_empty() {
            self.sequence(row.args, &keys, &mut args);
        }
        if self.random.below(100) < 18 {
            self.spoil(index, words, &mut args);
        }
        self.choices[index].times.make_safe(&mut args, &mut self.random);
        make_comparable(&mut args);
        args
    }

    /// The words of a command's name, in some mixture of cases.
    fn name_of(&mut self, index: usize) -> Vec<Vec<u8>> {
        let words = self.choices[index].words.clone();
        words.iter().map(|word| self.any_case(word)).collect()
    }

    fn any_case(&mut self, word: &str) -> Vec<u8> {
        match self.random.below(10) {
            0..=6 => word.to_ascii_uppercase().into_bytes(),
            7 | 8 => word.as_bytes().to_vec(),
            _ => word.bytes().map(|c| if self.random.one_in(2) { c.to_ascii_uppercase() } else { c }).collect(),
        }
    }

    /// Appends what a list of arguments stands for. Options go in any order sometimes.
    fn sequence(&mut self, grammar: &[Arg], keys: &KeyChoice, out: &mut Vec<Vec<u8>>) {
        let mut counted = None;
        let mut options = Vec::new();
        for arg in grammar {
            if arg.since.is_some_and(|since| !self.era.knows(since)) {
                continue;
            }
            if matches!(arg.name, "numkeys" | "numfields") {
                let count = 1 + self.random.below(3);
                counted = Some(count);
                out.push(count.to_string().into_bytes());
                continue;
            }
            if arg.flags.contains(ArgFlags::OPTIONAL) {
                let favoured = self.era == Era::Valkey9 && is_new(arg);
                if self.random.below(100) < if favoured { 70 } else { 40 } {
                    let mut option = Vec::new();
                    self.repeated(arg, None, keys, &mut option);
                    options.push(option);
                }
                continue;
            }
            // What must stand here ends the options before it.
            out.extend(std::mem::take(&mut options).into_iter().flatten());
            let repeats = if arg.flags.contains(ArgFlags::MULTIPLE) { counted.take() } else { None };
            self.repeated(arg, repeats, keys, out);
        }
        if self.random.one_in(3) {
            self.random.shuffle(&mut options);
        }
        out.extend(options.into_iter().flatten());
    }

    fn repeated(&mut self, arg: &Arg, repeats: Option<usize>, keys: &KeyChoice, out: &mut Vec<Vec<u8>>) {
        let mut times = 1;
        if arg.flags.contains(ArgFlags::MULTIPLE) {
            while times < 8 && self.random.one_in(2) {
                times += 1;
            }
            times = repeats.unwrap_or(times);
        }
        for i in 0..times {
            if let Some(token) = arg.token
                && (i == 0 || arg.flags.contains(ArgFlags::MULTIPLE_TOKEN))
            {
                let token = self.any_case(token);
                out.push(token);
            }
            self.one(arg, keys, out);
        }
    }

    fn one(&mut self, arg: &Arg, keys: &KeyChoice, out: &mut Vec<Vec<u8>>) {
        let random = &mut self.random;
        match arg.kind {
            ArgKind::PureToken => {}
            ArgKind::Block => self.sequence(arg.args, keys, out),
            ArgKind::OneOf => {
                let known: Vec<&Arg> =
                    arg.args.iter().filter(|arg| arg.since.is_none_or(|since| self.era.knows(since))).collect();
                let new: Vec<&Arg> = known.iter().copied().filter(|arg| is_new(arg)).collect();
                if !new.is_empty() && !random.one_in(4) {
                    let chosen = random.pick(&new);
                    self.repeated(chosen, None, keys, out);
                } else if !known.is_empty() {
                    let chosen = random.pick(&known);
                    self.repeated(chosen, None, keys, out);
                }
            }
            ArgKind::Key => out.push(keys.key(random)),
            _ => {
                let value = match TimeArg::of(arg) {
                    Some(time) => time.random(random),
                    None => vocabulary::named(random, arg.name).unwrap_or_else(|| match arg.kind {
                        ArgKind::Integer | ArgKind::UnixTime => vocabulary::integer(random),
                        ArgKind::Double => vocabulary::float(random),
                        ArgKind::Pattern => vocabulary::pattern(random),
                        _ => vocabulary::value(random),
                    }),
                };
                out.push(value);
            }
        }
    }

    /// Makes a call wrong, probably.
    fn spoil(&mut self, index: usize, words: usize, args: &mut Vec<Vec<u8>>) {
        let tokens = self.choices[index].tokens.clone();
        let random = &mut self.random;
        let some = |random: &mut Random, args: &[Vec<u8>]| {
            (args.len() > words).then(|| words + random.below(args.len() - words))
        };
        for _ in 0..1 + random.below(2) {
            match (random.below(8), some(random, args)) {
                (0, Some(at)) => drop(args.remove(at)),
                (1, Some(at)) => args.truncate(at),
                (2, Some(at)) => args.insert(at, args[at].clone()),
                (3, Some(at)) => {
                    let other = words + random.below(args.len() - words);
                    args.swap(at, other);
                }
                (4, Some(at)) => args[at] = vocabulary::value(random),
                (5, Some(at)) => args[at] = vocabulary::integer(random),
                (6, _) => args.push(vocabulary::value(random)),
                (_, _) if !tokens.is_empty() => {
                    let at = words + random.below(args.len() - words + 1);
                    let token = random.pick(&tokens).as_bytes().to_vec();
                    args.insert(at, token);
                }
                _ => args.push(vocabulary::integer(random)),
            }
        }
    }
}

fn choice(words: Vec<&'static str>, row: &'static Command, era: Era) -> Option<Choice> {
    let name = words.join("|");
    let newer = is_newer(row.since);
    let has_keys = !row.keys.is_empty();
    let weight = match (era, name.as_str()) {
        _ if how(&name, 1) == How::NotSent => 0,
        (Era::Redis70, _) if newer => 0,
        (Era::Valkey9, "set" | "get" | "exists" | "del" | "ttl" | "pexpiretime" | "select" | "hset" | "hgetall") => 60,
        (Era::Valkey9, "multi" | "watch") => 10,
        (Era::Valkey9, _) if !newer => 0,
        (Era::Valkey9, _) => 60,
        (_, "multi") => 600,
        // After their errors the counters begin anew: see LOOK_AT_ALL.
        (_, "bitop" | "pfcount" | "pfmerge" | "xread" | "xreadgroup") => 10,
        (_, "flushall" | "flushdb" | "swapdb") => 1,
        (_, "quit" | "reset" | "config|resetstat") => 1,
        (_, "select" | "hello" | "command|getkeys" | "command|getkeysandflags") => 12,
        (_, "scan" | "keys" | "randomkey" | "dbsize") => 12,
        _ if !row.subcommands.is_empty() => 1,
        _ if has_keys => 40,
        _ => 3,
    };
    let mut tokens = Vec::new();
    for arg in row.args {
        collect_tokens(arg, era, &mut tokens);
    }
    let times = TimePlaces::of(row, words.len());
    (weight > 0).then_some(Choice { words, row, times, tokens, weight, has_keys })
}

fn collect_tokens(arg: &Arg, era: Era, tokens: &mut Vec<&'static str>) {
    if arg.since.is_none_or(|since| era.knows(since)) {
        tokens.extend(arg.token);
        for inner in arg.args {
            collect_tokens(inner, era, tokens);
        }
    }
}

/// Whether a connection queues commands after this one.
fn is_queueing(before: bool, args: &[Vec<u8>]) -> bool {
    match full_name(args).as_str() {
        "multi" => before || args.len() == 1,
        "discard" | "reset" => before && args.len() > 1,
        "exec" | "quit" => false,
        _ => before,
    }
}

/// Replaces what would cost too much, or would not be comparable: SETRANGE may start near, or beyond what is allowed, not
/// hundreds of megabytes out; random elements come as often as they are asked for, which is by the thousands at most; a cursor
/// that is not 0 means something else to every server; SCAN by type looks keys up, which is counted, so that it must not meet a
/// key twice; and the low numbers are those of connections, which every server counts in its own way.
fn make_comparable(args: &mut Vec<Vec<u8>>) {
    const NEAR: i64 = 10_000;
    const NOT_ALLOWED: i64 = 512 * 1024 * 1024;
    const CONNECTIONS_MAX: i64 = 1_000_000;
    let number = |args: &[Vec<u8>], at: usize| args.get(at).and_then(|arg| pinyon_base::parse_i64(arg));
    if args[0].eq_ignore_ascii_case(b"setrange") && number(args, 2).is_some_and(|at| at > NEAR && at < NOT_ALLOWED) {
        args[2] = NEAR.to_string().into_bytes();
    }
    let is_random =
        [&b"srandmember"[..], b"zrandmember", b"hrandfield"].iter().any(|name| args[0].eq_ignore_ascii_case(name));
    if is_random && number(args, 2).is_some_and(|count| count < -NEAR) {
        args[2] = (-NEAR).to_string().into_bytes();
    }
    if args[0].eq_ignore_ascii_case(b"scan") {
        if number(args, 1).is_some() {
            args[1] = b"0".to_vec();
        }
        if args.iter().any(|arg| arg.eq_ignore_ascii_case(b"type")) {
            args.extend([b"COUNT".to_vec(), b"1000".to_vec()]);
        }
    }
    make_streams_comparable(args);
    shorten_waiting(args);
    if args[0].eq_ignore_ascii_case(b"setbit") || args[0].eq_ignore_ascii_case(b"bitfield") {
        for at in 2..args.len() {
            if number(args, at).is_some_and(|bit| bit > 8 * NEAR && bit < 8 * NOT_ALLOWED) {
                args[at] = (8 * NEAR).to_string().into_bytes();
            }
        }
    }
    // What has no weight stays in the order of the set; and so does everything without a pattern.
    if args[0].get(..4).is_some_and(|name| name.eq_ignore_ascii_case(b"sort")) {
        if let Some(by) = args.iter().position(|arg| arg.eq_ignore_ascii_case(b"by"))
            && by + 1 < args.len()
        {
            args.iter_mut().filter(|arg| arg.eq_ignore_ascii_case(b"alpha")).for_each(|arg| *arg = b"asc".to_vec());
        }
        for at in 2..args.len() {
            if args[at - 1].eq_ignore_ascii_case(b"by") && !args[at].contains(&b'*') {
                args[at].push(b'*');
            }
        }
    }
    if args[0].eq_ignore_ascii_case(b"client") {
        for at in 2..args.len() {
            if number(args, at).is_some_and(|id| (1..=CONNECTIONS_MAX).contains(&id)) {
                args[at] = b"987654321".to_vec();
            }
        }
    }
}

/// IDs are not the time, and nobody asks for what was idle for just so long.
fn make_streams_comparable(args: &mut [Vec<u8>]) {
    const NEVER: &[u8] = b"100000000";
    let is_positive = |arg: &[u8]| pinyon_base::parse_i64(arg).is_some_and(|number| number > 0);
    let named = |name: &[u8]| args[0].eq_ignore_ascii_case(name);
    let (adds, claims, asks) = (named(b"xadd"), named(b"xclaim") || named(b"xautoclaim"), named(b"xpending"));
    if adds {
        args.iter_mut().filter(|arg| *arg == b"*").for_each(|arg| *arg = b"20-*".to_vec());
    }
    if claims && args.len() > 4 && is_positive(&args[4]) {
        args[4] = NEVER.to_vec();
    }
    if asks && args.len() > 4 && args[3].eq_ignore_ascii_case(b"idle") && is_positive(&args[4]) {
        args[4] = NEVER.to_vec();
    }
}

/// A command that may wait gets a short timeout: nobody pushes anything meanwhile.
fn shorten_waiting(args: &mut [Vec<u8>]) {
    const SHORT_MS: u64 = 20;
    // Waits for replicas, which there are none of.
    if args[0].eq_ignore_ascii_case(b"waitaof")
        && args.len() == 4
        && pinyon_base::parse_i64(&args[3]).is_some_and(|millis| millis == 0 || millis > SHORT_MS as i64)
    {
        args[3] = b"2".to_vec();
    }
    let Some(id) = registry().find(&args[0]) else { return };
    let Some(blocking) = registry().row(id).blocking.filter(|_| registry().entry(id).arity_ok(args.len())) else {
        return;
    };
    let patience = |args: &[Vec<u8>]| {
        let (mut bytes, mut spans) = (Vec::new(), Vec::new());
        for arg in args {
            spans.push(Span { start: bytes.len() as u32, len: arg.len() as u32 });
            bytes.extend_from_slice(arg);
        }
        (blocking.patience)(Args { bytes: &bytes, spans: &spans })
    };
    let is_long = |patience: &Patience| match patience {
        Patience::None => false,
        Patience::Millis(millis) => *millis > SHORT_MS,
        Patience::Forever => true,
    };
    if !patience(args).is_ok_and(|patience| is_long(&patience)) {
        return;
    }
    // The place of the timeout is where another one makes it wait shorter.
    for short in [&b"0.002"[..], b"2"] {
        for at in (1..args.len()).rev() {
            let long = std::mem::replace(&mut args[at], short.to_vec());
            match patience(args) {
                Ok(Patience::Millis(millis)) if millis <= SHORT_MS => return,
                _ => args[at] = long,
            }
        }
    }
    unreachable!("every timeout has a place");
}

/// The name in the command table of what `args` call; empty when there is no such command.
pub(super) fn full_name(args: &[Vec<u8>]) -> String {
    let Some(id) = registry().find(&args[0]) else {
        return String::new();
    };
    let sub = args.get(1).and_then(|word| registry().find_sub(id, word));
    registry().full_name(sub.unwrap_or(id)).to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn calls(era: Era, steps: usize) -> Vec<Vec<Vec<u8>>> {
        let mut generator = Generator::new(1, era);
        (0..steps).flat_map(|_| generator.step(4).calls).collect()
    }

    #[test]
    fn every_command_that_may_be_sent_is_called() {
        let called: HashSet<String> = calls(Era::Redis70, 60_000).iter().map(|args| full_name(args)).collect();
        for id in registry().all() {
            let (name, row) = (registry().full_name(id), registry().row(id));
            let wanted = !is_newer(row.since) && how(name, 1) != How::NotSent;
            assert_eq!(called.contains(name), wanted, "{name}");
        }
    }

    #[test]
    fn what_the_first_oracle_lacks_is_kept_for_the_second() {
        let is_conditional = |args: &Vec<Vec<u8>>| args.iter().any(|arg| arg.eq_ignore_ascii_case(b"ifeq"));
        assert!(!calls(Era::Redis70, 20_000).iter().any(is_conditional));
        let second = calls(Era::Valkey9, 5_000);
        assert!(second.iter().filter(|args| is_conditional(args)).count() > 100);
        let called: HashSet<String> = second.iter().map(|args| full_name(args)).collect();
        for name in ["msetex", "delifeq", "set"] {
            assert!(called.contains(name), "{name}");
        }
    }

    #[test]
    fn every_multi_comes_to_its_end() {
        let mut generator = Generator::new(3, Era::Redis70);
        let (mut open, mut longest, mut ended) = ([0; 4], 0, 0);
        for _ in 0..20_000 {
            let step = generator.step(open.len());
            for call in &step.calls {
                let queueing = is_queueing(open[step.connection] > 0, call);
                ended += usize::from(open[step.connection] > 1 && !queueing);
                open[step.connection] = if queueing { open[step.connection] + 1 } else { 0 };
                longest = longest.max(open[step.connection]);
            }
        }
        assert!(ended > 500 && longest < 150, "{ended} ended, the longest after {longest}");
    }

    #[test]
    fn a_seed_repeats_its_calls() {
        assert_eq!(calls(Era::Redis70, 300), calls(Era::Redis70, 300));
    }
}
