//! LCS: the longest common subsequence of two strings, its length, or the ranges where it lies.
//!
//! Of several longest ones the reply is the one that Redis finds: walking back from both ends, it drops a byte of the
//! first string only where that keeps strictly more. The table of lengths is computed and kept as one bit per pair of
//! positions.

use pinyon_base::parse_i64;
use pinyon_resp::{Args, Writer};

use super::string;
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec, Spread};
use crate::keyspace::{Key, Keyspace};
use crate::{CommandError, Cx, Effect};

pub const LCS: Command = Command {
    name: "lcs",
    arity: -3,
    flags: Flags::READONLY,
    categories: Categories::STRING,
    keys: &[KeySpec::range(1, 1, 1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::String,
    since: "7.0.0",
    complexity: "O(N*M) in the lengths of the two strings.",
    summary: "Replies the longest common subsequence of two strings, its length, or where it lies in each.",
    args: &[
        Arg::key("key1", 0),
        Arg::key("key2", 0),
        Arg::token("len", "LEN").optional(),
        Arg::token("idx", "IDX").optional(),
        Arg::new("len", ArgKind::Integer).with_token("MINMATCHLEN").optional(),
        Arg::token("withmatchlen", "WITHMATCHLEN").optional(),
    ],
    handler: Handler::Spread(Spread::Lcs, lcs),
    ..Command::EMPTY
};

/// The error for a key that holds something else than a string.
const NOT_STRINGS: CommandError = CommandError::text("ERR The specified keys must contain string values");

fn lcs(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let mut text = |at: usize| {
        let key = cx.ks.key(args, at);
        text(&mut cx.ks, key)
    };
    // Both are looked up before anything is complained of.
    let (a, b) = (text(1), text(2));
    let (a, b) = (a?, b?);
    let options = LcsOptions::parse(args, cx.ks.string_bytes_max())?;
    lcs_of(&a, &b, options, &mut cx.out)?;
    Ok(Effect::None)
}

/// The text under a key, an empty one when there is none.
pub fn text(ks: &mut Keyspace<'_>, key: Key<'_>) -> Result<Vec<u8>, CommandError> {
    match ks.read(key) {
        Some(value) => Ok(string(value).map_err(|_| NOT_STRINGS)?.to_vec()),
        None => Ok(Vec::new()),
    }
}

/// What LCS is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LcsOptions {
    ask: Ask,
    /// Shorter ranges are left out.
    match_len_min: u64,
    with_match_len: bool,
    /// Refused when a table of four bytes per pair of positions would be larger, as Redis refuses it.
    table_bytes_max: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Text,
    Length,
    Ranges,
}

impl LcsOptions {
    /// Reads the options after the two keys. `table_bytes_max` is `proto-max-bulk-len`.
    pub fn parse(args: Args<'_>, table_bytes_max: u64) -> Result<LcsOptions, CommandError> {
        let (mut len, mut idx, mut with_match_len, mut match_len_min) = (false, false, false, 0);
        let mut at = 3;
        while at < args.len() {
            let option = args.get(at);
            if option.eq_ignore_ascii_case(b"LEN") {
                len = true;
            } else if option.eq_ignore_ascii_case(b"IDX") {
                idx = true;
            } else if option.eq_ignore_ascii_case(b"WITHMATCHLEN") {
                with_match_len = true;
            } else if option.eq_ignore_ascii_case(b"MINMATCHLEN") && at + 1 < args.len() {
                at += 1;
                match_len_min = parse_i64(args.get(at)).ok_or(CommandError::NotInteger)?.max(0) as u64;
            } else {
                return Err(CommandError::Syntax);
            }
            at += 1;
        }
        let ask = match (idx, len) {
            (true, true) => {
                return Err(CommandError::text("ERR If you want both the length and indexes, please just use IDX."));
            }
            (true, false) => Ask::Ranges,
            (false, true) => Ask::Length,
            (false, false) => Ask::Text,
        };
        Ok(LcsOptions { ask, match_len_min, with_match_len, table_bytes_max })
    }
}

/// Computes the reply of LCS for two strings and writes it.
pub fn lcs_of(a: &[u8], b: &[u8], options: LcsOptions, out: &mut Writer<'_>) -> Result<(), CommandError> {
    if a.len().max(b.len()) >= u32::MAX as usize - 1 {
        return Err(CommandError::text("ERR String too long for LCS"));
    }
    let table_bytes = (a.len() as u64 + 1).checked_mul(b.len() as u64 + 1).and_then(|n| n.checked_mul(4));
    if table_bytes.is_none_or(|bytes| bytes > options.table_bytes_max) {
        return Err(CommandError::text("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"));
    }
    match options.ask {
        Ask::Length => {
            out.int(common_length(a, b) as i64);
        }
        Ask::Text => {
            let table = Table::new(a, b);
            let mut text: Vec<u8> = Vec::with_capacity(table.length);
            table.walk(a, b, |i, _| text.push(a[i]));
            text.reverse();
            out.bulk(&text);
        }
        Ask::Ranges => {
            let table = Table::new(a, b);
            let mut ranges: Vec<Common> = Vec::new();
            table.walk(a, b, |i, j| match ranges.last_mut() {
                Some(range) if range.a == i + 1 && range.b == j + 1 => {
                    *range = Common { a: i, b: j, len: range.len + 1 };
                }
                _ => ranges.push(Common { a: i, b: j, len: 1 }),
            });
            ranges.retain(|range| range.len as u64 >= options.match_len_min);
            write_ranges(&ranges, table.length, options.with_match_len, out);
        }
    }
    Ok(())
}

/// A run of equal bytes: where it begins in each string.
struct Common {
    a: usize,
    b: usize,
    len: usize,
}

fn write_ranges(ranges: &[Common], length: usize, with_match_len: bool, out: &mut Writer<'_>) {
    out.map(2);
    out.bulk(b"matches");
    out.array(ranges.len());
    for range in ranges {
        out.array(2 + usize::from(with_match_len));
        for start in [range.a, range.b] {
            out.array(2);
            out.int(start as i64);
            out.int((start + range.len - 1) as i64);
        }
        if with_match_len {
            out.int(range.len as i64);
        }
    }
    out.bulk(b"len");
    out.int(length as i64);
}

/// The lengths for all beginnings of the second string, 64 of them at a time.
///
/// With `L(i, j)` the length for the first `i` bytes of `a` and the first `j` of `b`, row `i` has one bit for each `j
/// > 0`: 0 where `L(i, j) = L(i, j-1) + 1`, 1 where the two are equal. The next row follows from it by an addition,
/// whose carries move each step to the first equal byte behind the step before (Crochemore, Iliopoulos, Pinzon and
/// Reid, 2001). Bits beyond the end of `b` stay 1.
struct Rows {
    words: usize,
    /// For each byte of `a`, which of its masks is the byte's own.
    mask_of: [usize; 256],
    /// `words` words for each distinct byte of `a`, with a 1 for each equal byte of `b`.
    masks: Vec<u64>,
}

impl Rows {
    fn new(a: &[u8], b: &[u8]) -> Rows {
        const NONE: usize = usize::MAX;
        let words = b.len().div_ceil(64);
        let mut mask_of = [NONE; 256];
        let mut distinct = 0;
        for &byte in a {
            let mask = &mut mask_of[usize::from(byte)];
            if *mask == NONE {
                *mask = distinct;
                distinct += 1;
            }
        }
        let mut masks = vec![0; distinct * words];
        for (j, &byte) in b.iter().enumerate() {
            let mask = mask_of[usize::from(byte)];
            if mask != NONE {
                masks[mask * words + j / 64] |= 1 << (j % 64);
            }
        }
        Rows { words, mask_of, masks }
    }

    /// The row before any byte of `a`.
    fn first(&self) -> Vec<u64> {
        vec![u64::MAX; self.words]
    }

    /// Turns the row before `byte` of `a` into the row after it.
    fn step(&self, row: &mut [u64], byte: u8) {
        let mask = self.mask_of[usize::from(byte)] * self.words;
        let mut carry = false;
        for (word, equal) in row.iter_mut().zip(&self.masks[mask..mask + self.words]) {
            let (sum, over) = word.overflowing_add(*word & equal);
            let (sum, over_by_carry) = sum.overflowing_add(u64::from(carry));
            carry = over | over_by_carry;
            *word = sum | (*word & !equal);
        }
    }
}

/// The length that a row ends with.
fn length_of(row: &[u64]) -> usize {
    row.iter().map(|word| word.count_zeros() as usize).sum()
}

/// The length of the longest common subsequence.
fn common_length(a: &[u8], b: &[u8]) -> usize {
    let rows = Rows::new(a, b);
    let mut row = rows.first();
    for &byte in a {
        rows.step(&mut row, byte);
    }
    length_of(&row)
}

/// All rows, kept for the walk back.
struct Table {
    words: usize,
    rows: Vec<u64>,
    /// Of the longest common subsequence.
    length: usize,
}

impl Table {
    fn new(a: &[u8], b: &[u8]) -> Table {
        let stepper = Rows::new(a, b);
        let words = stepper.words;
        let mut row = stepper.first();
        let mut rows = Vec::with_capacity(a.len() * words);
        for &byte in a {
            stepper.step(&mut row, byte);
            rows.extend_from_slice(&row);
        }
        Table { words, rows, length: length_of(&row) }
    }

    /// Calls `common` with the positions of each common byte in both strings, from the last to the first.
    fn walk(&self, a: &[u8], b: &[u8], mut common: impl FnMut(usize, usize)) {
        let (mut i, mut j) = (a.len(), b.len());
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                (i, j) = (i - 1, j - 1);
                common(i, j);
                continue;
            }
            // The last bytes differ, so a step here can only come from the row above: L(i-1, j) > L(i, j-1).
            let word = self.rows[(i - 1) * self.words + (j - 1) / 64];
            if word >> ((j - 1) % 64) & 1 == 0 {
                i -= 1;
            } else {
                j -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use pinyon_resp::{Output, Proto};
    use proptest::prelude::*;

    use super::*;
    use crate::command::trial::Trial;
    use crate::keyspace::ShardConfig;

    /// Redis's manual's own two strings.
    fn texts() -> Trial {
        let mut t = Trial::new();
        t.run("mset a ohmytext b mynewtext");
        t
    }

    /// Replies asked of redis-server 7.0.15.
    #[test]
    fn text_length_and_ranges() {
        let mut t = texts();
        let all = "*4 $7 matches *2 *2 *2 :4 :7 *2 :5 :8 *2 *2 :2 :3 *2 :0 :1 $3 len :6";
        t.expect(&[
            ("lcs a b", "$6 mytext"),
            ("lcs b a", "$6 mytext"),
            ("lcs a b len", ":6"),
            ("lcs a b idx", all),
            ("lcs a b IDX MINMATCHLEN 0", all),
            ("lcs a b idx minmatchlen -7", all),
            ("lcs a b idx minmatchlen 4", "*4 $7 matches *1 *2 *2 :4 :7 *2 :5 :8 $3 len :6"),
            ("lcs a b idx minmatchlen 4 withmatchlen", "*4 $7 matches *1 *3 *2 :4 :7 *2 :5 :8 :4 $3 len :6"),
            ("lcs a b idx minmatchlen 5", "*4 $7 matches *0 $3 len :6"),
            ("lcs a b minmatchlen 5 withmatchlen", "$6 mytext"),
            ("lcs a nokey", "$0"),
            ("lcs nokey a len", ":0"),
            ("rpush l x", ":1"),
            ("lcs a l what", "-ERR The specified keys must contain string values"),
            ("lcs nokey nokey idx", "*4 $7 matches *0 $3 len :0"),
        ]);
        t.proto = Proto::Resp3;
        assert_eq!(t.run("lcs a nokey idx"), "%2 $7 matches *0 $3 len :0");
    }

    #[test]
    fn errors() {
        let mut t = texts();
        t.expect(&[
            ("lcs a b idx len", "-ERR If you want both the length and indexes, please just use IDX."),
            ("lcs a b len minmatchlen", "-ERR syntax error"),
            ("lcs a b minmatchlen x foo", "-ERR value is not an integer or out of range"),
            ("lcs a b foo minmatchlen x", "-ERR syntax error"),
        ]);
        let mut t = Trial::with(ShardConfig { string_bytes_max: 360, ..ShardConfig::default() });
        t.run("mset a ohmytext b mynewtext c mynewtexts");
        t.expect(&[
            ("lcs a b len", ":6"),
            ("lcs a c len", "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"),
        ]);
    }

    /// The definition, row by row, with the choice that the reply has to make.
    fn by_definition(a: &[u8], b: &[u8]) -> (usize, Vec<(usize, usize)>) {
        let mut lengths = vec![vec![0; b.len() + 1]; a.len() + 1];
        for i in 1..=a.len() {
            for j in 1..=b.len() {
                lengths[i][j] = if a[i - 1] == b[j - 1] {
                    lengths[i - 1][j - 1] + 1
                } else {
                    lengths[i - 1][j].max(lengths[i][j - 1])
                };
            }
        }
        let (mut i, mut j) = (a.len(), b.len());
        let mut common = Vec::new();
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                (i, j) = (i - 1, j - 1);
                common.push((i, j));
            } else if lengths[i - 1][j] > lengths[i][j - 1] {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        (lengths[a.len()][b.len()], common)
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(
            a in prop::collection::vec(0..4u8, 0..150),
            b in prop::collection::vec(1..5u8, 0..150),
        ) {
            let (length, common) = by_definition(&a, &b);
            prop_assert_eq!(common_length(&a, &b), length);
            let table = Table::new(&a, &b);
            prop_assert_eq!(table.length, length);
            let mut walked = Vec::new();
            table.walk(&a, &b, |i, j| walked.push((i, j)));
            prop_assert_eq!(walked, common);
        }
    }

    #[test]
    fn equal_strings_are_one_range() {
        let text = vec![b'x'; 200];
        let options = LcsOptions { ask: Ask::Ranges, match_len_min: 0, with_match_len: true, table_bytes_max: 1 << 20 };
        let mut output = Output::default();
        lcs_of(&text, &text, options, &mut Writer { out: &mut output, proto: Proto::Resp2 }).expect("fits");
        let reply = output.pieces().collect::<Vec<_>>().concat();
        let expected =
            "*4\r\n$7\r\nmatches\r\n*1\r\n*3\r\n*2\r\n:0\r\n:199\r\n*2\r\n:0\r\n:199\r\n:200\r\n$3\r\nlen\r\n:200\r\n";
        assert_eq!(String::from_utf8(reply).expect("text"), expected);
    }
}
