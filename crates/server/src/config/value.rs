//! The values of directives: what kinds there are, how their text is read, and how they are printed.
//!
//! Reading follows Redis 7.0's `CONFIG SET` to the letter of its error texts. Printing is what CONFIG GET answers;
//! reading a printed value gives the same value again.

use std::fmt;

use pinyon_base::parse_i64;

/// A directive's value, in canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Bool(bool),
    /// Numbers of all kinds; memory sizes are in bytes.
    Int(i128),
    /// Only from [`Kind::MemoryOrPercent`]: 1 to the kind's limit.
    Percent(u8),
    /// One of [`Kind::Choice`]'s names, spelled as listed there.
    Choice(&'static str),
    Text(String),
    /// Several words, as a [`ListKind`] put them.
    Words(Vec<String>),
}

/// What a directive's text may be.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `yes` or `no`, in any case.
    Bool,
    /// A decimal integer between the two, inclusive.
    Int(i128, i128),
    /// An integer in octal notation, as file modes are written.
    Octal(i128, i128),
    /// A number of bytes, with an optional unit: b, k, kb, m, mb, g, gb in any case.
    Memory(i128, i128),
    /// The same, or a percentage up to the number given.
    MemoryOrPercent(u8),
    /// One of the names, in any case.
    Choice(&'static [&'static str]),
    /// Any text.
    Text,
    /// A text that a function checks and may rewrite.
    Checked(fn(&str) -> Result<String, ValueError>),
    /// Several words.
    List(&'static ListKind),
}

/// Reads words into canonical ones. `before` is the value so far: that of earlier lines of the same start
/// (`repeated`), or the one in force.
pub type ReadWords = fn(words: &[&str], before: &[String], repeated: bool) -> Result<Vec<String>, ValueError>;

/// A value of several words. In a file they follow the name; CONFIG SET takes them in one argument, apart by single
/// spaces.
pub struct ListKind {
    /// What the words look like, for help texts: `<seconds> <changes> ...`.
    pub shape: &'static str,
    pub read: ReadWords,
    /// A value that is not empty as lines of a file, each without the directive's name.
    pub lines: fn(words: &[String]) -> Vec<String>,
}

impl fmt::Debug for ListKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListKind").field("shape", &self.shape).finish_non_exhaustive()
    }
}

/// Why a text is no value of a directive. The texts are Redis's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    #[error("argument must be 'yes' or 'no'")]
    NotYesNo,
    #[error("argument couldn't be parsed into an integer")]
    NotInteger,
    #[error("argument couldn't be parsed as an octal number")]
    NotOctal,
    #[error("argument must be a memory value")]
    NotMemory,
    #[error("argument must be a memory or percent value")]
    NotMemoryOrPercent,
    #[error("argument must be between {0} and {1} inclusive")]
    NotBetween(i128, i128),
    #[error("argument must be between {0:o} and {1:o} inclusive")]
    NotBetweenOctal(i128, i128),
    #[error("percentage argument must be less or equal to {0}")]
    PercentTooBig(u8),
    #[error("argument(s) must be one of the following: {}", .0.join(", "))]
    NotOneOf(&'static [&'static str]),
    #[error("wrong number of arguments")]
    WrongNumber,
    #[error("argument must be valid UTF-8")]
    NotUtf8,
    #[error("{0}")]
    Refused(&'static str),
    /// The operating system's own words, for a path.
    #[error("{0}")]
    Path(String),
}

impl Kind {
    /// Reads the words that follow the directive's name in a file or on the command line.
    ///
    /// `before` is the value so far, and `repeated` says that an earlier line of the same start gave it: only lists
    /// look.
    pub fn read_words(&self, words: &[&str], before: &Value, repeated: bool) -> Result<Value, ValueError> {
        match (self, words) {
            (Kind::List(list), words) => {
                let before = if let Value::Words(before) = before { before.as_slice() } else { &[] };
                (list.read)(words, before, repeated).map(Value::Words)
            }
            (_, [one]) => self.read_one(one),
            _ => Err(ValueError::WrongNumber),
        }
    }

    /// Reads CONFIG SET's argument. `before` is the value in force.
    pub fn read_argument(&self, text: &str, before: &Value) -> Result<Value, ValueError> {
        let words: Vec<&str> = match self {
            Kind::List(_) if text.is_empty() => Vec::new(),
            Kind::List(_) => text.split(' ').collect(),
            _ => vec![text],
        };
        self.read_words(&words, before, false)
    }

    fn read_one(&self, text: &str) -> Result<Value, ValueError> {
        match *self {
            Kind::Bool if text.eq_ignore_ascii_case("yes") => Ok(Value::Bool(true)),
            Kind::Bool if text.eq_ignore_ascii_case("no") => Ok(Value::Bool(false)),
            Kind::Bool => Err(ValueError::NotYesNo),
            Kind::Int(min, max) => {
                let number = parse_i64(text.as_bytes()).ok_or(ValueError::NotInteger)?;
                between(i128::from(number), min, max)
            }
            Kind::Octal(min, max) => {
                let number = i64::from_str_radix(text, 8).map_err(|_| ValueError::NotOctal)?;
                between(i128::from(number), min, max).map_err(|_| ValueError::NotBetweenOctal(min, max))
            }
            Kind::Memory(min, max) => {
                let bytes = parse_memory(text).ok_or(ValueError::NotMemory)?;
                between(i128::from(bytes), min, max)
            }
            Kind::MemoryOrPercent(percent_max) => memory_or_percent(text, percent_max),
            Kind::Choice(names) => names
                .iter()
                .find(|name| name.eq_ignore_ascii_case(text))
                .map(|name| Value::Choice(name))
                .ok_or(ValueError::NotOneOf(names)),
            Kind::Text => Ok(Value::Text(text.to_owned())),
            Kind::Checked(check) => check(text).map(Value::Text),
            Kind::List(_) => self.read_words(&[text], &Value::Words(Vec::new()), false),
        }
    }

