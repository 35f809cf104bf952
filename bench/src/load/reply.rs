//! Counting replies: finds where each one ends, what kind it is, and the text of errors; keeps nothing else.
//!
//! It reads RESP2 and RESP3 and memcached's text protocol, and goes on after any split of the bytes. An aggregate only adds to
//! the number of elements that its reply still lacks, so no depth of nesting needs memory. Bytes that are no reply are an
//! error; what is inside bulks is not looked at.

use memchr::memchr;

/// What a reply is, by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Simple = 0,
    Error = 1,
    Integer = 2,
    Bulk = 3,
    Array = 4,
    Null = 5,
    Double = 6,
    Boolean = 7,
    Map = 8,
    Set = 9,
    Big = 10,
    Verbatim = 11,
    /// RESP3 only, and never the reply to a command.
    Push = 12,
}

/// The kinds that a command may be answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected(u16);

impl Expected {
    pub const ANYTHING: Expected = Expected(u16::MAX);

    const fn any_of(kinds: &[Kind]) -> Expected {
        let mut bits = 0;
        let mut i = 0;
        while i < kinds.len() {
            bits |= 1 << kinds[i] as u16;
            i += 1;
        }
        Expected(bits)
    }

    #[inline]
    pub fn has(self, kind: Kind) -> bool {
        self.0 & 1 << kind as u16 != 0
    }

    /// What the documentation says of a command, its name in capitals; anything, for one that is not in the table.
    pub fn of_command(name: &str) -> Expected {
        const TEXT: Expected = Expected::any_of(&[Kind::Bulk, Kind::Null]);
        const STATUS: Expected = Expected::any_of(&[Kind::Simple, Kind::Null, Kind::Bulk]);
        const INTEGER: Expected = Expected::any_of(&[Kind::Integer]);
        const SCORE: Expected = Expected::any_of(&[Kind::Bulk, Kind::Double, Kind::Null, Kind::Integer]);
        const LIST: Expected = Expected::any_of(&[Kind::Array, Kind::Map, Kind::Set, Kind::Null]);
        match name {
            "GET" | "GETDEL" | "GETEX" | "GETRANGE" | "HGET" | "LINDEX" | "RANDOMKEY" | "ECHO" | "XADD" => TEXT,
            "SET" | "PING" | "GETSET" => STATUS,
            "MSET" | "SETEX" | "PSETEX" | "LSET" | "LTRIM" | "SELECT" => Expected::any_of(&[Kind::Simple]),
            "INCR" | "DECR" | "INCRBY" | "DECRBY" | "APPEND" | "STRLEN" | "SETNX" | "MSETNX" | "EXISTS" | "DEL"
            | "UNLINK" | "TOUCH" | "EXPIRE" | "PEXPIRE" | "TTL" | "PTTL" | "HSET" | "HDEL" | "HLEN" | "HEXISTS"
            | "HINCRBY" | "LPUSH" | "RPUSH" | "LLEN" | "SADD" | "SREM" | "SCARD" | "SISMEMBER" | "ZADD" | "ZREM"
            | "ZCARD" | "ZCOUNT" | "XLEN" | "PUBLISH" => INTEGER,
            "INCRBYFLOAT" | "HINCRBYFLOAT" | "ZSCORE" | "ZINCRBY" | "ZRANK" | "ZREVRANK" => SCORE,
            "MGET" | "HMGET" | "HGETALL" | "HKEYS" | "HVALS" | "LRANGE" | "SMEMBERS" | "SINTER" | "SUNION"
            | "SDIFF" | "ZRANGE" | "ZREVRANGE" | "ZRANGEBYSCORE" | "XRANGE" | "XREVRANGE" | "XREAD" => LIST,
            _ => Expected::ANYTHING,
        }
    }
}

/// What was received is no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a reply: {0}")]
pub struct Malformed(String);

/// As much of an error's text, or of a line that comes in pieces, as is kept.
const TEXT_MAX: usize = 512;

/// Where the reader is in a connection's replies.
#[derive(Clone, Debug, Default)]
pub struct Replies {
    /// Bytes of a bulk, with its line end, that are still to come.
    skip: usize,
    /// Elements that the reply under way still lacks; 0 between replies.
    lacking: u64,
    /// What the reply under way is.
    kind: Option<Kind>,
    memcached: bool,
    /// The beginning of a line that was cut.
    line: Vec<u8>,
}

impl Replies {
    pub fn new(memcached: bool) -> Replies {
        Replies { memcached, ..Replies::default() }
    }

    /// Whether all bytes seen so far are whole replies.
    pub fn between(&self) -> bool {
        self.skip == 0 && self.lacking == 0 && self.line.is_empty() && self.kind.is_none()
    }

