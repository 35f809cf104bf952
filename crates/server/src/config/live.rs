//! CONFIG GET and CONFIG SET.

use pinyon_base::glob_match;

use super::Config;
use super::directive::{Directive, Mutability, Refusal};
use super::directives;
use super::value::{Value, ValueError};

/// Names and values that match any of the patterns, each name once: in the order of the patterns, then of the rows.
///
/// A pattern is a glob in any case. A name without glob characters is answered as it was spelled, and finds hidden
/// directives too.
pub fn config_get(config: &Config, patterns: &[&[u8]]) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, row: &Directive| {
        if !found.iter().any(|(seen, _)| seen.eq_ignore_ascii_case(name)) {
            found.push((name.to_owned(), row.kind.print(&row.get(config))));
        }
    };
    for pattern in patterns {
        if !pattern.iter().any(|c| matches!(c, b'*' | b'?' | b'[')) {
            if let Ok(name) = std::str::from_utf8(pattern)
                && let Some(row) = directives::find(name)
            {
                add(name, row);
            }
            continue;
        }
        for row in directives::all().filter(|row| !row.hidden) {
            for name in row.names().filter(|name| glob_match(pattern, name.as_bytes(), true)) {
                add(name, row);
            }
        }
    }
    found
}

/// Why CONFIG SET changed nothing. The texts are Redis 7.0's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum SetError {
    #[error("ERR Unknown option or number of arguments for CONFIG SET - '{0}'")]
    Unknown(String),
    #[error("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}")]
    Failed { name: String, reason: Reason },
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Reason {
    #[error("can't set immutable config")]
    Immutable,
    #[error("can't set protected config")]
    Protected,
    #[error("duplicate parameter")]
    Duplicate,
    #[error("{0}")]
    Value(ValueError),
    #[error("{0}")]
    Unavailable(&'static str),
}

/// The reply for a value that is right but could not be put into force, such as a port that is taken.
pub fn set_failed(name: &str, reason: &str) -> String {
    format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}")
}

/// A new configuration with all of `pairs` (name, value) changed, or the full text of the error reply, and then
/// nothing is changed. `local` says whether the client may do what `enable-protected-configs local` allows.
///
/// A change of a directive that has no effect is accepted, and noted in the log.
pub fn config_set(config: &Config, pairs: &[(&[u8], &[u8])], local: bool) -> Result<Config, String> {
    let rows = rows_of(config, pairs, local).map_err(|e| e.to_string())?;
    let mut new = config.clone();
    for (&(name, row), (_, text)) in rows.iter().zip(pairs) {
        let before = row.get(&new);
        let value = read(row, text, &before)
            .map_err(|reason| SetError::Failed { name: name.to_owned(), reason }.to_string())?;
        row.set(&mut new, value);
    }
    note_changes_without_effect(config, &new);
    Ok(new)
}

/// The row of each pair, with the name by which it was found: the checks that need no values.
fn rows_of(
    config: &Config,
    pairs: &[(&[u8], &[u8])],
    local: bool,
) -> Result<Vec<(&'static str, &'static Directive)>, SetError> {
    let mut rows: Vec<(&'static str, &'static Directive)> = Vec::with_capacity(pairs.len());
    for (given, text) in pairs {
        let given = String::from_utf8_lossy(given).into_owned();
        let Some(row) = directives::find(&given) else { return Err(SetError::Unknown(given)) };
        let name = row.names().find(|name| name.eq_ignore_ascii_case(&given)).unwrap_or(row.name);
        let reason = if row.mutability == Mutability::AtStart && !is_own_and_same(config, row, text) {
            Some(Reason::Immutable)
        } else if row.mutability == Mutability::Protected && !config.enable_protected_configs.to(local) {
            Some(Reason::Protected)
        } else if rows.iter().any(|(seen, _)| *seen == name) {
            Some(Reason::Duplicate)
        } else {
            None
        };
        if let Some(reason) = reason {
            return Err(SetError::Failed { name: given, reason });
        }
        rows.push((name, row));
    }
    Ok(rows)
}

/// Tools that set everything that CONFIG GET * shows to the value it has know Redis's fixed directives, but not ours.
fn is_own_and_same(config: &Config, row: &Directive, text: &[u8]) -> bool {
    let now = row.get(config);
    row.own && read(row, text, &now).is_ok_and(|value| value == now)
}

fn read(row: &Directive, text: &[u8], before: &Value) -> Result<Value, Reason> {
    let text = std::str::from_utf8(text).map_err(|_| Reason::Value(ValueError::NotUtf8))?;
    let value = row.kind.read_argument(text, before).map_err(Reason::Value)?;
    match row.lacking() {
        Some(lacking) if row.refusal != Refusal::Never && row.default_value().as_ref() != Ok(&value) => {
            Err(Reason::Unavailable(lacking.why()))
        }
        _ => Ok(value),
    }
}

fn note_changes_without_effect(old: &Config, new: &Config) {
    for row in old.changed(new) {
        if let Some(lacking) = row.lacking() {
            tracing::warn!("CONFIG SET {}: the value is kept and has no effect: {}", row.name, lacking.why());
        }
    }
}
