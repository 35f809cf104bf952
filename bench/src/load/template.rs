//! Commands with places to fill in, compiled once and rendered for every request.
//!
//! A template is a command as typed into redis-cli, quotes and all, with placeholders in its words: `{key}` (and `{key2}` to
//! `{key16}`, drawn on their own), `{value}`, `{field}`, `{int:A..B}`, `{float:A..B}`, `{seq}`, `{conn}`. `{{` and `}}` are braces.
//!
//! Keys and fields have a fixed width, so most of a command is bytes that never change: it is copied, and the digits are put
//! over it. Only words whose length differs from one request to the next are put together. Nothing is allocated.
//!
//! ```text
//! SET key:{key} {value}, a million keys, 8 bytes:   one Fixed piece
//!   *3\r\n$3\r\nSET\r\n$10\r\nkey:......\r\n$8\r\n........\r\n
//!                               ^ Key, 6 digits       ^ Value, 8 bytes
//! ```

use pinyon_base::{Slot, slot_of, split_args};

use crate::load::keys::Keys;
use crate::load::random::Random;
use crate::load::reply::Expected;
use crate::load::values::{Contents, Sizes};

/// `{key}` to `{key16}`.
pub const KEYS_MAX: usize = 16;
/// Longer values are cut out of the pool where they are needed, and not kept in the template, too.
const FIXED_VALUE_MAX: usize = 1024;

/// What rendering draws from: one per thread.
#[derive(Debug)]
pub struct Source {
    pub random: Random,
    pub keys: Keys,
    pub sizes: Sizes,
    pub contents: Contents,
    /// `{field}` is below this.
    pub fields: u64,
    /// The next `{seq}`, and how far apart this thread's are.
    pub sequence: u64,
    pub sequence_step: u64,
    scratch: Vec<u8>,
}

impl Source {
    pub fn new(random: Random, keys: Keys, sizes: Sizes, contents: Contents, fields: u64) -> Source {
        Source { random, keys, sizes, contents, fields, sequence: 0, sequence_step: 1, scratch: Vec::new() }
    }
}

/// What a template needs to know of the run.
#[derive(Clone, Debug)]
pub struct Shape {
    pub keys: u64,
    pub fields: u64,
    pub sizes: Sizes,
    pub memcached: bool,
}

/// A command, ready to be rendered.
#[derive(Clone, Debug)]
pub struct Template {
    name: String,
    pieces: Vec<Piece>,
    /// How many of `{key}` … `{key16}` occur.
    keys: usize,
    /// The first word with a key in it, for routing.
    key_word: Option<Vec<Part>>,
    expected: Expected,
    key_width: usize,
    field_width: usize,
}

#[derive(Clone, Debug)]
enum Piece {
    Fixed {
        bytes: Vec<u8>,
        patches: Vec<Patch>,
    },
    /// An argument of RESP whose length is known only when it is drawn.
    Argument(Vec<Part>),
    /// Text of another protocol, without a length before it.
    Plain(Vec<Part>),
    /// Memcached's length and block of data.
    Block,
}

#[derive(Clone, Copy, Debug)]
struct Patch {
    at: usize,
    length: usize,
    what: Fill,
}

#[derive(Clone, Copy, Debug)]
enum Fill {
    Key(u8),
    Field,
    Value,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(Vec<u8>),
    Key(u8),
    Value,
    Field,
    Int(i64, i64),
    Float(f64, f64),
    Sequence,
    Connection,
}