    /// Takes in bytes and calls `reply` at the end of each reply, with its kind and, for an error, its text.
    ///
    /// # Errors
    /// The bytes are no replies; nothing after them can be told.
    #[inline]
    pub fn feed(&mut self, bytes: &[u8], mut reply: impl FnMut(Kind, &[u8])) -> Result<(), Malformed> {
        let mut rest = bytes;
        loop {
            if self.skip > 0 {
                let skipped = self.skip.min(rest.len());
                self.skip -= skipped;
                rest = &rest[skipped..];
                if self.skip > 0 {
                    return Ok(());
                }
                self.element_ended(&mut reply);
            }
            if rest.is_empty() {
                return Ok(());
            }
            if !self.line.is_empty() {
                let Some(after) = self.complete_line(rest, &mut reply)? else { return Ok(()) };
                rest = after;
                continue;
            }
            // A bulk that is all here, or whose head is: most of what servers say.
            if let [b'$', digit @ b'0'..=b'9', ..] = rest
                && !self.memcached
            {
                let mut length = usize::from(digit - b'0');
                let mut at = 2;
                while let Some(digit @ b'0'..=b'9') = rest.get(at)
                    && at < 11
                {
                    length = length * 10 + usize::from(digit - b'0');
                    at += 1;
                }
                if rest.get(at..at + 2) == Some(b"\r\n") {
                    rest = &rest[at + 2..];
                    self.begin(Kind::Bulk);
                    if rest.len() >= length + 2 {
                        rest = &rest[length + 2..];
                        self.element_ended(&mut reply);
                    } else {
                        self.skip = length + 2;
                    }
                    continue;
                }
            }
            match memchr(b'\n', rest) {
                Some(end) => {
                    self.line(&rest[..end], &mut reply)?;
                    rest = &rest[end + 1..];
                }
                None => {
                    self.line.extend_from_slice(&rest[..rest.len().min(TEXT_MAX)]);
                    return Ok(());
                }
            }
        }
    }

    /// The first element of a reply gives the reply its kind.
    #[inline]
    fn begin(&mut self, kind: Kind) {
        if self.kind.is_none() {
            self.kind = Some(kind);
            self.lacking = 1;
        }
    }

    #[inline]
    fn element_ended(&mut self, reply: &mut impl FnMut(Kind, &[u8])) {
        self.ended(reply, b"");
    }

    #[inline]
    fn ended(&mut self, reply: &mut impl FnMut(Kind, &[u8]), text: &[u8]) {
        self.lacking -= 1;
        if self.lacking == 0
            && let Some(kind) = self.kind.take()
        {
            reply(kind, if kind == Kind::Error { text } else { b"" });
        }
    }

