//! The server's binary.
#![forbid(unsafe_code)]

mod client_memory;
mod clients;
mod commands;
mod config;
mod core;
mod cron;
mod dispatch;
mod exec;
mod gather;
mod hop;
mod latency;
mod multi;
mod remote;
mod serve;
mod session;
mod settings;
mod shared;
mod slab;
mod slices;
mod slots;
mod slowlog;
mod stats;

#[global_allocator]
static ALLOCATOR: pinyon_runtime::memory::Counting = pinyon_runtime::memory::Counting;

fn main() {
    let mut directives = Vec::new();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut at = 0;
    while at < args.len() {
        let name = args[at].trim_start_matches("--").to_owned();
        let mut words = Vec::new();
        at += 1;
        while at < args.len() && !args[at].starts_with("--") {
            words.push(args[at].clone());
            at += 1;
        }
        directives.push((name, words));
    }
    let loaded = config::load(&config::Options { directives, ..Default::default() }).expect("config");
    let server = serve::Server::bind(loaded.config, loaded.file).expect("bind");
    println!("listening on {:?} cpus {:?}", server.addresses(), server.cpus());
    server.run().expect("run");
}
