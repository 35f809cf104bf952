//! The text of `config/pinyon.conf`: every directive with its doc, made from the rows.

use super::directive::{Directive, Lacking, Mutability};
use super::directives::{SECTIONS, Section};

const WIDTH: usize = 100;

const HEAD: &str = "\
# Pinyon's configuration, in the syntax of redis.conf.
#
#   pinyon-server /etc/pinyon/pinyon.conf                  reads it
#   pinyon-server /etc/pinyon/pinyon.conf --port 6380      and lets an option win
#   pinyon-server --check-config /etc/pinyon/pinyon.conf   only says what is wrong with it
#
# A line is a name and its value; values with spaces or special characters stand in double quotes.
# Sizes take units: 1k is 1000 bytes, 1kb is 1024, and m, mb, g, gb go on from there. \"include PATH\"
# reads another file at this place; * and ? in its name match many. The last line that names a
# directive wins.
#
# Every directive is listed here with its default behind a single #. Take that # away to change one.
# A redis.conf of Redis 7 can be used as it is. Directives that have no effect here are named once at
# start; CONFIG SET takes them, CONFIG GET shows them, and the log says each time that they do nothing.
#
# This file is generated from the directives' rows:
# PINYON_BLESS=1 cargo test -p pinyon-server pinyon_conf
";

/// The whole file.
pub fn pinyon_conf() -> String {
    let mut out = String::from(HEAD);
    for section in SECTIONS {
        push_section(&mut out, section);
    }
    out
}

fn push_section(out: &mut String, section: &Section) {
    let rule = "#".repeat(WIDTH.saturating_sub(section.title.len() + 5));
    out.push_str(&format!("\n### {} {rule}\n", section.title));
    comment(out, section.intro);
    for row in section.rows.iter().filter(|row| !row.hidden) {
        out.push('\n');
        push_row(out, row);
    }
}

fn push_row(out: &mut String, row: &Directive) {
    comment(out, row.doc);
    if let Some(why) = row.lacking().map(Lacking::why).filter(|_| !says_so(row)) {
        comment(out, &format!("No effect: {why}."));
    }
    if !row.aliases.is_empty() {
        comment(out, &format!("Also: {}.", row.aliases.join(", ")));
    }
    comment(out, &format!("Value: {}. Changes: {}.", row.kind.shape(), changes(row)));
    for line in default_lines(row) {
        out.push_str(&format!("#{} {line}\n", row.name));
    }
}

/// Whether the whole section is about directives without effect, so that each need not say it again.
fn says_so(row: &Directive) -> bool {
    SECTIONS.iter().any(|section| {
        section.rows.iter().any(|other| other.name == row.name)
            && section.rows.iter().all(|other| other.lacking().is_some())
    })
}

fn changes(row: &Directive) -> &'static str {
    match row.mutability {
        Mutability::Live => "CONFIG SET",
        Mutability::Protected => "CONFIG SET, where enable-protected-configs allows it",
        Mutability::AtStart => "at start",
    }
}

/// The default as lines of a file, without the name; `dir`'s as it is written in its row, since its value is another
/// on every machine.
fn default_lines(row: &Directive) -> Vec<String> {
    match row.default_value() {
        Ok(value) if row.name != "dir" => row.kind.lines(&value),
        _ => vec![row.default.to_owned()],
    }
}

/// Appends `text` as comment lines of at most [`WIDTH`] bytes.
fn comment(out: &mut String, text: &str) {
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            out.push_str(&line);
            out.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    out.push_str(&line);
    out.push('\n');
}
