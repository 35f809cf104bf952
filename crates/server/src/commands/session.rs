//! AUTH, ECHO, HELLO, PING, QUIT, RESET, SELECT: what concerns one connection and needs no other core.

use pinyon_base::DbIndex;
use pinyon_base::number::parse_i64;
use pinyon_engine::CommandError;
use pinyon_engine::command::key::transfer::db_index;
use pinyon_resp::{Proto, Writer};

use super::{Call, Result};
use crate::core::{Core, Io};
use crate::session::{Session, SessionFlags};

/// The version of Redis whose commands and replies Pinyon follows; clients look at it.
pub const REDIS_VERSION: &str = "7.2.0";

const WRONG_PASSWORD: CommandError =
    CommandError::text("WRONGPASS invalid username-password pair or user is disabled.");

pub fn ping(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    if call.args.len() > 2 {
        return Err(CommandError::WrongArity("ping".into()));
    }
    let listens = core.sessions.get(call.conn).is_some_and(|s| s.flags.contains(SessionFlags::ONLY_LISTENS));
    core.reply(io, call.conn, |out| match call.args.len() {
        // As the messages that it is among.
        _ if listens => {
            out.array(2);
            out.bulk_str("pong");
            out.bulk(if call.args.len() > 1 { call.args.get(1) } else { b"" });
        }
        1 => out.simple("PONG"),
        _ => out.bulk(call.args.get(1)),
    });
    Ok(())
}

pub fn echo(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    core.reply(io, call.conn, |out| out.bulk(call.args.get(1)));
    Ok(())
}

pub fn quit(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    core.reply(io, call.conn, |out| out.ok());
    core.close_after_output(io, call.conn);
    Ok(())
}

pub fn select(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let db = match db_index(call.args.get(1), core.settings.databases) {
        Ok(DbIndex(0)) => DbIndex(0),
        Ok(_) | Err(CommandError::DbOutOfRange) if core.is_on_core_port(call.conn) => {
            return Err(CommandError::text("ERR SELECT is not allowed in cluster mode"));
        }
        other => other?,
    };
    if let Some(session) = core.sessions.get_mut(call.conn) {
        session.db = db;
    }
    core.reply(io, call.conn, |out| out.ok());
    Ok(())
}

pub fn reset(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let authenticated = core.settings.password.is_none();
    core.discard(io, call.conn);
    core.unsubscribe_all(call.conn);
    let Some(session) = core.sessions.get_mut(call.conn) else { return Ok(()) };
    let monitored = session.flags.contains(SessionFlags::MONITOR);
    session.reset(authenticated);
    if monitored {
        core.monitors.remove(call.conn);
        core.announce_monitors(io);
    }
    core.reply(io, call.conn, |out| out.simple("RESET"));
    Ok(())
}

pub fn auth(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let (user, password) = match call.args.len() {
        2 if core.settings.password.is_none() => {
            return Err(CommandError::text(
                "ERR AUTH <password> called without any password configured for the default user. \
                 Are you sure your configuration is correct?",
            ));
        }
        2 => (&b"default"[..], call.args.get(1)),
        3 => (call.args.get(1), call.args.get(2)),
        _ => return Err(CommandError::Syntax),
    };
    authenticate(core, call, user, password)?;
    core.reply(io, call.conn, |out| out.ok());
    Ok(())
}

/// Lets the connection in if the pair is right. There is one user, "default".
fn authenticate(core: &mut Core, call: &Call<'_>, user: &[u8], password: &[u8]) -> Result {
    let right = match &core.settings.password {
        None => true,
        Some(wanted) => same_bytes(wanted.as_bytes(), password),
    };
    if user != b"default" || !right {
        return Err(WRONG_PASSWORD);
    }
    if let Some(session) = core.sessions.get_mut(call.conn) {
        session.flags.insert(SessionFlags::AUTHENTICATED);
    }
    Ok(())
}

/// Compares in a time that does not tell how much of the guess is right.
fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    let mut difference = a.len() ^ b.len();
    for (i, &byte) in b.iter().enumerate() {
        difference |= usize::from(a.get(i).copied().unwrap_or(!byte) ^ byte);
    }
    difference == 0
}

/// Each option takes effect as it is met, also when a later one is wrong.
pub fn hello(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let args = call.args;
    let proto = match args.len() {
        1 => None,
        _ => Some(protocol_version(args.get(1))?),
    };
    let mut at = 2;
    while at < args.len() {
        let left = args.len() - 1 - at;
        let option = args.get(at);
        if option.eq_ignore_ascii_case(b"AUTH") && left >= 2 {
            authenticate(core, call, args.get(at + 1), args.get(at + 2))?;
            at += 3;
        } else if option.eq_ignore_ascii_case(b"SETNAME") && left >= 1 {
            set_name(core, call, args.get(at + 1))?;
            at += 2;
        } else {
            return Err(CommandError::quoting("ERR Syntax error in HELLO option '", option, "'"));
        }
    }
    let Some(session) = core.sessions.get_mut(call.conn) else { return Ok(()) };
    if !session.flags.contains(SessionFlags::AUTHENTICATED) {
        return Err(CommandError::text(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH \
             <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
        ));
    }
    if let Some(proto) = proto {
        session.proto = proto;
        session.mark_subscriber();
    }
    let (id, proto) = (session.id, session.proto);
    let mode = mode(core.is_on_core_port(call.conn));
    core.reply(io, call.conn, |out| greet(out, id, proto, mode));
    Ok(())
}

fn protocol_version(text: &[u8]) -> std::result::Result<Proto, CommandError> {
    match parse_i64(text) {
        Some(2) => Ok(Proto::Resp2),
        Some(3) => Ok(Proto::Resp3),
        Some(_) => Err(CommandError::text("NOPROTO unsupported protocol version")),
        None => Err(CommandError::text("ERR Protocol version is not an integer or out of range")),
    }
}

/// Gives the connection a name, or none when it is empty.
pub fn set_name(core: &mut Core, call: &Call<'_>, name: &[u8]) -> Result {
    if !is_printable(name) {
        return Err(CommandError::text("ERR Client names cannot contain spaces, newlines or special characters."));
    }
    if let Some(session) = core.sessions.get_mut(call.conn) {
        session.details.name = name.to_vec();
    }
    Ok(())
}

/// Whether a client name or library name has only visible ASCII.
pub fn is_printable(text: &[u8]) -> bool {
    text.iter().all(|&byte| (b'!'..=b'~').contains(&byte))
}

/// What HELLO and INFO call the kind of server; a core's own port is a cluster node's.
pub fn mode(on_core_port: bool) -> &'static str {
    if on_core_port { "cluster" } else { "standalone" }
}

fn greet(out: &mut Writer<'_>, id: u64, proto: Proto, mode: &str) {
    out.map(7);
    out.bulk_str("server");
    out.bulk_str("redis");
    out.bulk_str("version");
    out.bulk_str(REDIS_VERSION);
    out.bulk_str("proto");
    out.int(if proto == Proto::Resp3 { 3 } else { 2 });
    out.bulk_str("id");
    out.int(id as i64);
    out.bulk_str("mode");
    out.bulk_str(mode);
    out.bulk_str("role");
    out.bulk_str("master");
    out.bulk_str("modules");
    out.array(0);
}

/// Whether the session may do what only a local connection may ("local" in the enable-* directives).
pub fn is_local(session: &Session) -> bool {
    session.details.peer.is_loopback()
}