    /// The value as CONFIG GET shows it.
    pub fn print(&self, value: &Value) -> String {
        match value {
            Value::Bool(true) => "yes".to_owned(),
            Value::Bool(false) => "no".to_owned(),
            Value::Int(number) if matches!(self, Kind::Octal(..)) => format!("{number:o}"),
            Value::Int(number) => number.to_string(),
            Value::Percent(percent) => format!("{percent}%"),
            Value::Choice(name) => (*name).to_owned(),
            Value::Text(text) => text.clone(),
            Value::Words(words) => words.join(" "),
        }
    }

    /// The value as lines of a file, each without the directive's name. One line for most, at least one for all.
    pub fn lines(&self, value: &Value) -> Vec<String> {
        match (self, value) {
            (Kind::Memory(..) | Kind::MemoryOrPercent(_), Value::Int(bytes)) => vec![print_memory(*bytes)],
            (_, Value::Text(text)) => vec![quoted(text)],
            (Kind::List(list), Value::Words(words)) if !words.is_empty() => (list.lines)(words),
            (_, Value::Words(_)) => vec!["\"\"".to_owned()],
            _ => vec![self.print(value)],
        }
    }

    /// What may be given, in a few words, for help texts and the commented configuration file.
    pub fn shape(&self) -> String {
        match self {
            Kind::Bool => "yes or no".to_owned(),
            Kind::Int(min, max) => range("", *min, *max, |n| n.to_string()),
            Kind::Octal(min, max) => format!("octal, {min:o} to {max:o}"),
            Kind::Memory(min, max) => range("bytes, ", *min, *max, print_memory),
            Kind::MemoryOrPercent(max) => format!("bytes, or a percentage up to {max}%"),
            Kind::Choice(names) => names.join(", "),
            Kind::Text | Kind::Checked(_) => "text".to_owned(),
            Kind::List(list) => list.shape.to_owned(),
        }
    }
}

/// "1 to 65535", or "1 or more" where the upper end only says that the number must fit.
fn range(unit: &str, min: i128, max: i128, print: fn(i128) -> String) -> String {
    match (min, max >= i128::from(i32::MAX)) {
        (min, true) if min <= i128::from(i32::MIN) => format!("{unit}any number"),
        (min, true) => format!("{unit}{} or more", print(min)),
        (min, false) => format!("{unit}{} to {}", print(min), print(max)),
    }
}

fn between(number: i128, min: i128, max: i128) -> Result<Value, ValueError> {
    if number < min || number > max { Err(ValueError::NotBetween(min, max)) } else { Ok(Value::Int(number)) }
}

fn memory_or_percent(text: &str, percent_max: u8) -> Result<Value, ValueError> {
    let Some(percent) = text.strip_suffix('%') else {
        let bytes = parse_memory(text).ok_or(ValueError::NotMemoryOrPercent)?;
        return Ok(Value::Int(i128::from(bytes)));
    };
    match parse_i64(percent.as_bytes()) {
        None | Some(i64::MIN..0) => Err(ValueError::NotMemoryOrPercent),
        // Nothing at all is a number of bytes: it switches the limit off.
        Some(0) => Ok(Value::Int(0)),
        Some(percent) => match u8::try_from(percent) {
            Ok(percent) if percent <= percent_max => Ok(Value::Percent(percent)),
            _ => Err(ValueError::PercentTooBig(percent_max)),
        },
    }
}

const UNITS: [(&str, u64); 6] =
    [("gb", 1 << 30), ("mb", 1 << 20), ("kb", 1 << 10), ("g", 1_000_000_000), ("m", 1_000_000), ("k", 1000)];

/// A number of bytes as redis.conf writes it: `100mb` is 100 × 2²⁰, `100m` is 100 × 10⁶. Digits beyond 64 bits mean
/// "as much as there is". None where Redis refuses; also for a unit alone and for products beyond 64 bits, which
/// Redis takes for 0 and for the low bits.
pub fn parse_memory(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, unit) = text.split_at(digits);
    if digits.is_empty() {
        return None;
    }
    let number: u64 = digits.parse().unwrap_or(u64::MAX);
    if unit.is_empty() || unit.eq_ignore_ascii_case("b") {
        return Some(number);
    }
    let (_, factor) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    number.checked_mul(*factor)
}

/// The shortest exact way to write a number of bytes.
pub fn print_memory(bytes: i128) -> String {
    let exact = |&&(unit, factor): &&(&str, u64)| unit.len() == 2 && bytes % i128::from(factor) == 0;
    match UNITS.iter().find(exact) {
        Some((unit, factor)) if bytes > 0 => format!("{}{unit}", bytes / i128::from(*factor)),
        _ => bytes.to_string(),
    }
}

/// A word as it stands in a file: in quotes only where it must be.
pub fn bare_or_quoted(word: &str) -> String {
    let plain = |c: u8| c.is_ascii_graphic() && !matches!(c, b'"' | b'\'' | b'\\' | b'#');
    if !word.is_empty() && word.bytes().all(plain) { word.to_owned() } else { quoted(word) }
}

/// In double quotes, with escapes where needed.
pub fn quoted(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    pinyon_base::write_quoted(text.as_bytes(), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}
