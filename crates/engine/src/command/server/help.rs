//! The texts of the HELP subcommands, one line of the reply each, and the row that all of them share.
//!
//! The first line names the command; a subcommand's syntax stands at the margin, what it does below, four spaces in.

use pinyon_resp::Writer;

use crate::command::row::{Categories, Command, Flags, Group, Handler, ServerCommand};

/// The row of a HELP subcommand. `summary` is one sentence.
pub(in crate::command) const fn help_row(
    group: Group,
    categories: Categories,
    since: &'static str,
    summary: &'static str,
    command: ServerCommand,
) -> Command {
    Command {
        name: "help",
        arity: 2,
        flags: Flags::LOADING.union(Flags::STALE),
        categories,
        group,
        since,
        complexity: "O(1)",
        summary,
        handler: Handler::Server(command),
        ..Command::EMPTY
    }
}

/// Replies one of the texts below.
pub fn write(out: &mut Writer<'_>, lines: &[&str]) {
    out.array(lines.len());
    for line in lines {
        out.simple(line);
    }
}

pub const OBJECT: &[&str] = &[
    "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "ENCODING <key>",
    "    Name the way in which the value of <key> is kept in memory.",
    "FREQ <key>",
    "    Tell how often <key> has been used lately, on a logarithmic scale that fades",
    "    with time. Only under an LFU maxmemory policy.",
    "IDLETIME <key>",
    "    Tell how many seconds ago <key> was last used, roughly. Not under an LFU",
    "    maxmemory policy.",
    "REFCOUNT <key>",
    "    Count the references to the value of <key>.",
    "HELP",
    "    Show these lines.",
];

pub const XGROUP: &[&str] = &[
    "XGROUP <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CREATE <key> <group> <id|$> [MKSTREAM] [ENTRIESREAD <number>]",
    "    Make a consumer group that reads on behind an entry, or behind the last one.",
    "    MKSTREAM makes the stream if there is none; ENTRIESREAD says how many entries",
    "    of all ever added lie before.",
    "CREATECONSUMER <key> <group> <consumer>",
    "    Make a consumer of a group.",
    "DELCONSUMER <key> <group> <consumer>",
    "    Remove a consumer and what it has not acknowledged.",
    "DESTROY <key> <group>",
    "    Remove a group.",
    "SETID <key> <group> <id|$> [ENTRIESREAD <number>]",
    "    Have a group read on behind another entry.",
    "HELP",
    "    Show these lines.",
];

pub const XINFO: &[&str] = &[
    "XINFO <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CONSUMERS <key> <group>",
    "    List the consumers of a group.",
    "GROUPS <key>",
    "    List the consumer groups of a stream.",
    "STREAM <key> [FULL [COUNT <count>]]",
    "    Tell of a stream; with FULL show its entries and groups, too.",
    "HELP",
    "    Show these lines.",
];

pub const CLUSTER: &[&str] = &[
    "CLUSTER <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "COUNT-FAILURE-REPORTS <node-id>",
    "    Tell how many nodes hold this one for failed: none, as cores fail together.",
    "COUNTKEYSINSLOT <slot>",
    "    Count the keys of a slot. Goes over the keys of one core.",
    "GETKEYSINSLOT <slot> <count>",
    "    Tell at most <count> keys of a slot. Goes over the keys of one core.",
    "INFO",
    "    Tell the state of the cluster.",
    "KEYSLOT <key>",
    "    Tell the slot of a key.",
    "LINKS",
    "    Tell the connections between nodes: there are none.",
    "MYID",
    "    Tell the id of the core that serves this connection.",
    "NODES",
    "    Tell all cores, one a line:",
    "    <id> <ip:port> <flags> <master> <pings> <pongs> <epoch> <link> <slots>",
    "REPLICAS <node-id>",
    "    Tell the replicas of a node: there are none.",
    "SHARDS",
    "    Tell which core has which slots, and how it is.",
    "SLAVES <node-id>",
    "    As REPLICAS.",
    "SLOTS",
    "    Tell which core has which slots.",
    "HELP",
    "    Show these lines.",
];

