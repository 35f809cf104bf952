//! The commands that the server carries out itself: connection, server and all-shard commands, one function each.

mod client;
mod cluster;
mod command;
mod configuration;
mod debug;
mod hyperloglog;
mod info;
mod keyspace;
mod latency;
mod lolwut;
mod memory;
mod monitor;
mod persistence;
mod process;
mod pubsub;
mod session;
mod slowlog;
pub(crate) mod transaction;
mod waitaof;

use pinyon_engine::CommandError;
use pinyon_engine::command::registry::CommandId;
use pinyon_engine::command::row::ServerCommand as S;
use pinyon_resp::Args;
use pinyon_runtime::ConnId;

pub(crate) use persistence::give;

use crate::core::{Core, Io};
use crate::pubsub::Kind;

/// One call of a server command. Its reply is written with `core.reply(io, call.conn, |out| …)`, or promised with
/// `core.promise(call.conn)` and given later with `core.fulfil(io, ticket, |out| …)`.
pub struct Call<'a> {
    pub conn: ConnId,
    pub id: CommandId,
    pub args: Args<'a>,
}

/// What a server command gives: an error becomes the reply; nothing has been replied then.
pub type Result = std::result::Result<(), CommandError>;

/// Carries out a server command.
pub fn run(core: &mut Core, io: &mut Io, command: S, call: &Call<'_>) -> Result {
    match command {
        S::Auth => session::auth(core, io, call),
        S::Echo => session::echo(core, io, call),
        S::Hello => session::hello(core, io, call),
        S::Ping => session::ping(core, io, call),
        S::Quit => session::quit(core, io, call),
        S::Reset => session::reset(core, io, call),
        S::Select => session::select(core, io, call),
        S::ClientGetname => client::getname(core, io, call),
        S::ClientGetredir => client::getredir(core, io, call),
        S::ClientHelp => client::help(core, io, call),
        S::ClientId => client::id(core, io, call),
        S::ClientInfo => client::info(core, io, call),
        S::ClientKill => client::kill(core, io, call),
        S::ClientList => client::list(core, io, call),
        S::ClientNoEvict => client::no_evict(core, io, call),
        S::ClientNoTouch => client::no_touch(core, io, call),
        S::ClientPause => client::pause(core, io, call),
        S::ClientReply => client::reply(core, io, call),
        S::ClientSetinfo => client::setinfo(core, io, call),
        S::ClientSetname => client::setname(core, io, call),
        S::ClientTrackinginfo => client::trackinginfo(core, io, call),
        S::ClientUnblock => client::unblock(core, io, call),
        S::ClientUnpause => client::unpause(core, io, call),
        S::Asking => cluster::asking(core, io, call),
        S::ClusterCountFailureReports => cluster::count_failure_reports(core, io, call),
        S::ClusterCountkeysinslot => cluster::countkeysinslot(core, io, call),
        S::ClusterGetkeysinslot => cluster::getkeysinslot(core, io, call),
        S::ClusterHelp => cluster::help(core, io, call),
        S::ClusterInfo => cluster::info(core, io, call),
        S::ClusterKeyslot => cluster::keyslot(core, io, call),
        S::ClusterLinks => cluster::links(core, io, call),
        S::ClusterMyid => cluster::myid(core, io, call),
        S::ClusterNodes => cluster::nodes(core, io, call),
        S::ClusterReplicas => cluster::replicas(core, io, call),
        S::ClusterShards => cluster::shards(core, io, call),
        S::ClusterSlots => cluster::slots(core, io, call),
        S::Readonly => cluster::readonly(core, io, call),
        S::Readwrite => cluster::readwrite(core, io, call),
        S::Bgrewriteaof => persistence::bgrewriteaof(core, io, call),
        S::Bgsave => persistence::bgsave(core, io, call),
        S::Lastsave => persistence::lastsave(core, io, call),
        S::Save => persistence::save(core, io, call),
        S::Command => command::command(core, io, call),
        S::CommandCount => command::count(core, io, call),
        S::CommandDocs => command::docs(core, io, call),
        S::CommandGetkeys => command::getkeys(core, io, call),
        S::CommandGetkeysandflags => command::getkeysandflags(core, io, call),
        S::CommandHelp => command::help(core, io, call),
        S::CommandInfo => command::info(core, io, call),
        S::CommandList => command::list(core, io, call),
        S::ConfigGet => configuration::get(core, io, call),
        S::ConfigHelp => configuration::help(core, io, call),
        S::ConfigResetstat => configuration::resetstat(core, io, call),
        S::ConfigRewrite => configuration::rewrite(core, io, call),
        S::ConfigSet => configuration::set(core, io, call),
        S::LatencyDoctor => latency::doctor(core, io, call),
        S::LatencyGraph => latency::graph(core, io, call),
        S::LatencyHelp => latency::help(core, io, call),
        S::LatencyHistogram => latency::histogram(core, io, call),
        S::LatencyHistory => latency::history(core, io, call),
        S::LatencyLatest => latency::latest(core, io, call),
        S::LatencyReset => latency::reset(core, io, call),
        S::Pfselftest => hyperloglog::selftest(core, io, call),
        S::Monitor => monitor::monitor(core, io, call),
        S::SlowlogGet => slowlog::get(core, io, call),
        S::SlowlogHelp => slowlog::help(core, io, call),
        S::SlowlogLen => slowlog::len(core, io, call),
        S::SlowlogReset => slowlog::reset(core, io, call),
        S::Dbsize => keyspace::dbsize(core, io, call),
        S::Flushall => keyspace::flushall(core, io, call),
        S::Flushdb => keyspace::flushdb(core, io, call),
        S::Keys => keyspace::keys(core, io, call),
        S::Randomkey => keyspace::randomkey(core, io, call),
        S::Scan => keyspace::scan(core, io, call),
        S::Swapdb => keyspace::swapdb(core, io, call),
        S::Shutdown => process::shutdown(core, io, call),
        S::Time => process::time(core, io, call),
        S::Waitaof => waitaof::waitaof(core, io, call),
        S::Debug => debug::debug(core, io, call),
        S::Info => info::info(core, io, call),
        S::Lolwut => lolwut::lolwut(core, io, call),
        S::MemoryDoctor => memory::doctor(core, io, call),
        S::MemoryHelp => memory::help(core, io, call),
        S::MemoryMallocStats => memory::malloc_stats(core, io, call),
        S::MemoryPurge => memory::purge(core, io, call),
        S::MemoryStats => memory::stats(core, io, call),
        S::Discard => transaction::discard(core, io, call),
        S::Exec => transaction::exec(core, io, call),
        S::Multi => transaction::multi(core, io, call),
        S::Unwatch => transaction::unwatch(core, io, call),
        S::Watch => transaction::watch(core, io, call),
        S::Psubscribe => pubsub::subscribe(core, io, call, Kind::Pattern),
        S::Publish => pubsub::publish(core, io, call, Kind::Channel),
        S::PubsubChannels => pubsub::channels(core, io, call, Kind::Channel),
        S::PubsubHelp => pubsub::help(core, io, call),
        S::PubsubNumpat => pubsub::numpat(core, io, call),
        S::PubsubNumsub => pubsub::numsub(core, io, call, Kind::Channel),
        S::PubsubShardchannels => pubsub::channels(core, io, call, Kind::Shard),
        S::PubsubShardnumsub => pubsub::numsub(core, io, call, Kind::Shard),
        S::Punsubscribe => pubsub::unsubscribe(core, io, call, Kind::Pattern),
        S::Spublish => pubsub::publish(core, io, call, Kind::Shard),
        S::Ssubscribe => pubsub::subscribe(core, io, call, Kind::Shard),
        S::Subscribe => pubsub::subscribe(core, io, call, Kind::Channel),
        S::Sunsubscribe => pubsub::unsubscribe(core, io, call, Kind::Shard),
        S::Unsubscribe => pubsub::unsubscribe(core, io, call, Kind::Channel),
        S::XgroupHelp => keyspace::xgroup_help(core, io, call),
        S::XinfoHelp => keyspace::xinfo_help(core, io, call),
        S::ObjectHelp => keyspace::object_help(core, io, call),
    }
}

/// The error of a subcommand whose arguments do not fit; `after` names the help.
fn wrong_subcommand(args: Args<'_>, after: &'static str) -> CommandError {
    CommandError::quoting("ERR unknown subcommand or wrong number of arguments for '", args.get(1), after)
}

/// Replies a help text, one status line each.
fn reply_help(core: &mut Core, io: &mut Io, call: &Call<'_>, lines: &[&str]) {
    core.reply(io, call.conn, |out| {
        out.array(lines.len());
        lines.iter().for_each(|line| out.simple(line));
    });
}
