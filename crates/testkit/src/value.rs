//! A reply of a server, decoded from RESP2 or RESP3.

use std::fmt;

use pinyon_base::{parse_i64, write_quoted};

/// One reply. `Display` shows it much as redis-cli does on a terminal.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Simple(String),
    /// With its code: "ERR syntax error". Bytes that are not UTF-8 are kept as Latin-1 characters.
    Error(String),
    Int(i64),
    Bulk(Vec<u8>),
    /// `$-1` or `_`.
    Null,
    /// `*-1`.
    NullArray,
    Array(Vec<Value>),
    Map(Vec<(Value, Value)>),
    Set(Vec<Value>),
    /// A message that answers no command.
    Push(Vec<Value>),
    /// As the server spelled it.
    Double(String),
    Bool(bool),
    BigNumber(String),
    Verbatim {
        format: String,
        text: Vec<u8>,
    },
}

/// Bytes that are no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a reply: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

impl Value {
    /// Decodes the reply at the start of `bytes` and says how long it is; None when it has not arrived whole.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Value, usize)>, Malformed> {
        let mut at = 0;
        Ok(decode(bytes, &mut at)?.map(|value| (value, at)))
    }

    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(v) => Some(*v),
            _ => None,
        }
    }

    /// The bytes of any kind of text.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Simple(text) | Value::Error(text) | Value::Double(text) | Value::BigNumber(text) => {
                Some(text.as_bytes())
            }
            Value::Bulk(bytes) | Value::Verbatim { text: bytes, .. } => Some(bytes),
            _ => None,
        }
    }

    /// The text of any kind of text, where it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        self.as_bytes().and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// The elements of an array, set or push.
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Value::Array(items) | Value::Set(items) | Value::Push(items) => Some(items),
            _ => None,
        }
    }

    /// The value under `key` in a map, or in an array of keys and values in turn.
    pub fn field(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Map(pairs) => pairs.iter().find(|(k, _)| k.as_str() == Some(key)).map(|(_, v)| v),
            Value::Array(items) => {
                items.as_chunks::<2>().0.iter().find(|[k, _]| k.as_str() == Some(key)).map(|[_, v]| v)
            }
            _ => None,
        }
    }

    pub fn is_error(&self) -> bool {
        matches!(self, Value::Error(_))
    }

    /// No value, in any spelling.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null | Value::NullArray)
    }
}

/// Takes a line up to its `\r\n`.
fn line<'a>(bytes: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let rest = bytes.get(*at..)?;
    let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    *at += end + 2;
    Some(&rest[..end])
}

fn latin1(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_string(),
        Err(_) => bytes.iter().map(|b| char::from(*b)).collect(),
    }
}

fn decode(bytes: &[u8], at: &mut usize) -> Result<Option<Value>, Malformed> {
    let start = *at;
    let Some(line) = line(bytes, at) else {
        return Ok(None);
    };
    let wrong = || Malformed(bytes[start..bytes.len().min(start + 80)].escape_ascii().to_string());
    let (mark, text) = line.split_first().ok_or_else(wrong)?;
    let count = || parse_i64(text).ok_or_else(wrong);
    Ok(Some(match mark {
        b'+' => Value::Simple(latin1(text)),
        b'-' => Value::Error(latin1(text)),
        b':' => Value::Int(count()?),
        b',' => Value::Double(latin1(text)),
        b'(' => Value::BigNumber(latin1(text)),
        b'_' if text.is_empty() => Value::Null,
        b'#' if matches!(text, b"t" | b"f") => Value::Bool(text == b"t"),
        b'$' | b'=' => match count()? {
            -1 if *mark == b'$' => Value::Null,
            length => {
                let length = usize::try_from(length).map_err(|_| wrong())?;
                let Some(body) = bytes.get(*at..*at + length + 2) else {
                    return Ok(None);
                };
                let body = body.strip_suffix(b"\r\n").ok_or_else(wrong)?;
                *at += length + 2;
                if *mark == b'$' {
                    Value::Bulk(body.to_vec())
                } else {
                    let (format, text) = body.split_at_checked(4).ok_or_else(wrong)?;
                    Value::Verbatim { format: latin1(&format[..3]), text: text.to_vec() }
                }
            }
        },
        b'*' if text == b"-1" => Value::NullArray,
        b'*' | b'~' | b'>' | b'%' => {
            let per_item = if *mark == b'%' { 2 } else { 1 };
            let length = usize::try_from(count()?).map_err(|_| wrong())? * per_item;
            let mut items = Vec::new();
            for _ in 0..length {
                match decode(bytes, at)? {
                    Some(item) => items.push(item),
                    None => return Ok(None),
                }
            }
            match mark {
                b'*' => Value::Array(items),
                b'~' => Value::Set(items),
                b'>' => Value::Push(items),
                _ => {
                    let mut items = items.into_iter();
                    Value::Map(std::iter::from_fn(|| items.next().zip(items.next())).collect())
                }
            }
        }
        _ => return Err(wrong()),
    }))
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self, 0, f)
    }
}

