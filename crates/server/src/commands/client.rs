//! CLIENT: what a connection says of itself, and what one may ask of all connections of all cores.

use pinyon_base::number::parse_i64;
use pinyon_engine::command::registry::registry;
use pinyon_engine::command::server::help;
use pinyon_engine::{CommandError, until_nul};
use pinyon_resp::Proto;
use pinyon_runtime::ConnId;

use super::session::{is_printable, set_name};
use super::{Call, Result};
use crate::core::{Core, Io};
use crate::pubsub;
use crate::session::{Session, SessionFlags};

pub fn id(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let id = core.sessions.get(call.conn).map_or(0, |session| session.id);
    core.reply(io, call.conn, |out| out.int(id as i64));
    Ok(())
}

pub fn getname(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let name = core.sessions.get(call.conn).map_or_else(Vec::new, |session| session.details.name.clone());
    core.reply(io, call.conn, |out| if name.is_empty() { out.null() } else { out.bulk(&name) });
    Ok(())
}

pub fn setname(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    set_name(core, call, call.args.get(2))?;
    core.reply(io, call.conn, |out| out.ok());
    Ok(())
}

pub fn setinfo(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let (option, value) = (call.args.get(2), until_nul(call.args.get(3)));
    let Some(session) = core.sessions.get_mut(call.conn) else { return Ok(()) };
    let field = if option.eq_ignore_ascii_case(b"lib-name") {
        &mut session.details.lib_name
    } else if option.eq_ignore_ascii_case(b"lib-ver") {
        &mut session.details.lib_version
    } else {
        return Err(CommandError::quoting("ERR Unrecognized option '", option, "'"));
    };
    if !is_printable(value) {
        return Err(CommandError::quoting("ERR ", option, " cannot contain spaces, newlines or special characters."));
    }
    *field = value.to_vec();
    core.reply(io, call.conn, |out| out.ok());
    Ok(())
}

pub fn getredir(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    core.reply(io, call.conn, |out| out.int(-1));
    Ok(())
}

pub fn trackinginfo(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    core.reply(io, call.conn, |out| {
        out.map(3);
        out.bulk_str("flags");
        out.set(1);
        out.bulk_str("off");
        out.bulk_str("redirect");
        out.int(-1);
        out.bulk_str("prefixes");
        out.array(0);
    });
    Ok(())
}

pub fn help(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    super::reply_help(core, io, call, help::CLIENT);
    Ok(())
}

pub fn reply(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let mode = call.args.get(2);
    let Some(session) = core.sessions.get_mut(call.conn) else { return Ok(()) };
    if mode.eq_ignore_ascii_case(b"on") {
        session.flags.remove(SessionFlags::REPLY_OFF | SessionFlags::REPLY_SKIP);
        core.reply(io, call.conn, |out| out.ok());
    } else if mode.eq_ignore_ascii_case(b"off") {
        session.flags.insert(SessionFlags::REPLY_OFF);
    } else if mode.eq_ignore_ascii_case(b"skip") {
        if !session.flags.contains(SessionFlags::REPLY_OFF) {
            session.flags.insert(SessionFlags::REPLY_SKIP_NEXT);
        }
    } else {
        return Err(CommandError::Syntax);
    }
    Ok(())
}

pub fn no_evict(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    switch(core, io, call, SessionFlags::NO_EVICT)
}

pub fn no_touch(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    switch(core, io, call, SessionFlags::NO_TOUCH)
}

fn switch(core: &mut Core, io: &mut Io, call: &Call<'_>, flag: SessionFlags) -> Result {
    let value = call.args.get(2);
    let on = match value {
        _ if value.eq_ignore_ascii_case(b"on") => true,
        _ if value.eq_ignore_ascii_case(b"off") => false,
        _ => return Err(CommandError::Syntax),
    };
    if let Some(session) = core.sessions.get_mut(call.conn) {
        session.flags.set(flag, on);
    }
    core.reply(io, call.conn, |out| out.ok());
    Ok(())
}

