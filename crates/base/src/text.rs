//! The quoting of command lines: inline commands, redis-cli's lines and configuration files read it, MONITOR and CONFIG
//! REWRITE write it.

/// Splits a line into arguments at white space. `"…"` takes `\n \r \t \b \a \\ \" \xHH`; `'…'` takes only `\'`. The line
/// ends at its first NUL byte. None when a quote is left open or its end is not followed by white space.
pub fn split_args(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let line = line.split(|c| *c == 0).next().unwrap_or_default();
    let mut args = Vec::new();
    let mut at = 0;
    loop {
        while line.get(at).is_some_and(|c| is_space(*c)) {
            at += 1;
        }
        if at == line.len() {
            return Some(args);
        }
        let (arg, next) = one_arg(line, at)?;
        args.push(arg);
        at = next;
    }
}

/// The argument that starts at `at`, and where it ends.
fn one_arg(line: &[u8], mut at: usize) -> Option<(Vec<u8>, usize)> {
    let mut arg = Vec::new();
    loop {
        match line.get(at) {
            None | Some(b' ' | b'\n' | b'\r' | b'\t') => return Some((arg, at)),
            // Quotes may start in the middle of an argument, but they always end it.
            Some(b'"') => at = double_quoted(line, at + 1, &mut arg)?,
            Some(b'\'') => at = single_quoted(line, at + 1, &mut arg)?,
            Some(c) => {
                arg.push(*c);
                at += 1;
                continue;
            }
        }
        return match line.get(at) {
            Some(c) if !is_space(*c) => None,
            _ => Some((arg, at)),
        };
    }
}

/// Appends what is quoted from `at` on; returns the position after the closing quote.
fn double_quoted(line: &[u8], mut at: usize, arg: &mut Vec<u8>) -> Option<usize> {
    loop {
        match line.get(at..)? {
            [] => return None,
            [b'"', ..] => return Some(at + 1),
            [b'\\', b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                arg.push(hex(*high) << 4 | hex(*low));
                at += 4;
            }
            [b'\\', escaped, ..] => {
                arg.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                at += 2;
            }
            [c, ..] => {
                arg.push(*c);
                at += 1;
            }
        }
    }
}

fn single_quoted(line: &[u8], mut at: usize, arg: &mut Vec<u8>) -> Option<usize> {
    loop {
        match line.get(at..)? {
            [] => return None,
            [b'\'', ..] => return Some(at + 1),
            [b'\\', b'\'', ..] => {
                arg.push(b'\'');
                at += 2;
            }
            [c, ..] => {
                arg.push(*c);
                at += 1;
            }
        }
    }
}

/// C's `isspace` in the C locale.
fn is_space(c: u8) -> bool {
    matches!(c, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn hex(digit: u8) -> u8 {
    (digit as char).to_digit(16).unwrap_or(0) as u8
}

/// Appends `b` in double quotes, escaped so that [`split_args`] gives the same bytes back.
pub fn write_quoted(b: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.reserve(b.len() + 2);
    out.push(b'"');
    for &c in b {
        match c {
            b'\\' | b'"' => out.extend_from_slice(&[b'\\', c]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x07 => out.extend_from_slice(b"\\a"),
            0x08 => out.extend_from_slice(b"\\b"),
            b' '..=b'~' => out.push(c),
            _ => out.extend_from_slice(&[b'\\', b'x', HEX[usize::from(c >> 4)], HEX[usize::from(c & 15)]]),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(line: &[u8]) -> Option<Vec<String>> {
        let args = split_args(line)?;
        Some(args.iter().map(|arg| arg.escape_ascii().to_string()).collect())
    }

    /// As redis-server 7.0.15 answers PING with these as inline commands.
    #[test]
    fn lines_split_as_redis_splits_them() {
        assert_eq!(split(b"").unwrap(), Vec::<String>::new());
        assert_eq!(split(b" \t\x0b ").unwrap(), Vec::<String>::new());
        assert_eq!(split(b"PING \"a\\x41\\n\"").unwrap(), ["PING", "aA\\n"]);
        assert_eq!(split(b"PING \x0ba\x0b").unwrap(), ["PING", "a\\x0b"]);
        assert_eq!(split(b"PING a\x0bb").unwrap(), ["PING", "a\\x0bb"]);
        assert_eq!(split(b"PING \"\" ''").unwrap(), ["PING", "", ""]);
        assert_eq!(split(br#"PING "\"\'\a\b\t\q\x4""#).unwrap(), ["PING", r#"\"\'\x07\x08\tqx4"#]);
        assert_eq!(split(br"PING 'a\'b\n'").unwrap(), ["PING", r"a\'b\\n"]);
        assert_eq!(split(br"PING \n").unwrap(), ["PING", r"\\n"]);
        assert_eq!(split(b"PING a\"b c\"").unwrap(), ["PING", "ab c"]);
        assert_eq!(split(b"PING a\0b").unwrap(), ["PING", "a"]);
        assert_eq!(split(b"\"\"").unwrap(), [""]);
    }

    #[test]
    fn unbalanced_quotes_are_refused() {
        for line in [&b"PING \"a"[..], b"PING 'a'b", b"PING a\"b\"c", b"'", b"\"", b"\"\\", b"\"\\\"", b"'\\'"] {
            assert_eq!(split_args(line), None, "{}", line.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn what_is_quoted_splits_into_itself(args in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..5)) {
            let mut line = Vec::new();
            for arg in &args {
                write_quoted(arg, &mut line);
                line.push(b' ');
            }
            prop_assert_eq!(split_args(&line), Some(args));
            prop_assert!(line.iter().all(|c| (b' '..=b'~').contains(c)));
        }

        #[test]
        fn any_line_splits_or_is_refused(line in prop::collection::vec(prop_oneof![Just(b'"'), Just(b'\''), Just(b'\\'), Just(b'x'), Just(b' '), any::<u8>()], 0..40)) {
            let _ = split_args(&line);
        }
    }
}
