//! Ready mixes of commands, by the kind of data that they work on.

use crate::load::settings::MixEntry;

/// A family's name and its commands with their weights.
type Family = (&'static str, &'static [(u32, &'static str)]);

/// What `--help` says of the option.
pub const HELP: &str =
    "A ready mix: string, counter, multi, hash, list, set, zset, stream, session, leaderboard or publish";

const FAMILIES: &[Family] = &[
    ("string", &[(9, "GET key:{key}"), (1, "SET key:{key} {value}")]),
    ("counter", &[(8, "INCR counter:{key}"), (1, "INCRBY counter:{key} {int:1..100}"), (1, "GET counter:{key}")]),
    (
        "multi",
        &[
            (
                4,
                "MGET key:{key} key:{key2} key:{key3} key:{key4} key:{key5} key:{key6} key:{key7} key:{key8} key:{key9} key:{key10}",
            ),
            (1, "MSET key:{key} {value} key:{key2} {value} key:{key3} {value}"),
        ],
    ),
    (
        "hash",
        &[
            (5, "HGET hash:{key} field:{field}"),
            (3, "HSET hash:{key} field:{field} {value}"),
            (1, "HINCRBY hash:{key} count 1"),
            (1, "HMGET hash:{key} field:{field} field:{field} field:{field}"),
        ],
    ),
    (
        "list",
        &[
            (3, "LPUSH list:{key} {value}"),
            (2, "RPOP list:{key}"),
            (1, "LPOP list:{key}"),
            (2, "LRANGE list:{key} 0 9"),
            (1, "LLEN list:{key}"),
        ],
    ),
    (
        "set",
        &[
            (4, "SADD set:{key} member:{field}"),
            (4, "SISMEMBER set:{key} member:{field}"),
            (1, "SREM set:{key} member:{field}"),
            (1, "SCARD set:{key}"),
        ],
    ),
    (
        "zset",
        &[
            (4, "ZADD zset:{key} {float:0..1000} member:{field}"),
            (3, "ZSCORE zset:{key} member:{field}"),
            (2, "ZRANGE zset:{key} 0 9"),
            (1, "ZREM zset:{key} member:{field}"),
        ],
    ),
    (
        "stream",
        &[
            (4, "XADD stream:{key} MAXLEN ~ 1000 * field {value}"),
            (1, "XRANGE stream:{key} - + COUNT 10"),
            (1, "XLEN stream:{key}"),
        ],
    ),
    (
        "session",
        &[
            (16, "GET session:{key}"),
            (2, "SET session:{key} {value} EX 1800"),
            (2, "EXPIRE session:{key} 1800"),
            (1, "DEL session:{key}"),
        ],
    ),
    (
        "leaderboard",
        &[
            (5, "ZADD board {int:0..1000000} player:{key}"),
            (3, "ZRANK board player:{key}"),
            (1, "ZRANGE board 0 9 REV WITHSCORES"),
            (1, "ZINCRBY board {int:1..100} player:{key}"),
        ],
    ),
    ("publish", &[(1, "PUBLISH news {value}")]),
];

/// The mix of a family.
///
/// # Errors
/// There is none of that name.
pub fn mix(name: &str) -> Result<Vec<MixEntry>, String> {
    let names = || FAMILIES.iter().map(|family| family.0).collect::<Vec<_>>().join(", ");
    let family = FAMILIES.iter().find(|family| family.0 == name);
    let (_, commands) = family.ok_or_else(|| format!("{name:?} is none of the families {}", names()))?;
    Ok(commands.iter().map(|&(weight, template)| MixEntry { weight, template: template.to_owned() }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::settings::Settings;

    #[test]
    fn every_family_compiles_and_is_named_in_the_help() {
        for (name, _) in FAMILIES {
            let mut settings = Settings::default();
            settings.set("family", name).unwrap();
            settings.check().unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(HELP.contains(name), "{name}");
        }
        assert!(mix("nothing").is_err());
    }
}