fn quoted(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    write_quoted(bytes, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// Writes a value whose first line starts at column `indent`; lists go on below.
fn show(value: &Value, indent: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match value {
        Value::Simple(text) => write!(f, "{text}"),
        Value::Error(text) => write!(f, "(error) {text}"),
        Value::Int(v) => write!(f, "(integer) {v}"),
        Value::Bulk(bytes) => write!(f, "{}", quoted(bytes)),
        Value::Null => write!(f, "(nil)"),
        Value::NullArray => write!(f, "(nil array)"),
        Value::Double(text) => write!(f, "(double) {text}"),
        Value::Bool(v) => write!(f, "({v})"),
        Value::BigNumber(text) => write!(f, "(big number) {text}"),
        Value::Verbatim { format, text } => write!(f, "({format}) {}", quoted(text)),
        Value::Array(items) => show_list(items, ')', "array", indent, f),
        Value::Set(items) => show_list(items, '~', "set", indent, f),
        Value::Push(items) => show_list(items, '>', "push", indent, f),
        Value::Map(pairs) if pairs.is_empty() => write!(f, "(empty map)"),
        Value::Map(pairs) => {
            for (i, (key, value)) in pairs.iter().enumerate() {
                let number = begin_item(i, pairs.len(), '#', indent, f)?;
                show(key, number, f)?;
                write!(f, " => ")?;
                show(value, number + 4, f)?;
            }
            Ok(())
        }
    }
}

fn show_list(items: &[Value], mark: char, name: &str, indent: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if items.is_empty() {
        return write!(f, "(empty {name})");
    }
    for (i, item) in items.iter().enumerate() {
        let column = begin_item(i, items.len(), mark, indent, f)?;
        show(item, column, f)?;
    }
    Ok(())
}

/// Writes the number of an item, on a line of its own but for the first; returns the column that the item starts at.
fn begin_item(i: usize, of: usize, mark: char, indent: usize, f: &mut fmt::Formatter<'_>) -> Result<usize, fmt::Error> {
    let width = of.to_string().len();
    if i > 0 {
        write!(f, "\n{:indent$}", "")?;
    }
    write!(f, "{:>width$}{mark} ", i + 1)?;
    Ok(indent + width + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> Value {
        for cut in 0..bytes.len() {
            assert_eq!(Value::decode(&bytes[..cut]), Ok(None), "cut at {cut}");
        }
        let (value, length) = Value::decode(bytes).expect("well formed").expect("whole");
        assert_eq!(length, bytes.len());
        value
    }

    #[test]
    fn every_kind_of_reply_is_decoded_and_shown() {
        for (bytes, shown) in [
            (&b"+OK\r\n"[..], "OK"),
            (b"-ERR no\r\n", "(error) ERR no"),
            (b":-7\r\n", "(integer) -7"),
            (b"$3\r\na\r\n\r\n", "\"a\\r\\n\""),
            (b"$-1\r\n", "(nil)"),
            (b"_\r\n", "(nil)"),
            (b"*-1\r\n", "(nil array)"),
            (b"*0\r\n", "(empty array)"),
            (b",1.5\r\n", "(double) 1.5"),
            (b"#t\r\n", "(true)"),
            (b"(123\r\n", "(big number) 123"),
            (b"=5\r\ntxt:a\r\n", "(txt) \"a\""),
            (b"*2\r\n:1\r\n*2\r\n:2\r\n:3\r\n", "1) (integer) 1\n2) 1) (integer) 2\n   2) (integer) 3"),
            (b"%1\r\n+a\r\n~1\r\n:1\r\n", "1# a => 1~ (integer) 1"),
            (b">1\r\n+a\r\n", "1> a"),
        ] {
            assert_eq!(decoded(bytes).to_string(), shown);
        }
    }

    #[test]
    fn fields_are_found_in_maps_and_in_flat_arrays() {
        for bytes in [&b"%2\r\n+a\r\n:1\r\n+b\r\n:2\r\n"[..], b"*4\r\n+a\r\n:1\r\n+b\r\n:2\r\n"] {
            assert_eq!(decoded(bytes).field("b"), Some(&Value::Int(2)));
            assert_eq!(decoded(bytes).field("c"), None);
        }
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for bytes in [&b"hello\r\n"[..], b":x\r\n", b"$-2\r\n", b"$1\r\nabc", b"#x\r\n", b"\r\n"] {
            assert!(Value::decode(bytes).is_err(), "{}", bytes.escape_ascii());
        }
    }
}
