//! The sections that Redis has, but for those about single commands and errors.

use std::path::Path;

use super::Text;
use super::facts::{Facts, ratio};
use super::process::{CpuTimes, os};
use crate::commands::session::{REDIS_VERSION, mode};
use crate::config::{Config, Supervised, directives};
use crate::core::Core;
use crate::pubsub::Kind;

pub(super) fn server(text: &mut Text, core: &Core, facts: &Facts) {
    let now_us = pinyon_runtime::clock::unix_us();
    let uptime = (now_us / 1_000_000 - core.shared.started_ms / 1000).max(0);
    let path = |path: Option<&Path>| path.map_or_else(String::new, |path| path.display().to_string());
    text.heading("Server");
    text.line("redis_version", REDIS_VERSION);
    text.line("server_name", "pinyon");
    text.line("pinyon_version", env!("CARGO_PKG_VERSION"));
    text.line("redis_git_sha1", "00000000");
    text.line("redis_git_dirty", 0);
    text.line("redis_build_id", 0);
    text.line("redis_mode", mode(facts.node.is_some()));
    text.line("os", os());
    text.line("arch_bits", usize::BITS);
    text.line("monotonic_clock", "POSIX clock_gettime");
    text.line("multiplexing_api", "io_uring");
    text.line("atomicvar_api", "std");
    text.line("gcc_version", "0.0.0");
    text.line("process_id", std::process::id());
    text.line("process_supervised", if is_supervised(&core.config) { "systemd" } else { "no" });
    text.line("run_id", &core.shared.run_id);
    text.line("tcp_port", core.config.port);
    text.line("server_time_usec", now_us);
    text.line("uptime_in_seconds", uptime);
    text.line("uptime_in_days", uptime / 86_400);
    text.line("hz", core.config.hz);
    text.line("configured_hz", core.config.hz);
    text.line("lru_clock", (now_us / 1_000_000) & 0xff_ffff);
    text.line("executable", path(Some(&core.shared.executable)));
    text.line("config_file", path(core.shared.config_file.as_deref()));
    text.line("io_threads_active", 0);
}

fn is_supervised(config: &Config) -> bool {
    matches!(config.supervised, Supervised::Auto | Supervised::Systemd) && std::env::var_os("NOTIFY_SOCKET").is_some()
}

pub(super) fn clients(text: &mut Text, core: &Core, facts: &Facts) {
    text.heading("Clients");
    text.line("connected_clients", core.shared.clients());
    text.line("cluster_connections", 0);
    text.line("maxclients", core.config.maxclients);
    text.line("client_recent_max_input_buffer", facts.max(|part| part.clients.input_bytes_max));
    text.line("client_recent_max_output_buffer", facts.max(|part| part.clients.output_bytes_max));
    text.line("blocked_clients", facts.sum(|part| part.clients.blocked));
    text.line("tracking_clients", 0);
    text.line("clients_in_timeout_table", facts.sum(|part| part.clients.timed));
    text.line("watching_clients", facts.sum(|part| part.clients.watching));
    text.line("total_watched_keys", facts.sum(|part| part.clients.watched_keys));
}