pub fn pause(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let args = call.args;
    let writes_only = match args.len() {
        3 => false,
        4 if args.get(3).eq_ignore_ascii_case(b"write") => true,
        4 if args.get(3).eq_ignore_ascii_case(b"all") => false,
        4 => return Err(CommandError::text("ERR CLIENT PAUSE mode must be WRITE or ALL")),
        _ => return Err(CommandError::Syntax),
    };
    let timeout = parse_i64(args.get(2)).ok_or(CommandError::text("ERR timeout is not an integer or out of range"))?;
    if timeout < 0 {
        return Err(CommandError::text("ERR timeout is negative"));
    }
    let until = io.now_ms().saturating_add(timeout);
    // A pause never gets weaker by a second call.
    let (until, writes_only) = match core.pause.until_ms {
        0 => (until, writes_only),
        before => (until.max(before), writes_only && core.pause.writes_only),
    };
    // Answered before the pause begins here, as the pause holds the answer back otherwise.
    let ticket = core.promise(call.conn);
    core.gather_all(
        io,
        move |core, _| core.set_pause(until, writes_only),
        move |core, io, _| core.fulfil(io, ticket, |out| out.ok()),
    );
    Ok(())
}

pub fn unpause(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let ticket = core.promise(call.conn);
    core.gather_all(io, |core, _| core.set_pause(0, false), move |core, io, _| core.fulfil(io, ticket, |out| out.ok()));
    Ok(())
}

pub fn unblock(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let args = call.args;
    match args.len() {
        3 => {}
        4 if args.get(3).eq_ignore_ascii_case(b"timeout") || args.get(3).eq_ignore_ascii_case(b"error") => {}
        4 => return Err(CommandError::text("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")),
        _ => return Err(super::wrong_subcommand(args, "'. Try CLIENT HELP.")),
    }
    let client = parse_i64(args.get(2)).ok_or(CommandError::NotInteger)?;
    let Ok(client) = u64::try_from(client) else {
        core.reply(io, call.conn, |out| out.int(0));
        return Ok(());
    };
    let with_error = args.len() == 4 && args.get(3).eq_ignore_ascii_case(b"error");
    let ticket = core.promise(call.conn);
    // On the client's core it takes until its shards have confirmed.
    let share = move || {
        let mut asked = None;
        move |core: &mut Core, io: &mut Io| match asked
            .get_or_insert_with(|| core.unblock_client(io, client, with_error))
        {
            None => Some(false),
            Some(number) => core.unblock_verdict(*number),
        }
    };
    core.gather_slices(io, share, move |core, io, verdicts: Vec<bool>| {
        let unblocked = verdicts.contains(&true);
        core.fulfil(io, ticket, |out| out.int(i64::from(unblocked)));
    });
    Ok(())
}

pub fn info(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let own = Some((call.conn, call.args.bytes.len()));
    let Some(session) = core.sessions.get(call.conn) else { return Ok(()) };
    let line = describe(session, io, own);
    core.reply(io, call.conn, |out| out.verbatim("txt", line.as_bytes()));
    Ok(())
}

/// Which clients CLIENT LIST and CLIENT KILL mean.
#[derive(Clone, Debug, Default)]
struct Filter {
    ids: Option<Vec<u64>>,
    address: Option<Vec<u8>>,
    local_address: Option<Vec<u8>>,
    user: Option<Vec<u8>>,
    kind: Option<Kind>,
    /// Seconds of connection at least.
    age: Option<i64>,
    skip: Option<ConnIdOfCore>,
}

/// A connection, and the core that has it.
type ConnIdOfCore = (u16, ConnId);

/// The classes of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Normal,
    Pubsub,
    /// Replicas and masters: there are none.
    Other,
}

impl Kind {
    fn named(name: &[u8]) -> std::result::Result<Kind, CommandError> {
        match name.to_ascii_lowercase().as_slice() {
            b"normal" => Ok(Kind::Normal),
            b"pubsub" => Ok(Kind::Pubsub),
            b"slave" | b"replica" | b"master" => Ok(Kind::Other),
            _ => Err(CommandError::quoting("ERR Unknown client type '", name, "'")),
        }
    }

    fn of(session: &Session) -> Kind {
        if session.flags.contains(SessionFlags::SUBSCRIBER) { Kind::Pubsub } else { Kind::Normal }
    }
}

