//! The words that generated calls are made of: keys that collide, values at the edges of encodings, numbers at the edges
//! of ranges, and junk.
//!
//! Values are short, most of them: what grows without bound (APPEND in a loop, SETRANGE far out) would make LCS and the
//! comparison slow without finding more.

use crate::Random;

/// Keys: some share a slot by their tags, some look odd. The first ones are chosen most.
const KEYS: &[&[u8]] = &[
    b"a",
    b"b",
    b"c",
    b"k1",
    b"k2",
    b"k3",
    b"{t}a",
    b"{t}b",
    b"{t}c",
    b"{u}a",
    b"{u}b",
    b"key:{t}:1",
    b"counter",
    b"float",
    b"hello",
    b"hallo",
    b"hxllo",
    b"key:000000000001",
    b"key:000000000002",
    b"user:{1000}:name",
    b"user:{1000}:mail",
    b"12",
    b"-3",
    b"{}",
    b"{}x",
    b"foo{}{bar}",
    b"foo{{bar}}zap",
    b"with space",
    b"h*llo",
    b"[x]",
    b"K1",
    b"\x00\xff\r\n\"",
    b"",
    &[b'L'; 127],
    &[b'L'; 128],
    &[b'M'; 300],
];

/// Keys that nothing is stored under, most of the time.
const ABSENT: &[&[u8]] = &[b"nokey", b"no:{t}:key", b"{u}nokey"];

/// Whether these bytes are one of the keys that calls are made with.
pub(super) fn is_key(bytes: &[u8]) -> bool {
    KEYS.contains(&bytes) || ABSENT.contains(&bytes)
}

/// Chooses keys for one call; with a tag chosen for the call, all in one slot.
pub(super) struct KeyChoice {
    tag: Option<&'static [u8]>,
}

impl KeyChoice {
    pub fn new(random: &mut Random) -> KeyChoice {
        let tag: Option<&[u8]> = match random.below(5) {
            0 => Some(b"{t}"),
            1 => Some(b"{u}"),
            _ => None,
        };
        KeyChoice { tag }
    }

    pub fn key(&self, random: &mut Random) -> Vec<u8> {
        if let Some(tag) = self.tag {
            return [tag, random.pick(&[&b"a"[..], b"b", b"c", b"a", b"b", b"nokey"])].concat();
        }
        let (first, all) = (12, KEYS.len());
        match random.below(10) {
            0..=5 => KEYS[random.below(first)].to_vec(),
            6..=8 => KEYS[random.below(all)].to_vec(),
            _ => random.pick(ABSENT).to_vec(),
        }
    }
}

const WORDS: &[&[u8]] =
    &[b"", b"a", b"b", b"0", b"1", b"-1", b"10", b"hello", b"ohmytext", b"mynewtext", b"Hello World", b"foo", b"bar"];

/// Texts that are nearly integers, or integers at an end.
const NEARLY_INTEGERS: &[&[u8]] = &[
    b"9223372036854775807",
    b"9223372036854775806",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"-9223372036854775809",
    b"18446744073709551615",
    b"99999999999999999999",
    b"2147483647",
    b"2147483648",
    b"-2147483648",
    b"4294967296",
    b"+5",
    b"007",
    b"-0",
    b" 1",
    b"1 ",
    b"0x1f",
    b"1.0",
    b"1e3",
    b"",
    b"-",
    b"abc",
    b"9999",
    b"10000",
];

const FLOATS: &[&[u8]] = &[
    b"0.1",
    b"-0.1",
    b"1.5",
    b"3.0",
    b"10.50",
    b"5.0e3",
    b"1e-17",
    b"1e-18",
    b"-2.5",
    b"1e30",
    b"123456789.123456789",
    b"0x1p4",
    b"inf",
    b"-inf",
    b"+inf",
    b"Infinity",
    b"nan",
    b"1e4932",
    b"1e5000",
    b"-1e4932",
    b"1e-5000",
    b".5",
    b"5.",
    b".",
    b"1,5",
    b"1.2.3",
    b" 1.5",
    b"1.5 ",
    b"0.00000000000000001",
    b"99999999999999999999999999",
];