pub const CLIENT: &[&str] = &[
    "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "GETREDIR",
    "    Tell the ID of the client that gets the invalidations meant for this one.",
    "GETNAME",
    "    Tell the name of this connection.",
    "ID",
    "    Tell the ID of this connection.",
    "INFO",
    "    Describe this connection.",
    "KILL <ip:port>",
    "    Close the connection that comes from <ip:port>.",
    "KILL <option> <value> [<option> <value> [...]]",
    "    Close all connections that fit every option. Options are:",
    "    * ID <client-id>",
    "      The connection with this ID.",
    "    * ADDR (<ip:port>|<unixsocket>:0)",
    "      Connections that come from this address.",
    "    * LADDR (<ip:port>|<unixsocket>:0)",
    "      Connections that came in at this address of the server.",
    "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "      Connections of this kind.",
    "    * USER <username>",
    "      Connections that logged in as <username>.",
    "    * MAXAGE <seconds>",
    "      Connections that are at least this old.",
    "    * SKIPME (YES|NO)",
    "      Whether to spare the calling connection (default: yes).",
    "LIST [options ...]",
    "    Describe all connections, or those that fit. Options are:",
    "    * ID <client-id> [<client-id> ...]",
    "      The connections with these IDs.",
    "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "      Connections of this kind.",
    "NO-EVICT (ON|OFF)",
    "    Whether this connection is spared when connections take too much memory.",
    "NO-TOUCH (ON|OFF)",
    "    Whether the commands of this connection leave LRU and LFU data as they are.",
    "PAUSE <timeout> [WRITE|ALL]",
    "    Hold back the commands of all clients, or only their writes, for <timeout>",
    "    milliseconds.",
    "REPLY (ON|OFF|SKIP)",
    "    Send replies, send none, or leave out the next one.",
    "SETINFO <option> <value>",
    "    Say what talks over this connection. Options are:",
    "    * LIB-NAME: name of the client library.",
    "    * LIB-VER: version of the client library.",
    "SETNAME <name>",
    "    Call this connection <name>.",
    "TRACKINGINFO",
    "    Describe the key tracking of this connection.",
    "UNBLOCK <clientid> [TIMEOUT|ERROR]",
    "    Wake the client if it waits in a blocking command, as if its time had run out",
    "    or with an error.",
    "UNPAUSE",
    "    End a pause: let the clients go on.",
    "HELP",
    "    Show these lines.",
];

pub const CONFIG: &[&str] = &[
    "CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "GET <pattern> [<pattern> ...]",
    "    List the directives whose names match a <pattern>, with their values.",
    "SET <directive> <value> [<directive> <value> ...]",
    "    Change directives while the server runs: all of them, or none on an error.",
    "RESETSTAT",
    "    Set the counters that INFO shows back to zero.",
    "REWRITE",
    "    Bring the configuration file in line with the configuration in use.",
    "HELP",
    "    Show these lines.",
];

pub const COMMAND: &[&str] = &[
    "COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "(no subcommand)",
    "    Describe all commands.",
    "COUNT",
    "    Count the commands of this server.",
    "LIST [FILTERBY (MODULE <name>|ACLCAT <category>|PATTERN <pattern>)]",
    "    Name the commands of this server, all or those that pass the filter.",
    "INFO [<command-name> ...]",
    "    Describe the named commands, or all when none is named.",
    "DOCS [<command-name> ...]",
    "    Document the named commands, or all when none is named.",
    "GETKEYS <full-command>",
    "    Find the keys in a command line.",
    "GETKEYSANDFLAGS <full-command>",
    "    Find the keys in a command line and say what the command does to each.",
    "HELP",
    "    Show these lines.",
];

pub const MEMORY: &[&str] = &[
    "MEMORY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "DOCTOR",
    "    Look for problems with the use of memory and name them.",
    "MALLOC-STATS",
    "    Show the allocator's own report.",
    "PURGE",
    "    Ask the allocator to give unused memory back to the system.",
    "STATS",
    "    Tell what memory is used for.",
    "USAGE <key> [SAMPLES <count>]",
    "    Estimate the bytes that <key> and its value take. Of a collection <count>",
    "    elements are measured (default: 5; 0: all).",
    "HELP",
    "    Show these lines.",
];

pub const SLOWLOG: &[&str] = &[
    "SLOWLOG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "GET [<count>]",
    "    List the latest <count> slow commands (default: 10; -1: all), each with its",
    "    ID, Unix time, microseconds taken, arguments, and the address and name of the",
    "    client.",
    "LEN",
    "    Count the slow commands kept.",
    "RESET",
    "    Forget the slow commands kept.",
    "HELP",
    "    Show these lines.",
];

pub const LATENCY: &[&str] = &[
    "LATENCY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "DOCTOR",
    "    Explain the recorded latency spikes in words.",
    "GRAPH <event>",
    "    Draw the spikes of <event> as text.",
    "HISTORY <event>",
    "    List the spikes of <event> with their times.",
    "LATEST",
    "    List the last and the worst spike of every event.",
    "RESET [<event> ...]",
    "    Forget the spikes of these events, or of all when none is named.",
    "HISTOGRAM [COMMAND ...]",
    "    Show how long these commands took, or all commands when none is named, as",
    "    cumulative histograms.",
    "HELP",
    "    Show these lines.",
];

