//! Pipelines over three shards against a model: every reply, in order. `PINYON_SEED` repeats a run.

use std::collections::BTreeMap;

use pinyon_testkit::{Client, Random};

use super::{connect, short, start};

const KEYS: usize = 40;
const PIPELINES: usize = 150;
const COMMANDS_MAX: usize = 60;

/// What one connection expects of its own keys: nobody else touches them.
struct Model {
    keys: BTreeMap<String, String>,
    prefix: String,
}

impl Model {
    fn key(&self, random: &mut Random) -> String {
        format!("{}:{}", self.prefix, random.below(KEYS))
    }

    fn keys(&self, random: &mut Random, count_max: usize) -> Vec<String> {
        (0..1 + random.below(count_max)).map(|_| self.key(random)).collect()
    }

    fn get(&self, key: &str) -> String {
        self.keys.get(key).cloned().unwrap_or_else(|| "nil".to_owned())
    }

    fn count(&self, keys: &[String]) -> usize {
        keys.iter().filter(|key| self.keys.contains_key(*key)).count()
    }

    /// A command and the reply it must get, which the model has taken in.
    fn step(&mut self, random: &mut Random) -> (Vec<String>, String) {
        let words = |name: &str, rest: &[String]| [&[name.to_owned()], rest].concat();
        let key = self.key(random);
        let value = format!("v{}", random.below(1_000_000));
        match random.below(14) {
            0..=2 => (words("GET", std::slice::from_ref(&key)), self.get(&key)),
            3..=4 => {
                self.keys.insert(key.clone(), value.clone());
                (words("SET", &[key, value]), "OK".to_owned())
            }
            5 => {
                let number = self.keys.get(&key).map(|value| value.parse::<i64>());
                match number {
                    Some(Err(_)) => {
                        let error = "-ERR value is not an integer or out of range".to_owned();
                        (words("INCR", &[key]), error)
                    }
                    _ => {
                        let next = number.and_then(Result::ok).unwrap_or(0) + 1;
                        self.keys.insert(key.clone(), next.to_string());
                        (words("INCR", &[key]), next.to_string())
                    }
                }
            }
            6 => {
                let length = {
                    let text = self.keys.entry(key.clone()).or_default();
                    text.push_str(&value);
                    text.len()
                };
                (words("APPEND", &[key, value]), length.to_string())
            }
            7..=8 => {
                let keys = self.keys(random, 8);
                let values: Vec<String> = keys.iter().map(|key| self.get(key)).collect();
                (words("MGET", &keys), format!("[{}]", values.join(" ")))
            }
            9 => {
                let keys = self.keys(random, 8);
                let mut rest = Vec::new();
                for key in keys {
                    let value = format!("v{}", random.below(1_000_000));
                    self.keys.insert(key.clone(), value.clone());
                    rest.extend([key, value]);
                }
                (words("MSET", &rest), "OK".to_owned())
            }
            10 => {
                let keys = self.keys(random, 6);
                let removed = keys.iter().filter(|key| self.keys.remove(*key).is_some()).count();
                (words("DEL", &keys), removed.to_string())
            }
            11 => {
                let keys = self.keys(random, 6);
                let count = self.count(&keys);
                (words("EXISTS", &keys), count.to_string())
            }
            12 => {
                let other = self.key(random);
                match self.keys.remove(&key) {
                    None => (words("RENAME", &[key, other]), "-ERR no such key".to_owned()),
                    Some(value) => {
                        self.keys.insert(other.clone(), value);
                        (words("RENAME", &[key, other]), "OK".to_owned())
                    }
                }
            }
            _ => (words("ECHO", std::slice::from_ref(&value)), value),
        }
    }
}

fn seed() -> u64 {
    std::env::var("PINYON_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        since.as_nanos() as u64 & 0xffff_ffff
    })
}