pub(super) fn memory(text: &mut Text, core: &Core, facts: &Facts) {
    let memory = &facts.memory;
    text.heading("Memory");
    text.size("used_memory", memory.used);
    text.size("used_memory_rss", memory.rss);
    text.size("used_memory_peak", memory.peak);
    text.line("used_memory_peak_perc", format_args!("{:.2}%", memory.peak_percent()));
    text.line("used_memory_overhead", memory.overhead);
    text.line("used_memory_startup", memory.startup);
    text.line("used_memory_dataset", memory.dataset);
    text.line("used_memory_dataset_perc", format_args!("{:.2}%", memory.dataset_percent()));
    text.line("allocator_allocated", memory.allocated);
    text.line("allocator_active", memory.active);
    text.line("allocator_resident", memory.resident);
    text.size("total_system_memory", memory.system);
    text.line("used_memory_lua", 0);
    text.line("used_memory_vm_eval", 0);
    text.line("used_memory_lua_human", "0B");
    text.line("used_memory_scripts_eval", 0);
    text.line("number_of_cached_scripts", 0);
    text.line("number_of_functions", 0);
    text.line("number_of_libraries", 0);
    text.line("used_memory_vm_functions", 0);
    text.size("used_memory_vm_total", 0);
    text.line("used_memory_functions", 0);
    text.size("used_memory_scripts", 0);
    text.size("maxmemory", core.config.maxmemory);
    text.line("maxmemory_policy", core.config.maxmemory_policy.name());
    let fragmented = |a: u64, b: u64| (format!("{:.2}", ratio(a, b)), a as i128 - b as i128);
    for (name, (ratio, bytes)) in [
        ("allocator_frag", fragmented(memory.active, memory.allocated)),
        ("allocator_rss", fragmented(memory.resident, memory.active)),
        ("rss_overhead", fragmented(memory.rss, memory.resident)),
        ("mem_fragmentation", fragmented(memory.rss, memory.used)),
    ] {
        text.line(format_args!("{name}_ratio"), ratio);
        text.line(format_args!("{name}_bytes"), bytes);
    }
    text.line("mem_not_counted_for_evict", 0);
    text.line("mem_replication_backlog", 0);
    text.line("mem_total_replication_buffers", 0);
    text.line("mem_clients_slaves", 0);
    text.line("mem_clients_normal", memory.clients);
    text.line("mem_cluster_links", 0);
    text.line("mem_aof_buffer", 0);
    text.line("mem_allocator", "mimalloc");
    text.line("active_defrag_running", 0);
    text.line("lazyfree_pending_objects", facts.sum(|part| part.lazyfree_pending));
    text.line("lazyfreed_objects", facts.sum(|part| part.lazyfreed));
}

pub(super) fn persistence(text: &mut Text, core: &Core, facts: &Facts) {
    text.heading("Persistence");
    let progress = &core.shared.progress;
    text.line("loading", u8::from(core.is_loading()));
    for name in ["async_loading", "current_cow_peak", "current_cow_size", "current_cow_size_age"] {
        text.line(name, 0);
    }
    text.line("current_fork_perc", "0.00");
    let (saves, now_ms) = (&core.shared.saves, pinyon_runtime::clock::unix_ms());
    let (saved, all) = if saves.since().is_some() { saves.progress() } else { (0, 0) };
    let seconds_of = |rewrite: bool| match saves.since() {
        Some((since, is_rewrite)) if is_rewrite == rewrite => (now_ms - since).max(0) / 1000,
        _ => -1,
    };
    let status = if saves.has_failed() { "err" } else { "ok" };
    text.line("current_save_keys_processed", saved);
    text.line("current_save_keys_total", all);
    text.line("rdb_changes_since_last_save", facts.sum(|part| part.stats.dirty));
    text.line("rdb_bgsave_in_progress", u8::from(seconds_of(false) >= 0));
    text.line("rdb_last_save_time", saves.last_ms() / 1000);
    text.line("rdb_last_bgsave_status", status);
    text.line("rdb_last_bgsave_time_sec", saves.last_seconds());
    text.line("rdb_current_bgsave_time_sec", seconds_of(false));
    text.line("rdb_saves", saves.saves());
    let (keys, expired) = progress.keys();
    text.line("rdb_last_cow_size", 0);
    text.line("rdb_last_load_keys_expired", expired);
    text.line("rdb_last_load_keys_loaded", keys);
    let logs = || facts.parts.iter().filter_map(|part| part.log.as_ref());
    // Logs that have no base yet get one when the snapshot under way is there, or after a while if that has failed.
    let is_waiting = logs().any(|log| !log.counts) && seconds_of(true) < 0;
    text.line("aof_enabled", u8::from(core.config.appendonly));
    text.line("aof_rewrite_in_progress", u8::from(seconds_of(true) >= 0));
    text.line("aof_rewrite_scheduled", u8::from(saves.is_rewrite_scheduled() || is_waiting));
    text.line("aof_last_rewrite_time_sec", saves.last_seconds());
    text.line("aof_current_rewrite_time_sec", seconds_of(true));
    text.line("aof_last_bgrewrite_status", status);
    text.line("aof_rewrites", saves.rewrites());
    text.line("aof_rewrites_consecutive_failures", 0);
    text.line("aof_last_write_status", if core.log_trouble().is_some() { "err" } else { "ok" });
    text.line("aof_last_cow_size", 0);
    text.line("module_fork_in_progress", 0);
    text.line("module_fork_last_cow_size", 0);
    if core.config.appendonly {
        let grown = logs().map(|log| log.grown).sum::<u64>();
        text.line("aof_current_size", saves.bytes() + saves.logs_before() + grown);
        text.line("aof_base_size", saves.bytes());
        text.line("aof_pending_rewrite", 0);
        text.line("aof_buffer_length", logs().map(|log| log.backlog).sum::<u64>());
        text.line("aof_pending_bio_fsync", logs().map(|log| log.syncing).sum::<u64>());
        text.line("aof_delayed_fsync", logs().map(|log| log.delayed_syncs).sum::<u64>());
    }
    if let Some(since_ms) = progress.since_ms().filter(|_| core.is_loading()) {
        let (total, share) = (progress.bytes(), progress.share());
        let seconds = (pinyon_runtime::clock::unix_ms() - since_ms).max(0) as f64 / 1000.0;
        let left = if share > 0.0 { (seconds / share - seconds) as i64 } else { 1 };
        text.line("loading_start_time", since_ms / 1000);
        text.line("loading_total_bytes", total);
        text.line("loading_rss_used_mem", 0);
        text.line("loading_loaded_bytes", progress.loaded_bytes());
        text.line("loading_loaded_perc", format_args!("{:.2}", share * 100.0));
        text.line("loading_eta_seconds", left);
    }
}

