//! Records as people read them: the commands that would do the same.

use pinyon_base::{DbIndex, Millis, write_quoted};

use super::read::{Damaged, Op, Reader};

/// One line per operation: `db 0 SET "key" "value" PXAT 1700000000000`.
pub fn describe(record: &[u8]) -> Result<Vec<String>, Damaged> {
    let mut reader = Reader::new(record);
    let mut lines = Vec::new();
    while let Some((DbIndex(db), op)) = reader.op()? {
        let text = match op {
            Op::Delete { key } => words("DEL", &[key]),
            Op::Text { key, deadline, text } => words("SET", &[key, text]) + &until(deadline),
            Op::Deadline { key, deadline: Some(Millis(at)) } => format!("{} {at}", words("PEXPIREAT", &[key])),
            Op::Deadline { key, deadline: None } => words("PERSIST", &[key]),
            Op::Value { key, deadline, encoding, encoded } => {
                let head = words("RESTORE", &[key]);
                format!("{head}{} ({} bytes, encoding {encoding})", until(deadline), encoded.len())
            }
            Op::Command { count } => {
                let mut args = Vec::new();
                for _ in 0..count {
                    args.push(reader.bytes()?);
                }
                match args.split_first() {
                    Some((name, rest)) => words(&String::from_utf8_lossy(name).to_uppercase(), rest),
                    None => "an empty command".to_owned(),
                }
            }
            Op::Flush => "FLUSHDB".to_owned(),
            Op::FlushAll => "FLUSHALL".to_owned(),
            Op::Swap { with } => format!("SWAPDB {db} {}", with.0),
        };
        lines.push(format!("db {db} {text}"));
    }
    Ok(lines)
}

fn words(name: &str, args: &[&[u8]]) -> String {
    let mut text = name.as_bytes().to_vec();
    for arg in args {
        text.push(b' ');
        write_quoted(arg, &mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn until(deadline: Option<Millis>) -> String {
    deadline.map(|Millis(at)| format!(" PXAT {at}")).unwrap_or_default()
}