const PATTERNS: &[&[u8]] = &[
    b"*",
    b"**",
    b"",
    b"?",
    b"k*",
    b"k?",
    b"[a-c]",
    b"[^a-c]*",
    b"h?llo",
    b"h*llo",
    b"h\\*llo",
    b"h[^a]llo",
    b"h[ae]llo",
    b"*t*",
    b"*{t}*",
    b"{t}?",
    b"nomatch",
    b"[",
    b"[^",
    b"\\",
    b"*\\",
    b"[a-",
    b"\\[x\\]",
    b"*1",
    b"*L*L*M*",
    b"K*",
];

/// A string value.
pub(super) fn value(random: &mut Random) -> Vec<u8> {
    match random.below(200) {
        0..=89 => random.pick(WORDS).to_vec(),
        90..=129 => random.between(-1000, 1000).to_string().into_bytes(),
        130..=144 => random.pick(NEARLY_INTEGERS).to_vec(),
        145..=164 => random.pick(FLOATS).to_vec(),
        165..=184 => {
            const LENGTHS: &[usize] = &[3, 10, 20, 43, 44, 45, 46, 63, 64, 100, 126, 127, 128, 129, 300];
            let length = LENGTHS[random.below(LENGTHS.len())];
            (0..length).map(|_| b"abcdefgh"[random.below(8)]).collect()
        }
        185..=198 => {
            let length = random.below(20);
            random.bytes(length)
        }
        _ => {
            const LARGE: &[usize] = &[1000, 4095, 4096, 4097, 6000];
            vec![b'x'; LARGE[random.below(LARGE.len())]]
        }
    }
}

/// A key's name as a value, or nothing like it: for arguments that no rule knows.
pub(super) fn integer(random: &mut Random) -> Vec<u8> {
    match random.below(20) {
        0..=11 => random.between(-5, 20).to_string().into_bytes(),
        12..=15 => random.between(-300, 300).to_string().into_bytes(),
        _ => random.pick(NEARLY_INTEGERS).to_vec(),
    }
}

pub(super) fn float(random: &mut Random) -> Vec<u8> {
    match random.below(10) {
        0..=2 => random.between(-1000, 1000).to_string().into_bytes(),
        3..=5 => format!("{}.{:03}", random.between(-99, 99), random.below(1000)).into_bytes(),
        6 => random.pick(NEARLY_INTEGERS).to_vec(),
        _ => random.pick(FLOATS).to_vec(),
    }
}

pub(super) fn pattern(random: &mut Random) -> Vec<u8> {
    random.pick(PATTERNS).to_vec()
}

pub(super) fn database(random: &mut Random) -> Vec<u8> {
    match random.below(12) {
        0..=8 => random.below(4).to_string().into_bytes(),
        9 => b"15".to_vec(),
        _ => random.pick(&[&b"16"[..], b"-1", b"abc", b"", b"9223372036854775808", b"2147483648"]).to_vec(),
    }
}