impl Template {
    /// Compiles a command line.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub fn compile(line: &str, shape: &Shape) -> Result<Template, String> {
        let words = split_args(line.as_bytes()).ok_or_else(|| format!("unbalanced quotes in {line:?}"))?;
        let [name, ..] = &words[..] else { return Err("a command needs a name".to_owned()) };
        let name = String::from_utf8_lossy(name).to_ascii_uppercase();
        let words = words.iter().map(|word| parts(word)).collect::<Result<Vec<_>, _>>()?;
        let digits = |count: u64| count.saturating_sub(1).max(1).ilog10() as usize + 1;
        let used = words.iter().flatten().filter_map(|part| if let Part::Key(n) = part { Some(n + 1) } else { None });
        let keys = usize::from(used.max().unwrap_or(0));
        let has_key = |word: &&Vec<Part>| word.iter().any(|part| matches!(part, Part::Key(_)));
        let mut template = Template {
            expected: if shape.memcached { Expected::ANYTHING } else { Expected::of_command(&name) },
            name,
            pieces: Vec::new(),
            keys,
            key_word: words.iter().find(has_key).cloned(),
            key_width: digits(shape.keys),
            field_width: digits(shape.fields),
        };
        if shape.memcached {
            template.compile_memcached(&words, &shape.sizes)?;
        } else {
            template.fixed(format!("*{}\r\n", words.len()).as_bytes());
            for word in &words {
                template.argument(word, &shape.sizes);
            }
        }
        Ok(template)
    }

    /// The command's name in capitals.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which replies belong to it.
    pub fn expected(&self) -> Expected {
        self.expected
    }

    /// Whether the slot of its first key can be known before it is rendered: nothing but keys and text is in that word.
    pub fn can_be_routed(&self) -> bool {
        let Some(word) = &self.key_word else { return true };
        word.iter().all(|part| matches!(part, Part::Key(_) | Part::Text(_)))
    }

    /// Appends one command for connection number `connection`.
    #[inline]
    pub fn render(&self, out: &mut Vec<u8>, source: &mut Source, connection: u32) {
        let mut keys = [0; KEYS_MAX];
        for key in &mut keys[..self.keys] {
            *key = source.keys.next(&mut source.random);
        }
        self.render_with(out, source, connection, &keys);
    }

    /// As [`Template::render`], with a first key whose slot `wanted` accepts. Gives up after many draws and takes the last.
    pub fn render_routed(
        &self,
        out: &mut Vec<u8>,
        source: &mut Source,
        connection: u32,
        wanted: impl Fn(Slot) -> bool,
    ) {
        /// Beyond any sensible number of nodes; a node without slots must not hold the thread up for good.
        const DRAWS_MAX: usize = 100_000;
        let mut keys = [0; KEYS_MAX];
        for key in &mut keys[..self.keys] {
            *key = source.keys.next(&mut source.random);
        }
        if let Some(word) = &self.key_word {
            let mut scratch = std::mem::take(&mut source.scratch);
            for _ in 0..DRAWS_MAX {
                scratch.clear();
                for part in word {
                    self.part(part, &mut scratch, source, connection, &keys);
                }
                if wanted(slot_of(&scratch)) {
                    break;
                }
                for key in &mut keys[..self.keys] {
                    *key = source.keys.next(&mut source.random);
                }
            }
            source.scratch = scratch;
        }
        self.render_with(out, source, connection, &keys);
    }

    #[inline]
    fn render_with(&self, out: &mut Vec<u8>, source: &mut Source, connection: u32, keys: &[u64; KEYS_MAX]) {
        for piece in &self.pieces {
            match piece {
                Piece::Fixed { bytes, patches } => {
                    let start = out.len();
                    out.extend_from_slice(bytes);
                    for patch in patches {
                        let place = &mut out[start + patch.at..][..patch.length];
                        match patch.what {
                            Fill::Key(which) => write_digits(place, keys[usize::from(which)]),
                            Fill::Field => write_digits(place, source.random.below(source.fields)),
                            Fill::Value => {
                                place.copy_from_slice(source.contents.cut(patch.length, &mut source.random));
                            }
                        }
                    }
                }
                Piece::Argument(parts) => self.render_argument(parts, out, source, connection, keys),
                Piece::Plain(parts) => {
                    for part in parts {
                        self.part(part, out, source, connection, keys);
                    }
                }
                Piece::Block => {
                    let length = source.sizes.draw(&mut source.random);
                    write_number(out, length as u64);
                    out.extend_from_slice(b"\r\n");
                    out.extend_from_slice(source.contents.cut(length, &mut source.random));
                    out.extend_from_slice(b"\r\n");
                }
            }
        }
    }

    fn render_argument(
        &self,
        parts: &[Part],
        out: &mut Vec<u8>,
        source: &mut Source,
        connection: u32,
        keys: &[u64; KEYS_MAX],
    ) {
        out.push(b'$');
        if let [Part::Value] = parts {
            let length = source.sizes.draw(&mut source.random);
            write_number(out, length as u64);
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(source.contents.cut(length, &mut source.random));
        } else {
            let mut scratch = std::mem::take(&mut source.scratch);
            scratch.clear();
            for part in parts {
                self.part(part, &mut scratch, source, connection, keys);
            }
            write_number(out, scratch.len() as u64);
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(&scratch);
            source.scratch = scratch;
        }
        out.extend_from_slice(b"\r\n");
    }

    fn part(&self, part: &Part, out: &mut Vec<u8>, source: &mut Source, connection: u32, keys: &[u64; KEYS_MAX]) {
        let random = &mut source.random;
        match part {
            Part::Text(text) => out.extend_from_slice(text),
            Part::Key(which) => padded(out, keys[usize::from(*which)], self.key_width),
            Part::Field => padded(out, random.below(source.fields), self.field_width),
            Part::Value => {
                let length = source.sizes.draw(random);
                out.extend_from_slice(source.contents.cut(length, random));
            }
            Part::Int(low, high) => {
                let width = high.abs_diff(*low).saturating_add(1);
                let number = low.wrapping_add_unsigned(random.below(width));
                if number < 0 {
                    out.push(b'-');
                }
                write_number(out, number.unsigned_abs());
            }
            Part::Float(low, high) => {
                // Six decimals, as much as tells scores apart; printed as an integer, so nothing is allocated.
                let number = low + random.unit() * (high - low);
                if number < 0.0 {
                    out.push(b'-');
                }
                let millionths = (number.abs() * 1e6) as u64;
                write_number(out, millionths / 1_000_000);
                out.push(b'.');
                padded(out, millionths % 1_000_000, 6);
            }
            Part::Sequence => {
                write_number(out, source.sequence);
                source.sequence = source.sequence.wrapping_add(source.sequence_step);
            }
            Part::Connection => write_number(out, u64::from(connection)),
        }
    }

    // ------------------------------------------------------------------------------------------------------- compiling

    /// Appends bytes that never change.
    fn fixed(&mut self, text: &[u8]) {
        if let Some(Piece::Fixed { bytes, .. }) = self.pieces.last_mut() {
            bytes.extend_from_slice(text);
        } else {
            self.pieces.push(Piece::Fixed { bytes: text.to_vec(), patches: Vec::new() });
        }
    }

    fn fill(&mut self, what: Fill, length: usize) {
        self.fixed(&[]);
        if let Some(Piece::Fixed { bytes, patches }) = self.pieces.last_mut() {
            patches.push(Patch { at: bytes.len(), length, what });
            bytes.resize(bytes.len() + length, b'.');
        }
    }

    /// The length of a part where it is always the same.
    fn fixed_length(&self, part: &Part, sizes: &Sizes) -> Option<usize> {
        match (part, sizes) {
            (Part::Text(text), _) => Some(text.len()),
            (Part::Key(_), _) => Some(self.key_width),
            (Part::Field, _) => Some(self.field_width),
            (Part::Value, Sizes::Fixed(length)) if *length <= FIXED_VALUE_MAX => Some(*length),
            _ => None,
        }
    }

    /// Parts that all have a fixed length.
    fn fixed_parts(&mut self, parts: &[Part], sizes: &Sizes) {
        for part in parts {
            let length = self.fixed_length(part, sizes).unwrap_or(0);
            match part {
                Part::Text(text) => self.fixed(text),
                Part::Key(which) => self.fill(Fill::Key(*which), length),
                Part::Field => self.fill(Fill::Field, length),
                _ => self.fill(Fill::Value, length),
            }
        }
    }

    fn argument(&mut self, parts: &[Part], sizes: &Sizes) {
        let lengths: Option<Vec<usize>> = parts.iter().map(|part| self.fixed_length(part, sizes)).collect();
        match lengths {
            Some(lengths) => {
                self.fixed(format!("${}\r\n", lengths.iter().sum::<usize>()).as_bytes());
                self.fixed_parts(parts, sizes);
                self.fixed(b"\r\n");
            }
            None => self.pieces.push(Piece::Argument(parts.to_vec())),
        }
    }

    /// A word of a protocol that is only text.
    fn plain(&mut self, parts: &[Part], sizes: &Sizes) {
        if parts.iter().all(|part| self.fixed_length(part, sizes).is_some()) {
            self.fixed_parts(parts, sizes);
        } else {
            self.pieces.push(Piece::Plain(parts.to_vec()));
        }
    }

    /// The same command in memcached's words.
    fn compile_memcached(&mut self, words: &[Vec<Part>], sizes: &Sizes) -> Result<(), String> {
        let arguments = &words[1..];
        let verb = self.name.to_ascii_lowercase();
        match (&*verb, arguments) {
            ("get" | "mget" | "gets", keys) if !keys.is_empty() => {
                self.fixed(if verb == "gets" { b"gets" } else { b"get" });
                for key in keys {
                    self.fixed(b" ");
                    self.plain(key, sizes);
                }
                self.fixed(b"\r\n");
            }
            ("set" | "add" | "replace" | "append" | "prepend", [key, value, rest @ ..]) => {
                let expiry: &[Part] = match rest {
                    [] => &[Part::Text(b"0".to_vec())],
                    [option, seconds] if *option == [Part::Text(b"EX".to_vec())] => seconds,
                    _ => return Err(format!("memcached's {verb} takes a key, a value and perhaps EX seconds")),
                };
                self.fixed(verb.as_bytes());
                self.fixed(b" ");
                self.plain(key, sizes);
                self.fixed(b" 0 ");
                self.plain(expiry, sizes);
                self.fixed(b" ");
                self.block(value, sizes)?;
            }
            ("del" | "delete", [key]) => self.line("delete", &[key.as_slice()], sizes),
            ("incr" | "decr", [key]) => self.line(&verb, &[key, &[Part::Text(b"1".to_vec())]], sizes),
            ("incr" | "decr", [key, by]) => self.line(&verb, &[key, by], sizes),
            ("incrby" | "decrby", [key, by]) => self.line(&verb[..4], &[key, by], sizes),
            ("touch", [key, seconds]) => self.line("touch", &[key, seconds], sizes),
            ("ping" | "version", []) => self.line("version", &[], sizes),
            _ => {
                return Err(format!(
                    "memcached's text protocol has no {} with {} arguments",
                    self.name,
                    arguments.len()
                ));
            }
        }
        Ok(())
    }

    fn line(&mut self, verb: &str, words: &[&[Part]], sizes: &Sizes) {
        self.fixed(verb.as_bytes());
        for word in words {
            self.fixed(b" ");
            self.plain(word, sizes);
        }
        self.fixed(b"\r\n");
    }

    /// The length of a value, and the value.
    fn block(&mut self, value: &[Part], sizes: &Sizes) -> Result<(), String> {
        let lengths: Option<Vec<usize>> = value.iter().map(|part| self.fixed_length(part, sizes)).collect();
        match (lengths, value) {
            (Some(lengths), _) => {
                self.fixed(format!("{}\r\n", lengths.iter().sum::<usize>()).as_bytes());
                self.fixed_parts(value, sizes);
                self.fixed(b"\r\n");
                Ok(())
            }
            (None, [Part::Value]) => {
                self.pieces.push(Piece::Block);
                Ok(())
            }
            _ => Err("with memcached a value of a length that varies is {value} alone".to_owned()),
        }
    }
}