/// Pipelines of random commands; several connections at once, each with keys of its own.
#[test]
fn replies_are_right_and_in_order() {
    let seed = seed();
    println!("PINYON_SEED={seed}");
    let server = start(&[]);
    std::thread::scope(|scope| {
        for number in 0..4u64 {
            let mut client = connect(&server);
            scope.spawn(move || run(&mut client, seed, number));
        }
    });
}

fn run(client: &mut Client, seed: u64, number: u64) {
    let mut random = Random::new(seed ^ (number << 32));
    let mut model = Model { keys: BTreeMap::new(), prefix: format!("c{number}") };
    for pipeline in 0..PIPELINES {
        let steps: Vec<(Vec<String>, String)> =
            (0..1 + random.below(COMMANDS_MAX)).map(|_| model.step(&mut random)).collect();
        let commands: Vec<Vec<String>> = steps.iter().map(|(words, _)| words.clone()).collect();
        let replies = client.pipeline(&commands).unwrap_or_else(|error| panic!("PINYON_SEED={seed}: {error}"));
        for (at, ((words, wanted), reply)) in steps.iter().zip(&replies).enumerate() {
            let got = short(reply);
            assert_eq!(
                &got, wanted,
                "PINYON_SEED={seed}, connection {number}, pipeline {pipeline}, command {at}: {words:?}"
            );
        }
    }
}

/// A command may arrive in any number of pieces.
#[test]
fn bytes_arrive_one_by_one() {
    let server = start(&[]);
    let mut client = connect(&server);
    let value = b"x\r\n*1\r\n";
    let mut text = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$7\r\n".to_vec();
    text.extend_from_slice(value);
    text.extend_from_slice(b"\r\nGET a\r\n*3\r\n$4\r\nMGET\r\n$1\r\na\r\n$2\r\nbc\r\n");
    for byte in text {
        client.send_raw(&[byte]).expect("room to send");
    }
    assert_eq!(client.receive().expect("a reply").as_str(), Some("OK"));
    assert_eq!(client.receive().expect("a reply").as_bytes(), Some(&value[..]));
    assert_eq!(short(&client.receive().expect("a reply")), "[x\r\n*1\r\n nil]");
}

/// 120,000 commands written before the first reply is read.
#[test]
fn a_writer_that_does_not_read_for_long() {
    const COMMANDS: usize = 60_000;
    let server = start(&[]);
    let mut client = connect(&server);
    let mut bytes = Vec::new();
    for number in 0..COMMANDS {
        bytes.extend_from_slice(format!("SET k{} {number}\r\nGET k{}\r\n", number % 1000, number % 1000).as_bytes());
    }
    client.send_raw(&bytes).expect("the server takes all of it");
    for number in 0..COMMANDS {
        assert_eq!(client.receive().expect("a reply").as_str(), Some("OK"));
        assert_eq!(client.receive().expect("a reply").as_str(), Some(number.to_string().as_str()));
    }
}

/// Commands with too few words, or just enough, behind some whose replies come from other shards.
#[test]
fn short_commands_behind_hops() {
    const LEFT_OUT: &[&str] = &["shutdown", "quit", "monitor"];
    let server = start(&[]);
    let names = connect(&server).line("COMMAND LIST").expect("a reply");
    let names: Vec<&str> = names.as_array().expect("names").iter().filter_map(|name| name.as_str()).collect();
    assert!(names.len() > 200, "{} commands", names.len());
    for name in names.into_iter().filter(|name| !LEFT_OUT.contains(name)) {
        for rest in [&[][..], &["other"], &["other", "1"]] {
            let mut commands: Vec<Vec<&str>> = ["a", "b", "c", "d", "e", "f"].map(|key| vec!["GET", key]).to_vec();
            commands.push([&[name], rest].concat());
            let replies = connect(&server).pipeline(&commands);
            let replies = replies.unwrap_or_else(|error| panic!("{name} {rest:?}: {error}"));
            assert_eq!(replies.len(), commands.len(), "{name} {rest:?}");
        }
    }
}
