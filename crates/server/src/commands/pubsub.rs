//! SUBSCRIBE and its likes, PUBLISH, SPUBLISH, PUBSUB.

use std::collections::BTreeSet;

use pinyon_base::glob_match;
use pinyon_engine::CommandError;
use pinyon_engine::command::server::help;

use super::{Call, Result};
use crate::core::{Core, Io};
use crate::kept::Kept;
use crate::pubsub::Kind;

/// The first word of the confirmations.
fn word(kind: Kind, subscribes: bool) -> &'static str {
    match (kind, subscribes) {
        (Kind::Channel, true) => "subscribe",
        (Kind::Channel, false) => "unsubscribe",
        (Kind::Pattern, true) => "psubscribe",
        (Kind::Pattern, false) => "punsubscribe",
        (Kind::Shard, true) => "ssubscribe",
        (Kind::Shard, false) => "sunsubscribe",
    }
}

pub fn subscribe(core: &mut Core, io: &mut Io, call: &Call<'_>, kind: Kind) -> Result {
    if kind == Kind::Shard && core.tx.capture.is_some() {
        return Err(CommandError::text("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client"));
    }
    // Whoever begins to listen does not hear of what was before.
    core.publish_events(io);
    for name in call.args.iter().skip(1) {
        let count = core.subscribe(call.conn, kind, name);
        confirm(core, io, call, word(kind, true), Some(name), count);
    }
    Ok(())
}

pub fn unsubscribe(core: &mut Core, io: &mut Io, call: &Call<'_>, kind: Kind) -> Result {
    core.publish_events(io);
    let word = word(kind, false);
    for name in call.args.iter().skip(1) {
        let count = core.unsubscribe(call.conn, kind, name);
        confirm(core, io, call, word, Some(name), count);
    }
    if call.args.len() > 1 {
        return Ok(());
    }
    let own = core.sessions.get(call.conn).and_then(|session| session.subscriptions.as_ref());
    let (names, shown) = own.map_or((Vec::new(), 0), |own| (own.names(kind), own.shown(kind)));
    if names.is_empty() {
        confirm(core, io, call, word, None, shown);
    }
    for name in names {
        let count = core.unsubscribe(call.conn, kind, &name);
        confirm(core, io, call, word, Some(&name), count);
    }
    Ok(())
}

fn confirm(core: &mut Core, io: &mut Io, call: &Call<'_>, word: &str, name: Option<&[u8]>, count: usize) {
    core.confirm(io, call.conn, |out| {
        out.push(3);
        out.bulk_str(word);
        match name {
            Some(name) => out.bulk(name),
            None => out.null(),
        }
        out.int(count as i64);
    });
}

pub fn publish(core: &mut Core, io: &mut Io, call: &Call<'_>, kind: Kind) -> Result {
    core.publish(io, call.conn, kind, call.args.get(1), call.args.get(2));
    Ok(())
}

pub fn help(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    super::reply_help(core, io, call, help::PUBSUB);
    Ok(())
}

/// The cores that PUBSUB asks: all, and on a core's own port that one. A cluster's clients add up what its nodes say.
fn asked(core: &Core, call: &Call<'_>) -> Vec<u16> {
    core.shards_meant(call.conn)
}

pub fn channels(core: &mut Core, io: &mut Io, call: &Call<'_>, kind: Kind) -> Result {
    if call.args.len() > 3 {
        return Err(super::wrong_subcommand(call.args, "'. Try PUBSUB HELP."));
    }
    let pattern = (call.args.len() == 3).then(|| call.args.get(2).to_vec());
    let ticket = core.promise(call.conn);
    let names = move |core: &mut Core, _: &mut Io| -> Vec<Vec<u8>> {
        let wanted = |name: &&[u8]| pattern.as_ref().is_none_or(|pattern| glob_match(pattern, name, false));
        core.pubsub.listeners(kind).names().filter(wanted).map(<[u8]>::to_vec).collect()
    };
    core.gather(io, &asked(core, call), names, move |core, io, parts| {
        let all: BTreeSet<Vec<u8>> = parts.into_iter().flatten().collect();
        core.fulfil(io, ticket, |out| {
            out.array(all.len());
            all.iter().for_each(|name| out.bulk(name));
        });
    });
    Ok(())
}

pub fn numpat(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let ticket = core.promise(call.conn);
    let names = move |core: &mut Core, _: &mut Io| -> Vec<Vec<u8>> {
        core.pubsub.listeners(Kind::Pattern).names().map(<[u8]>::to_vec).collect()
    };
    core.gather(io, &asked(core, call), names, move |core, io, parts| {
        let all: BTreeSet<Vec<u8>> = parts.into_iter().flatten().collect();
        core.fulfil(io, ticket, |out| out.int(all.len() as i64));
    });
    Ok(())
}

pub fn numsub(core: &mut Core, io: &mut Io, call: &Call<'_>, kind: Kind) -> Result {
    let ticket = core.promise(call.conn);
    let args = std::sync::Arc::new(Kept::new(call.args.iter()));
    let names = args.clone();
    let counts = move |core: &mut Core, _: &mut Io| -> Vec<usize> {
        names.args().iter().skip(2).map(|name| core.pubsub.listeners(kind).count(name)).collect()
    };
    core.gather(io, &asked(core, call), counts, move |core, io, parts| {
        core.fulfil(io, ticket, |out| {
            let args = args.args();
            out.array(2 * (args.len() - 2));
            for (at, name) in args.iter().skip(2).enumerate() {
                out.bulk(name);
                out.int(parts.iter().map(|counts| counts[at] as i64).sum());
            }
        });
    });
    Ok(())
}