/// What the argument of this name may be, where its kind alone says too little. None: nothing special.
pub(super) fn named(random: &mut Random, name: &str) -> Option<Vec<u8>> {
    let choices: &[&[u8]] = match name {
        "index" | "index1" | "index2" | "db" | "destination-db" => return Some(database(random)),
        "cursor" => &[b"0", b"0", b"0", b"0", b"0", b"17", b"abc", b"-1", b" 0", b"18446744073709551616", b""],
        // Few, so that they meet.
        "field" if !random.one_in(5) => &[b"f1", b"f2", b"f3", b"f4", b"12", b"", b"a"],
        "type" => &[b"string", b"STRING", b"list", b"hash", b"nosuchtype", b""],
        "count" => &[b"1", b"2", b"10", b"100", b"1000", b"0", b"-1", b"abc"],
        "protover" => &[b"2", b"3", b"2", b"3", b"1", b"4", b"abc"],
        // Of a client that is not there: the numbers of those that are differ between servers.
        "client-id" => &[b"987654321", b"987654322", b"0", b"-1", b"abc"],
        "connection-name" | "clientname" => &[b"worker-1", b"w", b"", b"with space", b"new\nline", b"\xc3\xa9"],
        "username" => &[b"default", b"nobody"],
        "slot" => &[b"0", b"12182", b"16383", b"16384", b"-1", b"abc", b""],
        "node-id" => &[b"0123456789012345678901234567890123456789", b"x", b""],
        "section" => {
            &[b"server", b"clients", b"memory", b"stats", b"cpu", b"keyspace", b"default", b"all", b"nosuchsection"]
        }
        "command-name" | "command" => &[
            b"get",
            b"SET",
            b"mget",
            b"msetnx",
            b"expire",
            b"copy",
            b"rename",
            b"lcs",
            b"object",
            b"object|freq",
            b"client|list",
            b"scan",
            b"memory|usage",
            b"nosuch",
            b"client|nosuch",
            b"incrbyfloat",
            b"getex",
            b"del",
            b"ping",
            b"select",
            b"hello",
            b"info",
        ],
        "category" => &[b"string", b"keyspace", b"nosuchcategory"],
        "module-name" => &[b"nosuchmodule"],
        "min" | "max" | "stop" => &[
            b"-inf", b"+inf", b"0", b"1", b"-1", b"2", b"10", b"100", b"(1", b"(10", b"-5", b"(-inf", b"1e30", b"(",
            b"nan", b"", b"-", b"+", b"[a", b"(b", b"[hello", b"(1.5",
        ],
        // Distances and places that find something.
        "longitude" => &[b"13.361389", b"15.087269", b"2.349", b"-0.1", b"13.4", b"179.99", b"-180", b"181", b"abc"],
        // Not the very end, 85.05112878: a search around it misses in Redis what lies on the other half of the world.
        "latitude" => &[b"38.115556", b"37.502669", b"48.86", b"51.5", b"38", b"85.05112", b"85.06", b"-85.06", b"abc"],
        "radius" | "width" | "height" => &[b"0", b"1", b"200", b"1000", b"20000", b"0.5", b"1e7", b"-1", b"abc"],
        "parameter" => &[b"maxmemory", b"maxmemory-policy", b"proto-max-bulk-len", b"nosuchparameter", b"timeout"],
        "event" => &[b"command", b"nosuchevent"],
        "group" | "groupname" => &[b"g", b"g", b"h", b"nogroup"],
        "consumer" | "consumername" => &[b"c1", b"c2"],
        "min-idle-time" | "ms" => &[b"0", b"0", b"0", b"100000000", b"abc"],
        "encoding" => &[b"i8", b"u8", b"i5", b"u1", b"i64", b"u63", b"u64", b"x"],
        "operation" => &[b"and", b"OR", b"xor", b"not", b"nand"],
        "subcommand" => &[b"encoding", b"todense", b"getreg", b"decode", b"what"],
        "id" | "last-id" | "max_deleted_entry_id" | "threshold" => return Some(stream_id(random)),
        "start" | "end" if random.one_in(3) => return Some(stream_id(random)),
        "offset" => return Some(random.between(-2, 300).to_string().into_bytes()),
        _ => return None,
    };
    Some(random.pick(choices).to_vec())
}

/// IDs of stream entries: few, so that they meet.
fn stream_id(random: &mut Random) -> Vec<u8> {
    const IDS: &[&[u8]] = &[b"$", b">", b">", b"-", b"+", b"(5-1", b"0", b"3", b"9-*", b"20-*", b"x", b"0-0"];
    if random.one_in(2) {
        random.pick(IDS).to_vec()
    } else {
        format!("{}-{}", random.below(25), random.below(4)).into_bytes()
    }
}
