//! The shape of a command's row: everything that the server and its users know of a command, in one place.
//!
//! Lookup, arity errors, COMMAND and its subcommands, routing to shards, the OOM and loading gates, statistics, the
//! generated documentation and the differential tests are loops over these rows.

use bitflags::bitflags;
use pinyon_resp::Args;

use super::blocking::Blocking;
use super::long::Long;
use crate::{CommandError, Cx, Effect};

/// One command or subcommand.
pub struct Command {
    /// Lower-case name: "get"; of a subcommand only its own part: "list" under "client".
    pub name: &'static str,
    /// Arguments including the name (and the container's name); negative = at least.
    pub arity: i16,
    pub flags: Flags,
    /// ACL categories beyond those that the flags imply (as COMMAND INFO lists them).
    pub categories: Categories,
    pub keys: &'static [KeySpec],
    pub group: Group,
    /// First version with the command: of Redis, or of Valkey where the row says so in `history`.
    pub since: &'static str,
    pub complexity: &'static str,
    /// One sentence of ours.
    pub summary: &'static str,
    /// (version, what changed), in our words.
    pub history: &'static [(&'static str, &'static str)],
    pub tips: &'static [&'static str],
    /// Deprecated since, replaced by.
    pub deprecated: Option<(&'static str, &'static str)>,
    pub args: &'static [Arg],
    pub subcommands: &'static [Command],
    pub handler: Handler,
    /// It tries its keys one by one and may wait for them.
    pub blocking: Option<&'static Blocking>,
    /// How it is carried out on big values.
    pub long: Option<Long>,
}

impl Command {
    /// What a row need not say: `..Command::EMPTY` at the end of a row stands for no keys, no history, and so on. Name,
    /// arity, group, since, complexity and summary are required, which a test over all rows checks.
    pub const EMPTY: Command = Command {
        name: "",
        arity: 0,
        flags: Flags::empty(),
        categories: Categories::empty(),
        keys: &[],
        group: Group::Generic,
        since: "",
        complexity: "",
        summary: "",
        history: &[],
        tips: &[],
        deprecated: None,
        args: &[],
        subcommands: &[],
        handler: Handler::Container,
        blocking: None,
        long: None,
    };

    /// All its ACL categories: those of the row and those that its flags imply.
    pub fn acl_categories(&self) -> Categories {
        let implied = [
            (Flags::WRITE, Categories::WRITE),
            (Flags::READONLY, Categories::READ),
            (Flags::ADMIN, Categories::ADMIN.union(Categories::DANGEROUS)),
            (Flags::PUBSUB, Categories::PUBSUB),
            (Flags::BLOCKING, Categories::BLOCKING),
        ];
        let mut all = self.categories;
        for (_, categories) in implied.into_iter().filter(|(flag, _)| self.flags.contains(*flag)) {
            all |= categories;
        }
        // A script may be read-only, which does not make it a read.
        if self.categories.contains(Categories::SCRIPTING) {
            all.remove(Categories::READ);
        }
        all | if self.flags.contains(Flags::FAST) { Categories::FAST } else { Categories::SLOW }
    }
}

/// How a command is carried out.
#[derive(Clone, Copy)]
pub enum Handler {
    /// On the shard of its only key (or of all its keys, which are then on one shard).
    Shard(KeyHandler),
    /// Several keys that may lie on several shards: run whole where one shard owns all keys; otherwise split and
    /// joined as `Spread` says.
    Spread(Spread, KeyHandler),
    /// By the server: connection, server and all-shard commands.
    Server(ServerCommand),
    /// Only subcommands.
    Container,
}

/// Runs on the owning shard's core. On `Err`, nothing has been written to the reply.
pub type KeyHandler = fn(&mut Cx<'_>, Args<'_>) -> Result<Effect, CommandError>;