impl Filter {
    fn admits(&self, core: u16, session: &Session, now_ms: i64) -> bool {
        if session.flags.contains(SessionFlags::KILLED) || self.skip == Some((core, session.conn)) {
            return false;
        }
        self.ids.as_ref().is_none_or(|ids| ids.contains(&session.id))
            && self.address.as_ref().is_none_or(|addr| session.details.peer.addr_text().as_bytes() == addr.as_slice())
            && self
                .local_address
                .as_ref()
                .is_none_or(|addr| session.details.peer.local_text().as_bytes() == addr.as_slice())
            && self.user.as_ref().is_none_or(|user| session.details.user.as_bytes() == user.as_slice())
            && self.kind.is_none_or(|kind| kind == Kind::of(session))
            && self.age.is_none_or(|seconds| (now_ms - session.created_ms) / 1000 >= seconds)
    }
}

pub fn list(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let args = call.args;
    let mut filter = Filter::default();
    match args.len() {
        2 => {}
        4 if args.get(2).eq_ignore_ascii_case(b"type") => filter.kind = Some(Kind::named(args.get(3))?),
        n if n > 3 && args.get(2).eq_ignore_ascii_case(b"id") => {
            // An id that no client can have is no error: there is no such client.
            let ids: Option<Vec<i64>> = (3..n).map(|at| parse_i64(args.get(at))).collect();
            let ids = ids.ok_or(CommandError::text("ERR Invalid client ID"))?;
            filter.ids = Some(ids.into_iter().filter_map(|id| u64::try_from(id).ok()).collect());
        }
        _ => return Err(CommandError::Syntax),
    }
    let own = (core.id.0, call.conn, args.bytes.len());
    let ticket = core.promise(call.conn);
    let lines = move |core: &mut Core, io: &mut Io| -> Vec<(u64, String)> {
        let own = (own.0 == core.id.0).then_some((own.1, own.2));
        let admitted = core.sessions.iter().filter(|session| filter.admits(core.id.0, session, io.now_ms()));
        admitted.map(|session| (session.id, describe(session, io, own))).collect()
    };
    core.gather_all(io, lines, move |core, io, parts| {
        let mut lines: Vec<(u64, String)> = parts.into_iter().flatten().collect();
        lines.sort_unstable_by_key(|(id, _)| *id);
        let text: String = lines.into_iter().map(|(_, line)| line).collect();
        core.fulfil(io, ticket, |out| out.verbatim("txt", text.as_bytes()));
    });
    Ok(())
}

/// One client's line, newline included. `own`: the connection that asks, and the length of its request.
fn describe(session: &Session, io: &Io, own: Option<(ConnId, usize)>) -> String {
    let query = match own {
        Some((conn, length)) if conn == session.conn => length,
        _ => session.pending_len(),
    };
    let details = &session.details;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let unsent = io.unsent(session.conn);
    let mut flags = String::new();
    for (flag, letter) in [
        (SessionFlags::MONITOR, 'O'),
        (SessionFlags::SUBSCRIBER, 'P'),
        (SessionFlags::MULTI, 'x'),
        (SessionFlags::BLOCKED.union(SessionFlags::PAUSED), 'b'),
        (SessionFlags::DIRTY, 'd'),
        (SessionFlags::CLOSING, 'c'),
        (SessionFlags::UNIX, 'U'),
        (SessionFlags::READONLY, 'r'),
        (SessionFlags::NO_EVICT, 'e'),
        (SessionFlags::NO_TOUCH, 'T'),
    ] {
        // The one that asks is blocked only by its own question.
        let asks = letter == 'b' && own.is_some_and(|(conn, _)| conn == session.conn);
        let executes = flag == SessionFlags::MULTI && session.executing.is_some();
        if (session.flags.intersects(flag) || executes) && !asks {
            flags.push(letter);
        }
    }
    if flags.is_empty() {
        flags.push('N');
    }
    let now = io.now_ms();
    let listens = |kind| session.subscriptions.as_ref().map_or(0, |own| own.len(kind));
    format!(
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} db={} sub={} psub={} ssub={} multi={} qbuf={} \
         qbuf-free={} argv-mem={} multi-mem={} rbs=0 rbp=0 obl={} oll=0 omem={} tot-mem={} events=r cmd={} user={} \
         redir=-1 resp={} lib-name={} lib-ver={}\n",
        session.id,
        details.peer.addr_text(),
        details.peer.local_text(),
        details.peer.fd,
        text(&details.name),
        (now - session.created_ms) / 1000,
        (now - session.last_active_ms) / 1000,
        flags,
        session.db.0,
        listens(pubsub::Kind::Channel),
        listens(pubsub::Kind::Pattern),
        listens(pubsub::Kind::Shard),
        session.queued().map_or(-1, |commands| commands as i64),
        query,
        session.pending.capacity().saturating_sub(session.pending.len()),
        if query > 0 { query } else { 0 },
        session.multi.as_ref().map_or(0, |multi| multi.memory()),
        unsent,
        unsent,
        session.memory() + unsent,
        session.last_command.map_or("NULL", |id| registry().full_name(id)),
        details.user,
        if session.proto == Proto::Resp3 { 3 } else { 2 },
        text(&details.lib_name),
        text(&details.lib_version),
    )
}

