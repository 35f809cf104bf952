//! A glance at bytes received, before they are parsed: which key they are probably about.

use crate::parser::quick_length;

/// The second argument of the command at the start of `data`, where most commands have their key. None: there is none,
/// it is not here whole, or finding it would take more than a glance. What it gives is a guess to fetch memory by, not
/// to answer with: of bytes that are no command at all it may give any part.
#[inline]
pub fn second_argument(data: &[u8]) -> Option<&[u8]> {
    let (count, at) = quick_length(data, 0, b'*')?;
    if count < 2 {
        return None;
    }
    let (name_len, at) = quick_length(data, at, b'$')?;
    let (len, at) = quick_length(data, at + name_len as usize + 2, b'$')?;
    data.get(at..at + len as usize)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::second_argument;
    use crate::{Limits, Parse, Parser};

    #[test]
    fn the_second_of_whole_commands_only() {
        assert_eq!(second_argument(b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n"), Some(&b"key"[..]));
        assert_eq!(second_argument(b"*3\r\n$3\r\nSET\r\n$0\r\n\r\n$1\r\nv\r\n"), Some(&b""[..]));
        for nothing in [
            &b""[..],
            b"PING\r\n",
            b"*1\r\n$4\r\nPING\r\n",
            b"*2\r\n$3\r\nGET\r\n",
            b"*2\r\n$3\r\nGET\r\n$3\r\nke",
            b"*2\r\n$-1\r\n$3\r\nkey\r\n",
            b"*2\r\n$99999\r\nGET\r\n$3\r\nkey\r\n",
            b"*2\r\n$3\r\nGET\r\n:3\r\nkey\r\n",
        ] {
            assert_eq!(second_argument(nothing), None, "{}", nothing.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn it_is_what_the_parser_finds(args in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 2..5), cut in 0usize..2000) {
            let mut data = format!("*{}\r\n", args.len()).into_bytes();
            for arg in &args {
                data.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
                data.extend_from_slice(arg);
                data.extend_from_slice(b"\r\n");
            }
            let mut spans = Vec::new();
            let parse = Parser::default().parse(&data, &Limits::default(), &mut spans);
            prop_assert_eq!(parse, Ok(Parse::Command { consumed: data.len() }));
            let (start, len) = (spans[1].start as usize, spans[1].len as usize);
            for cut in [cut.min(data.len()), data.len()] {
                let found = second_argument(&data[..cut]);
                prop_assert!(found.is_none_or(|found| found == &data[start..start + len]));
                // The line before it is looked at by eight bytes.
                prop_assert!(found.is_some() || cut < start + len.max(4));
                prop_assert!(found.is_none() || cut >= start + len);
            }
        }

        #[test]
        fn any_bytes_are_survived(data in prop::collection::vec(prop::sample::select(&b"*$0123456789\r\nGETk"[..]), 0..60)) {
            let _ = second_argument(&data);
        }
    }
}