pub(super) fn stats(text: &mut Text, _: &Core, facts: &Facts) {
    let kbps = |at: usize| format!("{:.2}", facts.sum(|part| part.rates[at]) as f64 / 1024.0);
    text.heading("Stats");
    text.line("total_connections_received", facts.sum(|part| part.stats.connections_received));
    text.line("total_commands_processed", facts.sum(|part| part.stats.commands_processed));
    text.line("instantaneous_ops_per_sec", facts.sum(|part| part.rates[0]));
    text.line("total_net_input_bytes", facts.sum(|part| part.io.recv_bytes));
    text.line("total_net_output_bytes", facts.sum(|part| part.io.sent_bytes));
    text.line("total_net_repl_input_bytes", 0);
    text.line("total_net_repl_output_bytes", 0);
    text.line("instantaneous_input_kbps", kbps(1));
    text.line("instantaneous_output_kbps", kbps(2));
    text.line("instantaneous_input_repl_kbps", "0.00");
    text.line("instantaneous_output_repl_kbps", "0.00");
    text.line("rejected_connections", facts.sum(|part| part.stats.connections_rejected));
    for name in ["sync_full", "sync_partial_ok", "sync_partial_err"] {
        text.line(name, 0);
    }
    text.line("expired_keys", facts.sum(|part| part.shard.expired));
    text.line("expired_fields", facts.sum(|part| part.shard.expired_fields));
    text.line("expired_stale_perc", "0.00");
    text.line("expired_time_cap_reached_count", 0);
    text.line("expire_cycle_cpu_milliseconds", 0);
    text.line("evicted_keys", facts.sum(|part| part.shard.evicted));
    text.line("evicted_clients", facts.sum(|part| part.stats.evicted_clients));
    text.line("total_eviction_exceeded_time", 0);
    text.line("current_eviction_exceeded_time", 0);
    text.line("keyspace_hits", facts.sum(|part| part.shard.hits));
    text.line("keyspace_misses", facts.sum(|part| part.shard.misses));
    text.line("pubsub_channels", facts.listened_to(Kind::Channel));
    text.line("pubsub_patterns", facts.listened_to(Kind::Pattern));
    text.line("pubsubshard_channels", facts.listened_to(Kind::Shard));
    for name in [
        "latest_fork_usec",
        "total_forks",
        "migrate_cached_sockets",
        "slave_expires_tracked_keys",
        "active_defrag_hits",
        "active_defrag_misses",
        "active_defrag_key_hits",
        "active_defrag_key_misses",
        "total_active_defrag_time",
        "current_active_defrag_time",
        "tracking_total_keys",
        "tracking_total_items",
        "tracking_total_prefixes",
    ] {
        text.line(name, 0);
    }
    text.line("unexpected_error_replies", facts.sum(|part| part.stats.unexpected_errors));
    text.line("total_error_replies", facts.sum(|part| part.stats.total_error_replies));
    text.line("dump_payload_sanitizations", 0);
    text.line("total_reads_processed", facts.sum(|part| part.io.recvs));
    text.line("total_writes_processed", facts.sum(|part| part.io.sends));
    text.line("io_threaded_reads_processed", 0);
    text.line("io_threaded_writes_processed", 0);
    text.line("client_query_buffer_limit_disconnections", facts.sum(|part| part.stats.query_buffer_disconnections));
    text.line("client_output_buffer_limit_disconnections", facts.sum(|part| part.stats.output_buffer_disconnections));
    text.line("reply_buffer_shrinks", 0);
    text.line("reply_buffer_expands", 0);
}