/// The parts of one word.
fn parts(word: &[u8]) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut text = Vec::new();
    let mut rest = word;
    loop {
        match rest {
            [] => break,
            [b'{', b'{', after @ ..] => {
                text.push(b'{');
                rest = after;
            }
            [b'}', b'}', after @ ..] => {
                text.push(b'}');
                rest = after;
            }
            [b'{', after @ ..] => {
                let end = memchr::memchr(b'}', after).ok_or_else(|| {
                    format!("a {{ without its }} in {:?}: braces themselves are written twice", word.escape_ascii())
                })?;
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                }
                parts.push(placeholder(&String::from_utf8_lossy(&after[..end]))?);
                rest = &after[end + 1..];
            }
            [b'}', ..] => {
                return Err(format!(
                    "a }} without its {{ in {}: braces themselves are written twice",
                    word.escape_ascii()
                ));
            }
            [byte, after @ ..] => {
                text.push(*byte);
                rest = after;
            }
        }
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(parts)
}

fn placeholder(name: &str) -> Result<Part, String> {
    let (name, range) = name.split_once(':').map_or((name, None), |(name, range)| (name, Some(range)));
    let part = match (name, range) {
        ("key", None) => Part::Key(0),
        ("value", None) => Part::Value,
        ("field", None) => Part::Field,
        ("seq", None) => Part::Sequence,
        ("conn", None) => Part::Connection,
        ("float", None) => Part::Float(0.0, 1.0),
        ("int", Some(range)) => {
            let (low, high) = ends::<i64>(range)?;
            Part::Int(low, high)
        }
        ("float", Some(range)) => {
            let (low, high) = ends::<f64>(range)?;
            if low.abs() > 1e12 || high.abs() > 1e12 {
                return Err(format!("{range:?}: floats are made with six decimals and up to 1e12"));
            }
            Part::Float(low, high)
        }
        _ => match name.strip_prefix("key").and_then(|number| number.parse::<u8>().ok()) {
            Some(number @ 2..=16) if range.is_none() => Part::Key(number - 1),
            _ => {
                return Err(format!(
                    "no placeholder {{{name}}}: there are {{key}} {{key2}}…{{key16}} {{value}} {{field}} {{int:A..B}} {{float:A..B}} {{seq}} {{conn}}"
                ));
            }
        },
    };
    Ok(part)
}