pub const DEBUG: &[&str] = &[
    "DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CHANGE-REPL-ID",
    "    Change the ID by which replicas know this server's data.",
    "DIGEST",
    "    Reply a hash over all keys and values: equal data, equal hash.",
    "DIGEST-VALUE <key> [<key> ...]",
    "    Reply a hash over the value of each key.",
    "ERROR <string>",
    "    Reply <string> as an error, to test how a client takes it.",
    "HTSTATS <dbid>",
    "    Describe the hash tables of a database.",
    "HTSTATS-KEY <key>",
    "    Describe the hash table of a value, if it has one.",
    "LISTPACK <key>",
    "    Tell whether a value is packed.",
    "LOADAOF",
    "    Bring the logs to the disk, and load all data again from there.",
    "LOG <message>",
    "    Write <message> to the log of the server.",
    "LOG-FAULT <EIO|ENOSPC|NONE>",
    "    Have writes of the data's logs fail, or no longer.",
    "OBJECT <key> [fast]",
    "    Describe how <key> and its value are kept.",
    "POPULATE <count> [<prefix>] [<size>]",
    "    Create <count> strings named <prefix>:<number> (default prefix: key), each of",
    "    <size> bytes if that is given.",
    "PROTOCOL <type>",
    "    Reply a sample of a type of the protocol: string, integer, double, bignum,",
    "    null, array, set, map, attrib, push, verbatim, true, false.",
    "QUICKLIST-PACKED-THRESHOLD <size>",
    "    Accepted for the sake of other servers' tests: here, long elements of lists need",
    "    no nodes of their own.",
    "RELOAD",
    "    Save all data as snapshots do and load it again, in memory.",
    "SET-ACTIVE-EXPIRE <0|1>",
    "    Whether due keys are removed without being accessed (default: 1).",
    "SLEEP <seconds>",
    "    Keep the server from doing anything for <seconds>, which may have a fraction.",
    "HELP",
    "    Show these lines.",
];

pub const PUBSUB: &[&str] = &[
    "PUBSUB <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CHANNELS [<pattern>]",
    "    List the channels that somebody has subscribed to, or those of them whose name",
    "    matches <pattern>.",
    "NUMPAT",
    "    Count the patterns that somebody has subscribed to.",
    "NUMSUB [<channel> ...]",
    "    Count the subscribers of each channel; those of patterns are not among them.",
    "SHARDCHANNELS [<pattern>]",
    "    As CHANNELS, for shard channels.",
    "SHARDNUMSUB [<shardchannel> ...]",
    "    As NUMSUB, for shard channels.",
    "HELP",
    "    Show these lines.",
];

#[cfg(test)]
mod tests {
    use pinyon_resp::{Output, Proto, Writer};

    use crate::command::registry::registry;

    const TEXTS: &[(&str, &[&str])] = &[
        ("object", super::OBJECT),
        ("client", super::CLIENT),
        ("cluster", super::CLUSTER),
        ("config", super::CONFIG),
        ("command", super::COMMAND),
        ("memory", super::MEMORY),
        ("slowlog", super::SLOWLOG),
        ("latency", super::LATENCY),
        ("pubsub", super::PUBSUB),
        ("debug", super::DEBUG),
    ];

    #[test]
    fn every_text_begins_and_ends_alike() {
        for (name, lines) in TEXTS {
            let name = name.to_uppercase();
            assert_eq!(lines[0], format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
            assert_eq!(lines[lines.len() - 2], "HELP");
            for line in *lines {
                assert!(line.len() <= 88 && !line.ends_with(' '), "{name}: {line:?}");
            }
        }
    }

    /// A subcommand without a line, or a line without a subcommand, is a mistake.
    #[test]
    fn texts_name_the_subcommands_of_their_rows() {
        for (name, lines) in TEXTS.iter().filter(|(name, _)| *name != "debug") {
            let id = registry().find(name.as_bytes()).expect("a command");
            let mut rows: Vec<_> =
                registry().subcommands(id).map(|sub| registry().row(sub).name.to_uppercase()).collect();
            rows.sort();
            let mut named: Vec<_> = lines[1..]
                .iter()
                .filter(|line| !line.starts_with([' ', '(']))
                .map(|line| line.split(' ').next().expect("a word").to_owned())
                .collect();
            named.sort();
            named.dedup();
            assert_eq!(named, rows, "{name}");
        }
    }

    #[test]
    fn lines_are_status_replies() {
        let mut out = Output::default();
        super::write(&mut Writer { out: &mut out, proto: Proto::Resp2 }, &["A <b>", "    c"]);
        assert_eq!(out.pieces().collect::<Vec<_>>().concat(), b"*2\r\n+A <b>\r\n+    c\r\n");
    }
}