pub(super) fn replication(text: &mut Text, core: &Core, _: &Facts) {
    let backlog = directives::find("repl-backlog-size").map(|row| row.kind.print(&row.get(&core.config)));
    text.heading("Replication");
    text.line("role", "master");
    text.line("connected_slaves", 0);
    text.line("master_failover_state", "no-failover");
    text.line("master_replid", core.shared.replication_id());
    text.line("master_replid2", "0".repeat(40));
    text.line("master_repl_offset", 0);
    text.line("second_repl_offset", -1);
    text.line("repl_backlog_active", 0);
    text.line("repl_backlog_size", backlog.unwrap_or_default());
    text.line("repl_backlog_first_byte_offset", 0);
    text.line("repl_backlog_histlen", 0);
}

/// What Redis calls its main thread are the threads of the cores here, and nearly all of the process.
pub(super) fn cpu(text: &mut Text, _: &Core, _: &Facts) {
    let times = CpuTimes::now();
    let seconds = |us: u64| format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    text.heading("CPU");
    text.line("used_cpu_sys", seconds(times.system_us));
    text.line("used_cpu_user", seconds(times.user_us));
    text.line("used_cpu_sys_children", seconds(times.children_system_us));
    text.line("used_cpu_user_children", seconds(times.children_user_us));
    text.line("used_cpu_sys_main_thread", seconds(times.system_us));
    text.line("used_cpu_user_main_thread", seconds(times.user_us));
}

pub(super) fn modules(text: &mut Text, _: &Core, _: &Facts) {
    text.heading("Modules");
}

pub(super) fn cluster(text: &mut Text, _: &Core, facts: &Facts) {
    text.heading("Cluster");
    text.line("cluster_enabled", u8::from(facts.node.is_some()));
}

pub(super) fn keyspace(text: &mut Text, _: &Core, facts: &Facts) {
    text.heading("Keyspace");
    for (number, db) in facts.shown_dbs().iter().enumerate().filter(|(_, db)| db.keys > 0) {
        let (keys, volatile, ttl, fading) = (db.keys, db.volatile, db.average_ttl_ms(), db.fading);
        // The last as Valkey has it.
        let line = format_args!("keys={keys},expires={volatile},avg_ttl={ttl},keys_with_volatile_items={fading}");
        text.line(format_args!("db{number}"), line);
    }
}
