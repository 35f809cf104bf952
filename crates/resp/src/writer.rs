//! Writes replies in the protocol that the connection speaks.
//!
//! ```text
//!                RESP2              RESP3
//! null           $-1                _
//! null_array     *-1                _
//! map of n       *2n                %n
//! set of n       *n                 ~n
//! push of n      *n                 >n
//! double         $4 3.14            ,3.14
//! bool           :1 :0              #t #f
//! verbatim       $n text            =(n+4) txt:text
//! big number     $n digits          (digits
//! ```

use pinyon_base::{Blob, format_f64, write_i64};

use crate::{Output, ProtocolError};

/// The protocol a connection speaks, 2 until HELLO 3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proto {
    #[default]
    Resp2,
    Resp3,
}

/// Appends replies to an output.
#[derive(Debug)]
pub struct Writer<'a> {
    pub out: &'a mut Output,
    pub proto: Proto,
}

/// Mark, decimal number and line end.
const LINE_BYTES_MAX: usize = 1 + 20 + 2;

impl Writer<'_> {
    /// `+OK`
    #[inline]
    pub fn ok(&mut self) {
        self.raw(b"+OK\r\n");
    }

    /// A status line; it must not contain line ends.
    #[inline]
    pub fn simple(&mut self, text: &str) {
        debug_assert!(!text.contains(['\r', '\n']));
        let bytes = self.out.bytes_mut();
        bytes.reserve(text.len() + 3);
        bytes.push(b'+');
        bytes.extend_from_slice(text.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }

    /// An error with its code, such as "ERR syntax error". Line ends in it become spaces, those at its end go.
    pub fn error(&mut self, text: &str) {
        self.error_bytes(text.as_bytes());
    }

    /// Like [`Writer::error`] for a text that quotes a client's bytes.
    #[cold]
    pub fn error_bytes(&mut self, text: &[u8]) {
        let is_line_end = |c: &u8| matches!(c, b'\r' | b'\n');
        let length = text.iter().rposition(|c| !is_line_end(c)).map_or(0, |last| last + 1);
        let bytes = self.out.bytes_mut();
        bytes.reserve(length + 3);
        bytes.push(b'-');
        bytes.extend(text[..length].iter().map(|c| if is_line_end(c) { b' ' } else { *c }));
        bytes.extend_from_slice(b"\r\n");
    }

    /// The error reply to a request that cannot be parsed.
    pub fn protocol_error(&mut self, error: &ProtocolError) {
        let mut text = b"ERR ".to_vec();
        // Every character of the message is one byte of the reply.
        text.extend(error.message().chars().map(|c| c as u8));
        self.error_bytes(&text);
    }

    /// `:n`
    #[inline]
    pub fn int(&mut self, v: i64) {
        match u8::try_from(v) {
            Ok(digit @ 0..=9) => self.raw(&[b':', b'0' + digit, b'\r', b'\n']),
            _ => self.line(b':', v),
        }
    }

    /// A binary-safe string.
    #[inline]
    pub fn bulk(&mut self, text: &[u8]) {
        self.bulk_length(text.len());
        let bytes = self.out.bytes_mut();
        bytes.extend_from_slice(text);
        bytes.extend_from_slice(b"\r\n");
    }

    /// [`Writer::bulk`] of a text.
    #[inline]
    pub fn bulk_str(&mut self, text: &str) {
        self.bulk(text.as_bytes());
    }

    /// The decimal text of `v` as a bulk string.
    #[inline]
    pub fn bulk_int(&mut self, v: i64) {
        let mut buffer = [0; 20];
        let digits = write_i64(&mut buffer, v);
        let bytes = self.out.bytes_mut();
        bytes.reserve(5 + digits.len() + 2);
        if digits.len() < 10 {
            bytes.extend_from_slice(&[b'$', b'0' + digits.len() as u8, b'\r', b'\n']);
        } else {
            bytes.extend_from_slice(&[
                b'$',
                b'0' + digits.len() as u8 / 10,
                b'0' + digits.len() as u8 % 10,
                b'\r',
                b'\n',
            ]);
        }
        bytes.extend_from_slice(digits);
        bytes.extend_from_slice(b"\r\n");
    }

    /// A large value as a bulk string, by reference.
    pub fn bulk_blob(&mut self, blob: &Blob) {
        self.line(b'$', blob.len() as i64);
        self.out.push_blob(blob.clone());
        self.raw(b"\r\n");
    }

    /// No value.
    #[inline]
    pub fn null(&mut self) {
        match self.proto {
            Proto::Resp2 => self.raw(b"$-1\r\n"),
            Proto::Resp3 => self.raw(b"_\r\n"),
        }
    }

    /// No array.
    #[inline]
    pub fn null_array(&mut self) {
        match self.proto {
            Proto::Resp2 => self.raw(b"*-1\r\n"),
            Proto::Resp3 => self.raw(b"_\r\n"),
        }
    }

    /// Begins an array of `n` elements, which follow.
    #[inline]
    pub fn array(&mut self, n: usize) {
        self.header(b'*', n);
    }

    /// Begins a map of `n` pairs: 2 `n` elements follow, keys and values in turn.
    #[inline]
    pub fn map(&mut self, n: usize) {
        match self.proto {
            Proto::Resp2 => self.header(b'*', 2 * n),
            Proto::Resp3 => self.header(b'%', n),
        }
    }

    /// Begins a set of `n` elements.
    #[inline]
    pub fn set(&mut self, n: usize) {
        match self.proto {
            Proto::Resp2 => self.header(b'*', n),
            Proto::Resp3 => self.header(b'~', n),
        }
    }

    /// Begins a message of `n` elements that answers no command.
    #[inline]
    pub fn push(&mut self, n: usize) {
        match self.proto {
            Proto::Resp2 => self.header(b'*', n),
            Proto::Resp3 => self.header(b'>', n),
        }
    }

    /// A double with 17 significant digits.
    pub fn double(&mut self, v: f64) {
        // As `format_f64`, without its memory.
        if v == v.trunc() && v.abs() < 1e15 && (v != 0.0 || v.is_sign_positive()) {
            return match self.proto {
                Proto::Resp2 => self.bulk_int(v as i64),
                Proto::Resp3 => self.line(b',', v as i64),
            };
        }
        let mut text = Vec::with_capacity(24);
        format_f64(v, &mut text);
        match self.proto {
            Proto::Resp2 => self.bulk(&text),
            Proto::Resp3 => self.marked(b',', &text),
        }
    }

    /// True or false.
    #[inline]
    pub fn bool(&mut self, v: bool) {
        self.raw(match (self.proto, v) {
            (Proto::Resp2, false) => b":0\r\n",
            (Proto::Resp2, true) => b":1\r\n",
            (Proto::Resp3, false) => b"#f\r\n",
            (Proto::Resp3, true) => b"#t\r\n",
        });
    }

    /// Text to be shown as it is; `format` is three characters: "txt" or "mkd".
    pub fn verbatim(&mut self, format: &str, text: &[u8]) {
        debug_assert_eq!(format.len(), 3);
        match self.proto {
            Proto::Resp2 => self.bulk(text),
            Proto::Resp3 => {
                self.header(b'=', text.len() + format.len() + 1);
                let bytes = self.out.bytes_mut();
                bytes.reserve(text.len() + format.len() + 3);
                bytes.extend_from_slice(format.as_bytes());
                bytes.push(b':');
                bytes.extend_from_slice(text);
                bytes.extend_from_slice(b"\r\n");
            }
        }
    }

    /// The digits of an integer of any size.
    pub fn big_number(&mut self, digits: &[u8]) {
        match self.proto {
            Proto::Resp2 => self.bulk(digits),
            Proto::Resp3 => self.marked(b'(', digits),
        }
    }

    /// Bytes that are a reply already.
    #[inline]
    pub fn raw(&mut self, reply: &[u8]) {
        self.out.bytes_mut().extend_from_slice(reply);
    }

    #[inline]
    fn header(&mut self, mark: u8, n: usize) {
        if n < 10 {
            self.raw(&[mark, b'0' + n as u8, b'\r', b'\n']);
        } else {
            self.line(mark, n as i64);
        }
    }

    /// The first line of a bulk string, with room for the rest.
    #[inline]
    fn bulk_length(&mut self, length: usize) {
        self.out.bytes_mut().reserve(length + LINE_BYTES_MAX + 2);
        if length < 10 {
            self.raw(&[b'$', b'0' + length as u8, b'\r', b'\n']);
        } else if length < 100 {
            self.raw(&[b'$', b'0' + (length / 10) as u8, b'0' + (length % 10) as u8, b'\r', b'\n']);
        } else {
            self.line(b'$', length as i64);
        }
    }

    fn line(&mut self, mark: u8, v: i64) {
        let mut digits = [0; 20];
        let digits = write_i64(&mut digits, v);
        self.marked(mark, digits);
    }

    #[inline]
    fn marked(&mut self, mark: u8, text: &[u8]) {
        let bytes = self.out.bytes_mut();
        bytes.reserve(text.len() + 3);
        bytes.push(mark);
        bytes.extend_from_slice(text);
        bytes.extend_from_slice(b"\r\n");
    }
}