    /// The rest of a line whose beginning came earlier. None when it does not end here either.
    #[cold]
    fn complete_line<'a>(
        &mut self,
        rest: &'a [u8],
        reply: &mut impl FnMut(Kind, &[u8]),
    ) -> Result<Option<&'a [u8]>, Malformed> {
        let (more, after) = match memchr(b'\n', rest) {
            Some(end) => (&rest[..end], Some(&rest[end + 1..])),
            None => (rest, None),
        };
        let room = TEXT_MAX.saturating_sub(self.line.len());
        self.line.extend_from_slice(&more[..more.len().min(room)]);
        if after.is_some() {
            let mut line = std::mem::take(&mut self.line);
            self.line(&line, reply)?;
            line.clear();
            self.line = line;
        }
        Ok(after)
    }

    /// One line without its `\n`.
    fn line(&mut self, line: &[u8], reply: &mut impl FnMut(Kind, &[u8])) -> Result<(), Malformed> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if self.memcached { self.memcached_line(line, reply) } else { self.resp_line(line, reply) }
    }

    fn resp_line(&mut self, line: &[u8], reply: &mut impl FnMut(Kind, &[u8])) -> Result<(), Malformed> {
        let [first, text @ ..] = line else { return Err(malformed(line)) };
        let kind = match first {
            b'+' => Kind::Simple,
            b'-' => Kind::Error,
            b':' => Kind::Integer,
            b'_' => Kind::Null,
            b',' => Kind::Double,
            b'#' => Kind::Boolean,
            b'(' => Kind::Big,
            b'$' | b'=' | b'!' => return self.bulk(*first, text, reply),
            b'*' | b'~' | b'>' | b'%' | b'|' => return self.aggregate(*first, text, reply),
            _ => return Err(malformed(line)),
        };
        self.begin(kind);
        self.ended(reply, text);
        Ok(())
    }

    fn bulk(&mut self, first: u8, text: &[u8], reply: &mut impl FnMut(Kind, &[u8])) -> Result<(), Malformed> {
        if text == b"-1" {
            self.begin(Kind::Null);
            self.ended(reply, b"");
            return Ok(());
        }
        let length = number(text).ok_or_else(|| malformed(text))?;
        self.begin(match first {
            b'$' => Kind::Bulk,
            b'=' => Kind::Verbatim,
            _ => Kind::Error,
        });
        self.skip = length as usize + 2;
        Ok(())
    }

    fn aggregate(&mut self, first: u8, text: &[u8], reply: &mut impl FnMut(Kind, &[u8])) -> Result<(), Malformed> {
        if text == b"-1" {
            self.begin(Kind::Null);
            self.ended(reply, b"");
            return Ok(());
        }
        let count = number(text).ok_or_else(|| malformed(text))?;
        let (kind, elements) = match first {
            b'*' => (Kind::Array, count),
            b'~' => (Kind::Set, count),
            b'>' => (Kind::Push, count),
            b'%' => (Kind::Map, count * 2),
            _ => {
                // Attributes come before what they describe, and are no element of anything.
                if self.kind.is_some() {
                    self.lacking = self.lacking.saturating_add(count * 2);
                } else {
                    self.kind = None;
                    self.attribute(count * 2);
                }
                return Ok(());
            }
        };
        self.begin(kind);
        self.lacking = self.lacking.saturating_add(elements);
        self.ended(reply, b"");
        Ok(())
    }

    /// Attributes in front of a reply: the reply counts as an array with all of it in.
    fn attribute(&mut self, elements: u64) {
        self.begin(Kind::Array);
        self.lacking = self.lacking.saturating_add(elements);
    }

    fn memcached_line(&mut self, line: &[u8], reply: &mut impl FnMut(Kind, &[u8])) -> Result<(), Malformed> {
        if let Some(head) = line.strip_prefix(b"VALUE ") {
            // VALUE key flags length [cas]
            let length = head.split(|&byte| byte == b' ').nth(2).and_then(number).ok_or_else(|| malformed(line))?;
            // The reply ends with END, so the block is one more element of it.
            self.begin(Kind::Bulk);
            self.lacking += 1;
            self.skip = length as usize + 2;
            return Ok(());
        }
        let kind = match line {
            b"END" => Kind::Null,
            b"STORED" | b"DELETED" | b"TOUCHED" | b"OK" | b"NOT_STORED" | b"EXISTS" | b"NOT_FOUND" => Kind::Simple,
            [b'0'..=b'9', ..] => Kind::Integer,
            _ if line.starts_with(b"VERSION ") => Kind::Simple,
            _ if line.starts_with(b"STAT ") => return Ok(()),
            _ if line.starts_with(b"ERROR")
                || line.starts_with(b"CLIENT_ERROR")
                || line.starts_with(b"SERVER_ERROR") =>
            {
                Kind::Error
            }
            _ => return Err(malformed(line)),
        };
        self.begin(kind);
        self.ended(reply, if kind == Kind::Error { line } else { b"" });
        Ok(())
    }
}

/// Up to 18 digits.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 18 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

