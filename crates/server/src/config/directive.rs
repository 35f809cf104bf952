//! What a directive is: one row with everything that is known about it.
//!
//! Reading files, options, CONFIG GET, SET and REWRITE, `--help` and the commented `config/pinyon.conf` are loops
//! over these rows, which live in `directives/`.

use super::Config;
use super::value::{Kind, Value, ValueError};

/// One directive.
#[derive(Clone, Copy, Debug)]
pub struct Directive {
    /// Lower case, words apart by `-`.
    pub name: &'static str,
    /// Other names that mean the same; CONFIG GET shows them too.
    pub aliases: &'static [&'static str],
    pub kind: Kind,
    /// As it would stand in a file, behind the name.
    pub default: &'static str,
    pub home: Home,
    pub mutability: Mutability,
    /// Only of rows that are [`Home::Kept`]: whether another value than the default is accepted.
    pub refusal: Refusal,
    /// CONFIG GET shows it only when asked for by its exact name.
    pub hidden: bool,
    /// The value stays out of logs.
    pub secret: bool,
    /// Redis has no such directive.
    pub own: bool,
    /// What it does, in our words, one to four sentences.
    pub doc: &'static str,
}

/// Where a directive's value lives.
#[derive(Clone, Copy, Debug)]
pub enum Home {
    /// In a typed field of [`Config`]: it has an effect.
    Field(Field),
    /// Nowhere: it is checked, kept and reported, without effect.
    Kept(Lacking),
}

/// How to reach a typed field.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub get: fn(&Config) -> Value,
    pub set: fn(&mut Config, Value),
}

/// When a directive may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutability {
    /// By CONFIG SET.
    Live,
    /// By CONFIG SET where `enable-protected-configs` allows it.
    Protected,
    /// Only by a restart.
    AtStart,
}

/// Whether a directive without effect may be set to something else than its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Yes. Starts and CONFIG SET say that it has no effect.
    Never,
    /// In files, but CONFIG SET refuses it, so that whoever asks learns that it is not there.
    AtSet,
    /// No: whoever sets it relies on it, and going on without it would break a promise.
    Always,
}

/// Why a directive has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lacking {
    Persistence,
    Replication,
    Cluster,
    Tls,
    Users,
    Scripts,
    Modules,
    Tracking,
    Collections,
    Compressed,
    Locale,
    Foreground,
    Threads,
    Allocator,
    Automatic,
    Kernel,
    Logging,
    Testing,
}

impl Lacking {
    /// A sentence without its full stop.
    pub fn why(self) -> &'static str {
        match self {
            Lacking::Persistence => "its logs and snapshots have no use for it",
            Lacking::Replication => "this version does not replicate",
            Lacking::Cluster => "this version is not a cluster node",
            Lacking::Tls => "this version has no TLS",
            Lacking::Users => "this version has one user, protected by requirepass",
            Lacking::Scripts => "this version runs no scripts",
            Lacking::Modules => "Redis modules cannot be loaded",
            Lacking::Tracking => "this version does not track keys for clients",
            Lacking::Compressed => "nodes between the ends of a list are compressed where that saves an eighth",
            Lacking::Collections => "lists have no limit of this kind",
            Lacking::Locale => "texts are ordered by their bytes",
            Lacking::Foreground => "Pinyon runs in the foreground, under systemd, a container or a shell",
            Lacking::Threads => "Pinyon runs one thread per core: see shards and pin",
            Lacking::Allocator => "the allocator manages its memory by itself",
            Lacking::Automatic => "Pinyon frees, evicts and expires in bounded slices of its own accord",
            Lacking::Kernel => "Pinyon leaves this to whoever starts it",
            Lacking::Logging => "logs go to the standard output or to logfile",
            Lacking::Testing => "it is for Redis's own tests",
        }
    }
}

impl Directive {
    /// A row with nothing special about it: CONFIG SET may change it.
    pub const fn new(
        name: &'static str,
        kind: Kind,
        default: &'static str,
        home: Home,
        doc: &'static str,
    ) -> Directive {
        Directive {
            name,
            aliases: &[],
            kind,
            default,
            home,
            mutability: Mutability::Live,
            refusal: Refusal::Never,
            hidden: false,
            secret: false,
            own: false,
            doc,
        }
    }

    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Directive {
        self.aliases = aliases;
        self
    }

    pub const fn at_start(mut self) -> Directive {
        self.mutability = Mutability::AtStart;
        self
    }

    pub const fn protected(mut self) -> Directive {
        self.mutability = Mutability::Protected;
        self
    }

    pub const fn refused(mut self, refusal: Refusal) -> Directive {
        self.refusal = refusal;
        self
    }

    pub const fn hidden(mut self) -> Directive {
        self.hidden = true;
        self
    }

    pub const fn secret(mut self) -> Directive {
        self.secret = true;
        self
    }

    pub const fn own(mut self) -> Directive {
        self.own = true;
        self
    }

    /// The name and the aliases.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// Why it has no effect, or None when it has one.
    pub fn lacking(&self) -> Option<Lacking> {
        match self.home {
            Home::Field(_) => None,
            Home::Kept(lacking) => Some(lacking),
        }
    }

    /// The default as a value. Fails only for `dir`, when the current folder is gone.
    pub fn default_value(&self) -> Result<Value, ValueError> {
        let words = pinyon_base::split_args(self.default.as_bytes()).unwrap_or_default();
        let words: Vec<&str> = words.iter().filter_map(|word| std::str::from_utf8(word).ok()).collect();
        self.kind.read_words(&words, &Value::Words(Vec::new()), false)
    }

    /// The value in `config`.
    pub fn get(&self, config: &Config) -> Value {
        match self.home {
            Home::Field(field) => (field.get)(config),
            Home::Kept(_) => config.kept_value(self),
        }
    }

    /// Puts a value of this row's kind into `config`.
    pub(super) fn set(&self, config: &mut Config, value: Value) {
        match self.home {
            Home::Field(field) => (field.set)(config, value),
            Home::Kept(_) => config.keep(self, value),
        }
    }
}