/// How a command over several shards is split and its answers joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Each shard runs the command on its keys; the integers are added (DEL, UNLINK, EXISTS, TOUCH).
    Sum,
    /// Each shard answers an array with one element per key; put back into the order asked (MGET).
    Gather,
    /// Key-value pairs; each shard sets its own; the reply is OK (MSET).
    Pairs,
    /// Needs to see all its keys before it changes any: the coordinator's own procedure.
    MsetNx,
    MsetEx,
    Rename,
    RenameNx,
    Copy,
    Lcs,
    /// The keys that are only read are lent to the shard of the key that is written, or to that of most keys, and the
    /// command runs there whole (SUNIONSTORE, ZINTER, GEOSEARCHSTORE).
    Lend,
    Smove,
    /// An element goes from one list to another (LMOVE, RPOPLPUSH).
    Move,
    /// Its keys are tried one by one, as the row's `blocking` says.
    Tries,
    /// Sources are gathered and worked into a destination.
    Bitop,
    Pfcount,
    Pfmerge,
    /// Of keys that are known only when others are read.
    Sort,
}

bitflags! {
    /// As COMMAND INFO names them.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Flags: u32 {
        const WRITE = 1; const READONLY = 1 << 1; const DENYOOM = 1 << 2; const ADMIN = 1 << 3;
        const PUBSUB = 1 << 4; const NOSCRIPT = 1 << 5; const BLOCKING = 1 << 6; const LOADING = 1 << 7;
        const STALE = 1 << 8; const SKIP_MONITOR = 1 << 9; const SKIP_SLOWLOG = 1 << 10; const ASKING = 1 << 11;
        const FAST = 1 << 12; const NO_AUTH = 1 << 13; const MAY_REPLICATE = 1 << 14; const NO_MANDATORY_KEYS = 1 << 15;
        const NO_MULTI = 1 << 16; const ALLOW_BUSY = 1 << 17; const NO_ASYNC_LOADING = 1 << 18; const MOVABLE_KEYS = 1 << 19;
        const PROTECTED = 1 << 20; const SENTINEL = 1 << 21; const ONLY_SENTINEL = 1 << 22;
        /// Only when DEBUG is allowed; not shown by COMMAND.
        const HIDDEN_DEBUG = 1 << 23;
        const SUBCOMMAND_SYSCMD = 1 << 24;
        /// Takes its key to another database, and is for nothing else. Not shown by COMMAND.
        const LEAVES_DB = 1 << 25;
    }
}

bitflags! {
    /// ACL categories; the names are those of ACL CAT.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Categories: u32 {
        const KEYSPACE = 1; const READ = 1 << 1; const WRITE = 1 << 2; const SET = 1 << 3; const SORTEDSET = 1 << 4;
        const LIST = 1 << 5; const HASH = 1 << 6; const STRING = 1 << 7; const BITMAP = 1 << 8; const HYPERLOGLOG = 1 << 9;
        const GEO = 1 << 10; const STREAM = 1 << 11; const PUBSUB = 1 << 12; const ADMIN = 1 << 13; const FAST = 1 << 14;
        const SLOW = 1 << 15; const BLOCKING = 1 << 16; const DANGEROUS = 1 << 17; const CONNECTION = 1 << 18;
        const TRANSACTION = 1 << 19; const SCRIPTING = 1 << 20;
    }
}

/// As COMMAND DOCS names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Generic,
    String,
    List,
    Set,
    SortedSet,
    Hash,
    Pubsub,
    Transactions,
    Connection,
    Server,
    Scripting,
    Hyperloglog,
    Cluster,
    Sentinel,
    Geo,
    Stream,
    Bitmap,
}

impl Group {
    /// The name in COMMAND DOCS.
    pub fn name(self) -> &'static str {
        match self {
            Group::Generic => "generic",
            Group::String => "string",
            Group::List => "list",
            Group::Set => "set",
            Group::SortedSet => "sorted-set",
            Group::Hash => "hash",
            Group::Pubsub => "pubsub",
            Group::Transactions => "transactions",
            Group::Connection => "connection",
            Group::Server => "server",
            Group::Scripting => "scripting",
            Group::Hyperloglog => "hyperloglog",
            Group::Cluster => "cluster",
            Group::Sentinel => "sentinel",
            Group::Geo => "geo",
            Group::Stream => "stream",
            Group::Bitmap => "bitmap",
        }
    }
}