fn ends<N: std::str::FromStr + PartialOrd>(range: &str) -> Result<(N, N), String> {
    let ends = range.split_once("..").and_then(|(low, high)| Some((low.parse().ok()?, high.parse().ok()?)));
    ends.filter(|(low, high): &(N, N)| low <= high).ok_or_else(|| format!("{range:?} is no range A..B"))
}

static PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut n = 0;
    while n < 100 {
        pairs[n] = [b'0' + (n / 10) as u8, b'0' + (n % 10) as u8];
        n += 1;
    }
    pairs
};

/// Fills `place` with the last digits of `number`, zeros in front.
#[inline]
fn write_digits(place: &mut [u8], mut number: u64) {
    let mut end = place.len();
    while end >= 2 {
        place[end - 2..end].copy_from_slice(&PAIRS[(number % 100) as usize]);
        number /= 100;
        end -= 2;
    }
    if end == 1 {
        place[0] = b'0' + (number % 10) as u8;
    }
}

/// Appends the last `width` digits.
fn padded(out: &mut Vec<u8>, number: u64, width: usize) {
    let start = out.len();
    out.resize(start + width, b'0');
    write_digits(&mut out[start..], number);
}

/// Appends a number without zeros in front.
fn write_number(out: &mut Vec<u8>, number: u64) {
    padded(out, number, number.max(1).ilog10() as usize + 1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::keys::Distribution;

    fn shape(keys: u64, sizes: &str, memcached: bool) -> Shape {
        Shape { keys, fields: 100, sizes: sizes.parse().unwrap(), memcached }
    }

    fn source(shape: &Shape) -> Source {
        let mut random = Random::new(5);
        let contents = Contents::new(shape.sizes.max(), &mut random);
        let keys = Keys::new(Distribution::Sequential, shape.keys, 0, 1);
        Source::new(random, keys, shape.sizes.clone(), contents, shape.fields)
    }

    fn render(line: &str, shape: &Shape) -> String {
        let template = Template::compile(line, shape).unwrap();
        let mut source = source(shape);
        let mut out = Vec::new();
        template.render(&mut out, &mut source, 7);
        template.render(&mut out, &mut source, 7);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn fixed_commands_are_one_piece() {
        let shape = shape(1_000_000, "0", false);
        let template = Template::compile("SET key:{key} {value}", &shape).unwrap();
        assert!(matches!(&template.pieces[..], [Piece::Fixed { patches, .. }] if patches.len() == 2), "{template:?}");
        assert_eq!(template.name(), "SET");
        assert_eq!(
            render("SET key:{key} {value}", &shape),
            "*3\r\n$3\r\nSET\r\n$10\r\nkey:000000\r\n$0\r\n\r\n*3\r\n$3\r\nSET\r\n$10\r\nkey:000001\r\n$0\r\n\r\n"
        );
    }

    #[test]
    fn words_of_any_length_get_their_length() {
        let shape = shape(11, "3..5", false);
        let text = render("xadd 's p' {key}{key2} {int:-3..-3} {float:0.5..0.5} {conn} {seq} {{{value}}}", &shape);
        let mut rest = text.as_bytes();
        for round in 0..2 {
            let mut words = Vec::new();
            assert!(rest.starts_with(b"*8\r\n"), "{text}");
            rest = &rest[4..];
            for _ in 0..8 {
                let end = memchr::memmem::find(rest, b"\r\n").unwrap();
                let length: usize = std::str::from_utf8(&rest[1..end]).unwrap().parse().unwrap();
                words.push(std::str::from_utf8(&rest[end + 2..][..length]).unwrap().to_owned());
                assert_eq!(&rest[end + 2 + length..][..2], b"\r\n");
                rest = &rest[end + 4 + length..];
            }
            assert_eq!(words[..2], ["xadd", "s p"]);
            assert_eq!(words[2], ["0001", "0203"][round]);
            assert_eq!(words[3..6], ["-3", "0.500000", "7"]);
            assert_eq!(words[6], ["0", "1"][round]);
            assert!(words[7].starts_with('{') && words[7].ends_with('}') && (5..=7).contains(&words[7].len()));
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn memcached_says_the_same_in_its_words() {
        let fixed = shape(10, "2", true);
        let text = render("SET k{key} {value}", &fixed);
        assert_eq!(text.len(), 2 * "set k0 0 0 2\r\nxx\r\n".len());
        assert!(text.starts_with("set k0 0 0 2\r\n"), "{text}");
        assert_eq!(render("get k{key}", &fixed), "get k0\r\nget k1\r\n");
        assert_eq!(render("MGET {key} {key2}", &fixed), "get 0 1\r\nget 2 3\r\n");
        assert_eq!(render("INCR c", &fixed), "incr c 1\r\nincr c 1\r\n");
        assert_eq!(render("del c{conn}", &fixed), "delete c7\r\ndelete c7\r\n");
        assert!(render("set k x EX 60", &fixed).starts_with("set k 0 60 1\r\nx\r\n"));
        let text = render("set k {value}", &shape(10, "1..3", true));
        let (head, block) = text.split_once("\r\n").unwrap();
        let length: usize = head.rsplit(' ').next().unwrap().parse().unwrap();
        assert_eq!(&block[length..length + 2], "\r\n");
        for line in ["ZADD k 1 m", "get", "set k"] {
            assert!(Template::compile(line, &fixed).is_err(), "{line}");
        }
    }

    #[test]
    fn routed_commands_have_a_key_of_the_slots_wanted() {
        let shape = shape(1000, "1", false);
        let template = Template::compile("SET a{key} {value}", &shape).unwrap();
        assert!(template.can_be_routed());
        assert!(!Template::compile("SET a{key}{int:1..9} x", &shape).unwrap().can_be_routed());
        let mut source = source(&shape);
        for _ in 0..100 {
            let mut out = Vec::new();
            template.render_routed(&mut out, &mut source, 0, |slot| slot.0 < 4096);
            let text = String::from_utf8(out).unwrap();
            let key = text.split("\r\n").nth(4).unwrap();
            assert!(slot_of(key.as_bytes()).0 < 4096, "{key}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        let shape = shape(10, "1", false);
        for (line, complaint) in [
            ("", "name"),
            ("get 'x", "quotes"),
            ("get {kye}", "{kye}"),
            ("get {key17}", "{key17}"),
            ("get {key", "without its }"),
            ("get key}", "without its {"),
            ("incrby k {int:5..1}", "5..1"),
            ("incrby k {int}", "{int}"),
            ("zadd k {float:1..x} m", "1..x"),
            ("get {key:1..2}", "{key}"),
        ] {
            let error = Template::compile(line, &shape).unwrap_err();
            assert!(error.contains(complaint), "{line}: {error}");
        }
    }

    #[test]
    fn digits_are_padded_and_cut() {
        for (width, number, text) in [(0, 5, ""), (1, 5, "5"), (2, 5, "05"), (3, 1234, "234"), (5, 12345, "12345")] {
            let mut place = vec![b'x'; width];
            write_digits(&mut place, number);
            assert_eq!(place, text.as_bytes());
        }
        for number in [0, 9, 10, 99, 100, 12345678901234567890] {
            let mut out = Vec::new();
            write_number(&mut out, number);
            assert_eq!(out, number.to_string().as_bytes());
        }
    }
}