pub fn kill(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let args = call.args;
    if args.len() == 3 {
        let filter = Filter { address: Some(args.get(2).to_vec()), ..Filter::default() };
        return kill_matching(core, io, call, filter, true);
    }
    if args.len() % 2 == 1 {
        return Err(CommandError::Syntax);
    }
    let mut filter = Filter { skip: Some((core.id.0, call.conn)), ..Filter::default() };
    for at in (2..args.len()).step_by(2) {
        let (option, value) = (args.get(at), args.get(at + 1));
        match option.to_ascii_lowercase().as_slice() {
            b"id" => {
                let id = client_id(value).ok_or(CommandError::text("ERR client-id should be greater than 0"))?;
                filter.ids = Some(vec![id]);
            }
            b"type" => filter.kind = Some(Kind::named(value)?),
            b"addr" => filter.address = Some(value.to_vec()),
            b"laddr" => filter.local_address = Some(value.to_vec()),
            b"user" => {
                if value != b"default" {
                    return Err(CommandError::quoting("ERR No such user '", value, "'"));
                }
                filter.user = Some(value.to_vec());
            }
            b"maxage" => {
                let age = parse_i64(value).ok_or(CommandError::text("ERR maxage is not an integer or out of range"))?;
                if age <= 0 {
                    return Err(CommandError::text("ERR maxage should be greater than 0"));
                }
                filter.age = Some(age);
            }
            b"skipme" => match value.to_ascii_lowercase().as_slice() {
                b"yes" => filter.skip = Some((core.id.0, call.conn)),
                b"no" => filter.skip = None,
                _ => return Err(CommandError::Syntax),
            },
            _ => return Err(CommandError::Syntax),
        }
    }
    kill_matching(core, io, call, filter, false)
}

/// A client id: a positive integer.
fn client_id(text: &[u8]) -> Option<u64> {
    parse_i64(text).and_then(|id| u64::try_from(id).ok()).filter(|&id| id > 0)
}

/// Closes the clients that the filter admits; the asking one last, after its reply. `by_address`: the old form, which
/// answers OK or an error instead of a count.
fn kill_matching(core: &mut Core, io: &mut Io, call: &Call<'_>, filter: Filter, by_address: bool) -> Result {
    let asking = (core.id.0, call.conn);
    let ticket = core.promise(call.conn);
    let work = move |core: &mut Core, io: &mut Io| -> (i64, bool) {
        let id = core.id.0;
        let matching: Vec<ConnId> = core
            .sessions
            .iter()
            .filter(|session| filter.admits(id, session, io.now_ms()))
            .map(|session| session.conn)
            .collect();
        let mut own = false;
        for &conn in &matching {
            if (id, conn) == asking {
                own = true;
            } else {
                core.kill(io, conn);
            }
        }
        (matching.len() as i64, own)
    };
    core.gather_all(io, work, move |core, io, counts| {
        let killed: i64 = counts.iter().map(|(count, _)| count).sum();
        core.fulfil(io, ticket, |out| match (by_address, killed) {
            (true, 0) => out.error("ERR No such client"),
            (true, _) => out.ok(),
            (false, _) => out.int(killed),
        });
        if counts.iter().any(|(_, own)| *own) {
            core.close_after_output(io, ticket.conn);
        }
    });
    Ok(())
}
