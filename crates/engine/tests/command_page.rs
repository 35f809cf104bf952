//! Writes `config/COMMANDS.md`, the page of all commands, out of their rows, and fails when the committed page is stale.
//! `PINYON_BLESS=1` brings it up to date.

use std::fmt::Write;
use std::path::Path;

use pinyon_engine::command::row::{Arg, ArgFlags, ArgKind, Group};
use pinyon_engine::command::{Command, registry};

const HEAD: &str = "\
# Commands

Every command that Pinyon knows. This page is written from the command table by the test `command_page` of the engine
(`PINYON_BLESS=1 cargo test -p pinyon-engine --test command_page`): change the rows, not the page.

A word in capitals is written as it stands, others are yours to fill in; `[…]` may be left out, `…` repeats, `|` separates
choices. *Since* is the version of Redis (or of Valkey, where the text says so) that first had the command.
";

/// The groups in the order of the page, with their headings.
const GROUPS: &[(Group, &str)] = &[
    (Group::String, "Strings"),
    (Group::Generic, "Keys"),
    (Group::List, "Lists"),
    (Group::Set, "Sets"),
    (Group::SortedSet, "Sorted sets"),
    (Group::Hash, "Hashes"),
    (Group::Bitmap, "Bitmaps"),
    (Group::Hyperloglog, "HyperLogLogs"),
    (Group::Geo, "Places"),
    (Group::Stream, "Streams"),
    (Group::Pubsub, "Publish and subscribe"),
    (Group::Transactions, "Transactions"),
    (Group::Scripting, "Scripts and functions"),
    (Group::Connection, "Connections"),
    (Group::Server, "Server"),
    (Group::Cluster, "Cluster"),
    (Group::Sentinel, "Sentinel"),
];

#[test]
fn the_page_of_commands_is_up_to_date() {
    let page = page();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/COMMANDS.md");
    if std::env::var_os("PINYON_BLESS").is_some() {
        std::fs::write(&path, &page).expect("config/ is writable");
        return;
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let line = page.lines().zip(committed.lines()).position(|(new, old)| new != old);
    let line = line.unwrap_or(page.lines().count().min(committed.lines().count())) + 1;
    assert!(page == committed, "config/COMMANDS.md is stale from line {line} on: run this test with PINYON_BLESS=1");
}

fn page() -> String {
    let mut rows: Vec<&Command> = registry().top_level().map(|id| registry().row(id)).collect();
    rows.sort_by_key(|row| row.name);
    let mut page = HEAD.to_owned();
    for (group, heading) in GROUPS {
        let rows: Vec<_> = rows.iter().filter(|row| row.group == *group).collect();
        if rows.is_empty() {
            continue;
        }
        write!(page, "\n## {heading}\n").expect("a string");
        for row in rows {
            section(&mut page, row, None);
            row.subcommands.iter().for_each(|sub| section(&mut page, sub, Some(row)));
        }
    }
    assert!(rows.iter().all(|row| GROUPS.iter().any(|(group, _)| *group == row.group)));
    page
}

/// One command or subcommand: its syntax, what it does, its facts, its history.
fn section(page: &mut String, row: &Command, container: Option<&Command>) {
    let name = match container {
        None => row.name.to_uppercase(),
        Some(container) => format!("{} {}", container.name, row.name).to_uppercase(),
    };
    let mut facts = vec![format!("since {}", row.since), row.complexity.trim_end_matches('.').to_owned()];
    if let Some((version, instead)) = row.deprecated {
        facts.push(format!("deprecated since {version}, use {instead}"));
    }
    let categories = row.acl_categories().iter_names().map(|(name, _)| format!("@{}", name.to_lowercase()));
    facts.push(categories.collect::<Vec<_>>().join(" "));
    let mut text = format!("\n### {name}\n\n");
    if row.subcommands.is_empty() {
        let arguments: Vec<String> = row.args.iter().map(syntax).collect();
        text += &format!("`{}`\n\n", [&[name], &arguments[..]].concat().join(" "));
    }
    text += &format!("{} *{}*\n", row.summary, facts.join("; "));
    for (i, (version, change)) in row.history.iter().enumerate() {
        text += &format!("{}- {version}: {change}\n", if i == 0 { "\n" } else { "" });
    }
    page.push_str(&text);
}

/// One argument as a syntax line shows it.
fn syntax(arg: &Arg) -> String {
    let inner = |separator: &str| arg.args.iter().map(syntax).collect::<Vec<_>>().join(separator);
    let optional = arg.flags.contains(ArgFlags::OPTIONAL);
    let value = match arg.kind {
        ArgKind::PureToken => String::new(),
        // The brackets of an optional argument hold its choices together already.
        ArgKind::OneOf if optional && arg.token.is_none() => inner(" | "),
        ArgKind::OneOf => format!("({})", inner(" | ")),
        ArgKind::Block => inner(" "),
        _ => arg.display.unwrap_or(arg.name).to_lowercase(),
    };
    let once = match (arg.token, value.is_empty()) {
        (None, _) => value.clone(),
        (Some(token), true) => token.to_owned(),
        (Some(token), false) => format!("{token} {value}"),
    };
    let text = if arg.flags.contains(ArgFlags::MULTIPLE) && arg.kind == ArgKind::OneOf {
        format!("{once} …")
    } else if arg.flags.contains(ArgFlags::MULTIPLE_TOKEN) {
        format!("{once} [{once} …]")
    } else if arg.flags.contains(ArgFlags::MULTIPLE) {
        format!("{once} [{value} …]")
    } else {
        once
    };
    if optional { format!("[{text}]") } else { text }
}

#[test]
fn syntax_lines() {
    let line = |name: &str| {
        let row = registry().row(registry().find_full(name.as_bytes()).expect("a command"));
        row.args.iter().map(syntax).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("del"), "key [key …]");
    assert_eq!(line("copy"), "source destination [DB destination-db] [REPLACE]");
    assert_eq!(line("expire"), "key seconds [NX | XX | GT | LT]");
    assert_eq!(line("hello"), "[protover [AUTH username password] [SETNAME clientname]]");
    assert_eq!(line("config|set"), "parameter value [parameter value …]");
    assert!(line("client|kill").ends_with(" | [MAXAGE maxage]) …)"));
    assert_eq!(line("client|reply"), "(ON | OFF | SKIP)");
    assert_eq!(line("client|list"), "[TYPE (NORMAL | MASTER | REPLICA | PUBSUB)] [ID client-id [client-id …]]");
    assert_eq!(line("command|list"), "[FILTERBY (MODULE module-name | ACLCAT category | PATTERN pattern)]");
}