fn malformed(bytes: &[u8]) -> Malformed {
    Malformed(bytes[..bytes.len().min(80)].escape_ascii().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(memcached: bool, pieces: &[&[u8]]) -> Result<(Vec<(Kind, String)>, bool), Malformed> {
        let mut replies = Replies::new(memcached);
        let mut found = Vec::new();
        for piece in pieces {
            replies.feed(piece, |kind, text| found.push((kind, String::from_utf8_lossy(text).into_owned())))?;
        }
        Ok((found, replies.between()))
    }

    const RESP: &[(&[u8], Kind, &str)] = &[
        (b"+OK\r\n", Kind::Simple, ""),
        (b"-ERR no such thing\r\n", Kind::Error, "ERR no such thing"),
        (b":-12\r\n", Kind::Integer, ""),
        (b"$0\r\n\r\n", Kind::Bulk, ""),
        (b"$12\r\n+OK\r\n$3\r\n-\r\n\r\n", Kind::Bulk, ""),
        (b"$-1\r\n", Kind::Null, ""),
        (b"*-1\r\n", Kind::Null, ""),
        (b"*0\r\n", Kind::Array, ""),
        (b"*2\r\n$1\r\na\r\n$-1\r\n", Kind::Array, ""),
        (b"*2\r\n*2\r\n:1\r\n*0\r\n*1\r\n-ERR inner\r\n", Kind::Array, ""),
        (b"_\r\n", Kind::Null, ""),
        (b",1.5\r\n", Kind::Double, ""),
        (b"#t\r\n", Kind::Boolean, ""),
        (b"(12345678901234567890\r\n", Kind::Big, ""),
        (b"%2\r\n+a\r\n:1\r\n+b\r\n~1\r\n:2\r\n", Kind::Map, ""),
        (b"~2\r\n:1\r\n:2\r\n", Kind::Set, ""),
        (b"=7\r\ntxt:abc\r\n", Kind::Verbatim, ""),
        (b">3\r\n$7\r\nmessage\r\n+c\r\n+m\r\n", Kind::Push, ""),
        (b"|1\r\n+ttl\r\n:5\r\n*1\r\n:2\r\n", Kind::Array, ""),
        (b"*1\r\n|1\r\n+ttl\r\n:5\r\n:2\r\n", Kind::Array, ""),
    ];

    const MEMCACHED: &[(&[u8], Kind, &str)] = &[
        (b"STORED\r\n", Kind::Simple, ""),
        (b"END\r\n", Kind::Null, ""),
        (b"VALUE k 0 5\r\nEND\r\n\r\nEND\r\n", Kind::Bulk, ""),
        (b"VALUE k 0 0\r\n\r\nVALUE l 0 1 77\r\nx\r\nEND\r\n", Kind::Bulk, ""),
        (b"NOT_FOUND\r\n", Kind::Simple, ""),
        (b"12\r\n", Kind::Integer, ""),
        (b"ERROR\r\n", Kind::Error, "ERROR"),
        (b"SERVER_ERROR out of memory\r\n", Kind::Error, "SERVER_ERROR out of memory"),
    ];

    #[test]
    fn every_reply_at_every_split() {
        for (memcached, samples) in [(false, RESP), (true, MEMCACHED)] {
            let all: Vec<u8> = samples.iter().flat_map(|sample| sample.0.iter().copied()).collect();
            let expected: Vec<(Kind, String)> = samples.iter().map(|sample| (sample.1, sample.2.to_owned())).collect();
            for cut in 0..=all.len() {
                let (found, between) = read(memcached, &[&all[..cut], &all[cut..]]).unwrap();
                assert_eq!((found, between), (expected.clone(), true), "cut at {cut}");
            }
            let bytes: Vec<&[u8]> = all.chunks(1).collect();
            assert_eq!(read(memcached, &bytes).unwrap(), (expected, true));
            for sample in samples {
                for cut in 1..sample.0.len() {
                    let (found, between) = read(memcached, &[&sample.0[..cut]]).unwrap();
                    assert!(found.is_empty() && !between, "{:?} cut at {cut}", sample.0.escape_ascii().to_string());
                }
            }
        }
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        for bytes in
            [&b"hello\r\n"[..], b"\r\n", b"$x\r\n", b"$-2\r\n", b"*1x\r\n", b"$1234567890123456789\r\n", b"*\r\n"]
        {
            assert!(read(false, &[bytes]).is_err(), "{:?}", bytes.escape_ascii().to_string());
        }
        for bytes in [&b"hello\r\n"[..], b"VALUE k 0\r\n", b"VALUE k 0 x\r\n", b"+OK\r\n"] {
            assert!(read(true, &[bytes]).is_err(), "{:?}", bytes.escape_ascii().to_string());
        }
    }

    #[test]
    fn long_texts_are_cut() {
        let long = [b"-".as_slice(), &[b'x'; 5000], b"\r\n"].concat();
        let (found, between) = read(false, &[&long[..1], &long[1..3000], &long[3000..], b"+OK\r\n"]).unwrap();
        assert!(between && found.len() == 2 && found[0].0 == Kind::Error && found[0].1.len() < TEXT_MAX);
    }

    #[test]
    fn expectations() {
        assert!(Expected::of_command("GET").has(Kind::Null));
        assert!(!Expected::of_command("GET").has(Kind::Integer));
        assert!(!Expected::of_command("INCR").has(Kind::Simple));
        assert!(Expected::of_command("WHATEVER").has(Kind::Push));
    }

    proptest! {
        /// Any split gives what no split gives, errors included; nothing panics.
        #[test]
        fn splits_change_nothing(
            picks in prop::collection::vec((0usize..RESP.len(), any::<Option<(u8, u8)>>()), 0..12),
            cuts in prop::collection::vec(0usize..200, 0..6),
        ) {
            let mut all = Vec::new();
            for (pick, damage) in picks {
                let start = all.len();
                all.extend_from_slice(RESP[pick].0);
                if let Some((at, byte)) = damage && byte < 64 {
                    let length = all.len() - start;
                    all[start + usize::from(at) % length] = byte;
                }
            }
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(all.len())).collect();
            cuts.extend([0, all.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|ends| &all[ends[0]..ends[1]]).collect();
            let (whole, split) = (read(false, &[&all]), read(false, &pieces));
            prop_assert_eq!(whole.is_ok(), split.is_ok());
            if let (Ok(whole), Ok(split)) = (whole, split) {
                prop_assert_eq!(whole, split);
            }
        }
    }
}
