//! INFO: the state of the server as text, gathered over all cores.
//!
//! Sections, fields and their order are Redis 7.0's, so that monitoring finds what it looks for; fields of features that
//! are not there stand at the value that they have in a Redis that does not use them. The section `pinyon` is our own.

mod commandstats;
pub mod facts;
mod own;
pub mod process;
mod sections;

use super::{Call, Result};
use crate::core::{Core, Io};
use facts::{Facts, Wanted};

bitflags::bitflags! {
    /// The sections, in the order in which they are shown.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Sections: u32 {
        const SERVER = 1;
        const CLIENTS = 1 << 1;
        const MEMORY = 1 << 2;
        const PERSISTENCE = 1 << 3;
        const STATS = 1 << 4;
        const REPLICATION = 1 << 5;
        const CPU = 1 << 6;
        const MODULES = 1 << 7;
        const COMMANDSTATS = 1 << 8;
        const ERRORSTATS = 1 << 9;
        const LATENCYSTATS = 1 << 10;
        const CLUSTER = 1 << 11;
        const KEYSPACE = 1 << 12;
        const PINYON = 1 << 13;
    }
}

/// Left out unless asked for.
const NOT_BY_DEFAULT: Sections = Sections::COMMANDSTATS.union(Sections::LATENCYSTATS).union(Sections::PINYON);
/// What INFO shows without arguments.
const DEFAULT: Sections = Sections::all().difference(NOT_BY_DEFAULT);

/// Writes the lines of a section, heading included.
type Section = fn(&mut Text, &Core, &Facts);

/// Every section with its name and writer, in order.
const SECTIONS: &[(&str, Sections, Section)] = &[
    ("server", Sections::SERVER, sections::server),
    ("clients", Sections::CLIENTS, sections::clients),
    ("memory", Sections::MEMORY, sections::memory),
    ("persistence", Sections::PERSISTENCE, sections::persistence),
    ("stats", Sections::STATS, sections::stats),
    ("replication", Sections::REPLICATION, sections::replication),
    ("cpu", Sections::CPU, sections::cpu),
    ("modules", Sections::MODULES, sections::modules),
    ("commandstats", Sections::COMMANDSTATS, commandstats::commands),
    ("errorstats", Sections::ERRORSTATS, commandstats::errors),
    ("latencystats", Sections::LATENCYSTATS, commandstats::latencies),
    ("cluster", Sections::CLUSTER, sections::cluster),
    ("keyspace", Sections::KEYSPACE, sections::keyspace),
    ("pinyon", Sections::PINYON, own::pinyon),
];

impl Sections {
    /// What one argument asks for; unknown names ask for nothing, as in Redis.
    fn named(name: &[u8]) -> Sections {
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
        if is("default") {
            return DEFAULT;
        }
        if is("all") || is("everything") {
            return Sections::all();
        }
        SECTIONS.iter().find(|(own, ..)| is(own)).map_or(Sections::empty(), |(_, section, _)| *section)
    }
}

pub fn info(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let sections = match call.args.len() {
        1 => DEFAULT,
        _ => call.args.iter().skip(1).map(Sections::named).fold(Sections::empty(), Sections::union),
    };
    let wanted = Wanted {
        commands: sections.contains(Sections::COMMANDSTATS),
        histograms: sections.contains(Sections::LATENCYSTATS),
        executions: sections.contains(Sections::PINYON),
    };
    let on_core_port = core.is_on_core_port(call.conn);
    let ticket = core.promise(call.conn);
    core.gather_all(
        io,
        move |core, io| core.info_part(io, wanted),
        move |core, io, parts| {
            let facts = Facts::new(core, parts, on_core_port);
            let text = render(core, &facts, sections);
            core.fulfil(io, ticket, |out| out.verbatim("txt", text.as_bytes()));
        },
    );
    Ok(())
}

fn render(core: &Core, facts: &Facts, sections: Sections) -> String {
    let mut text = Text::default();
    for (_, section, write) in SECTIONS {
        if sections.contains(*section) {
            if !text.0.is_empty() {
                text.0.push_str("\r\n");
            }
            write(&mut text, core, facts);
        }
    }
    text.0
}

/// INFO's text: headings and `name:value` lines that end in CRLF.
#[derive(Default)]
pub struct Text(String);

impl Text {
    fn heading(&mut self, name: &str) {
        use std::fmt::Write;
        // Writing into a String does not fail.
        let _ = write!(self.0, "# {name}\r\n");
    }

    fn line(&mut self, name: impl std::fmt::Display, value: impl std::fmt::Display) {
        use std::fmt::Write;
        // As above.
        let _ = write!(self.0, "{name}:{value}\r\n");
    }

    /// A size twice: in bytes, and under `name_human` in the largest unit that fits.
    fn size(&mut self, name: &str, bytes: u64) {
        self.line(name, bytes);
        self.line(format_args!("{name}_human"), human(bytes));
    }
}

/// `1.50M`, as Redis shows sizes.
pub fn human(bytes: u64) -> String {
    const UNITS: [char; 5] = ['K', 'M', 'G', 'T', 'P'];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let unit = ((bytes.ilog2() / 10) as usize).min(UNITS.len());
    format!("{:.2}{}", bytes as f64 / (1u64 << (10 * unit)) as f64, UNITS[unit - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_for_people() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.00K"),
            (943 * 1024 + 123, "943.12K"),
            (1 << 20, "1.00M"),
            ((1 << 30) - 1, "1024.00M"),
            (25_276_502_016, "23.54G"),
            (3 << 40, "3.00T"),
            (1 << 60, "1024.00P"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }

    #[test]
    fn sections_by_name() {
        assert_eq!(Sections::named(b"KeySpace"), Sections::KEYSPACE);
        assert_eq!(Sections::named(b"nosuch"), Sections::empty());
        assert_eq!(Sections::named(b"everything"), Sections::all());
        assert_eq!(Sections::named(b"default") | NOT_BY_DEFAULT, Sections::all());
        let all = SECTIONS.iter().fold(Sections::empty(), |all, (_, section, _)| all | *section);
        assert_eq!(all, Sections::all(), "each section has a writer");
    }
}