/// Where a command's keys are, as COMMAND INFO shows it.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    pub notes: &'static str,
    pub flags: KeyFlags,
    pub begin: BeginSearch,
    pub find: FindKeys,
}

bitflags! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct KeyFlags: u16 {
        const RO = 1; const RW = 1 << 1; const OW = 1 << 2; const RM = 1 << 3; const ACCESS = 1 << 4; const UPDATE = 1 << 5;
        const INSERT = 1 << 6; const DELETE = 1 << 7; const NOT_KEY = 1 << 8; const INCOMPLETE = 1 << 9; const VARIABLE_FLAGS = 1 << 10;
    }
}

#[derive(Clone, Copy, Debug)]
pub enum BeginSearch {
    Index(i32),
    Keyword { keyword: &'static str, start_from: i32 },
    Unknown,
}

#[derive(Clone, Copy, Debug)]
pub enum FindKeys {
    Range { last: i32, step: i32, limit: i32 },
    KeyNum { key_num: i32, first: i32, step: i32 },
    Unknown,
}

impl KeySpec {
    /// One key at argument `index`.
    pub const fn one(index: i32, flags: KeyFlags) -> KeySpec {
        KeySpec::range(index, 0, 1, flags)
    }
    /// Keys from `first`, `last` relative to it or negative from the end, every `step`.
    pub const fn range(first: i32, last: i32, step: i32, flags: KeyFlags) -> KeySpec {
        KeySpec { notes: "", flags, begin: BeginSearch::Index(first), find: FindKeys::Range { last, step, limit: 0 } }
    }
    /// One key behind a keyword that is looked for from argument `start_from` on.
    pub const fn after(keyword: &'static str, start_from: i32, flags: KeyFlags) -> KeySpec {
        KeySpec { begin: BeginSearch::Keyword { keyword, start_from }, ..KeySpec::one(1, flags) }
    }
    /// With a remark for the reader of COMMAND INFO.
    pub const fn noting(self, notes: &'static str) -> KeySpec {
        KeySpec { notes, ..self }
    }
    /// A count at argument `index`, then that many keys, `step` arguments apart.
    pub const fn counted(index: i32, step: i32, flags: KeyFlags) -> KeySpec {
        KeySpec {
            notes: "",
            flags,
            begin: BeginSearch::Index(index),
            find: FindKeys::KeyNum { key_num: 0, first: 1, step },
        }
    }
}

/// One argument of the grammar that COMMAND DOCS shows.
#[derive(Clone, Copy, Debug)]
pub struct Arg {
    pub name: &'static str,
    pub kind: ArgKind,
    pub token: Option<&'static str>,
    pub display: Option<&'static str>,
    pub since: Option<&'static str>,
    /// Deprecated since.
    pub deprecated: Option<&'static str>,
    pub key_spec: Option<u8>,
    pub flags: ArgFlags,
    pub args: &'static [Arg],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgKind {
    String,
    Integer,
    Double,
    Key,
    Pattern,
    UnixTime,
    PureToken,
    OneOf,
    Block,
}

impl ArgKind {
    /// The name in COMMAND DOCS.
    pub fn name(self) -> &'static str {
        match self {
            ArgKind::String => "string",
            ArgKind::Integer => "integer",
            ArgKind::Double => "double",
            ArgKind::Key => "key",
            ArgKind::Pattern => "pattern",
            ArgKind::UnixTime => "unix-time",
            ArgKind::PureToken => "pure-token",
            ArgKind::OneOf => "oneof",
            ArgKind::Block => "block",
        }
    }
}

bitflags! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ArgFlags: u8 { const OPTIONAL = 1; const MULTIPLE = 2; const MULTIPLE_TOKEN = 4; }
}

impl Arg {
    pub const fn new(name: &'static str, kind: ArgKind) -> Arg {
        Arg {
            name,
            kind,
            token: None,
            display: None,
            since: None,
            deprecated: None,
            key_spec: None,
            flags: ArgFlags::empty(),
            args: &[],
        }
    }
    pub const fn key(name: &'static str, spec: u8) -> Arg {
        Arg { key_spec: Some(spec), ..Arg::new(name, ArgKind::Key) }
    }
    pub const fn token(name: &'static str, token: &'static str) -> Arg {
        Arg { token: Some(token), ..Arg::new(name, ArgKind::PureToken) }
    }
    pub const fn one_of(name: &'static str, args: &'static [Arg]) -> Arg {
        Arg { args, ..Arg::new(name, ArgKind::OneOf) }
    }
    pub const fn block(name: &'static str, args: &'static [Arg]) -> Arg {
        Arg { args, ..Arg::new(name, ArgKind::Block) }
    }
    pub const fn with_token(self, token: &'static str) -> Arg {
        Arg { token: Some(token), ..self }
    }
    pub const fn optional(self) -> Arg {
        Arg { flags: self.flags.union(ArgFlags::OPTIONAL), ..self }
    }
    pub const fn multiple(self) -> Arg {
        Arg { flags: self.flags.union(ArgFlags::MULTIPLE), ..self }
    }
    /// The token is repeated with each.
    pub const fn multiple_token(self) -> Arg {
        Arg { flags: self.flags.union(ArgFlags::MULTIPLE_TOKEN), ..self }
    }
    pub const fn since(self, version: &'static str) -> Arg {
        Arg { since: Some(version), ..self }
    }
    pub const fn deprecated(self, version: &'static str) -> Arg {
        Arg { deprecated: Some(version), ..self }
    }
}

/// The commands that the server carries out itself. The server maps each to its function, exhaustively.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerCommand {
    // connection
    Auth,
    Echo,
    Hello,
    Ping,
    Quit,
    Reset,
    Select,
    ClientGetname,
    ClientGetredir,
    ClientHelp,
    ClientId,
    ClientInfo,
    ClientKill,
    ClientList,
    ClientNoEvict,
    ClientNoTouch,
    ClientPause,
    ClientReply,
    ClientSetinfo,
    ClientSetname,
    ClientTrackinginfo,
    ClientUnblock,
    ClientUnpause,
    // cluster
    Asking,
    ClusterCountFailureReports,
    ClusterCountkeysinslot,
    ClusterGetkeysinslot,
    ClusterHelp,
    ClusterInfo,
    ClusterKeyslot,
    ClusterLinks,
    ClusterMyid,
    ClusterNodes,
    ClusterReplicas,
    ClusterShards,
    ClusterSlots,
    Readonly,
    Readwrite,
    // keys, over all shards or with a server's view
    Keys,
    Scan,
    Randomkey,

    ObjectHelp,
    // server
    Bgrewriteaof,
    Bgsave,
    Command,
    CommandCount,
    CommandDocs,
    CommandGetkeys,
    CommandGetkeysandflags,
    CommandHelp,
    CommandInfo,
    CommandList,
    ConfigGet,
    ConfigHelp,
    ConfigResetstat,
    ConfigRewrite,
    ConfigSet,
    Dbsize,
    Debug,
    Flushall,
    Flushdb,
    Info,
    Lastsave,
    LatencyDoctor,
    LatencyGraph,
    LatencyHelp,
    LatencyHistogram,
    LatencyHistory,
    LatencyLatest,
    LatencyReset,
    Lolwut,
    MemoryDoctor,
    MemoryHelp,
    MemoryMallocStats,
    MemoryPurge,
    MemoryStats,
    Monitor,
    Save,
    Pfselftest,
    XgroupHelp,
    XinfoHelp,
    Shutdown,
    Waitaof,
    SlowlogGet,
    SlowlogHelp,
    SlowlogLen,
    SlowlogReset,
    Swapdb,
    Time,
    // transactions
    Discard,
    Exec,
    Multi,
    Unwatch,
    Watch,
    // publish and subscribe
    Psubscribe,
    Publish,
    PubsubChannels,
    PubsubHelp,
    PubsubNumpat,
    PubsubNumsub,
    PubsubShardchannels,
    PubsubShardnumsub,
    Punsubscribe,
    Spublish,
    Ssubscribe,
    Subscribe,
    Sunsubscribe,
    Unsubscribe,
}
