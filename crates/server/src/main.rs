//! The server's binary.
#![forbid(unsafe_code)]

mod blocking;
mod cli;
mod client_memory;
mod clients;
mod commands;
mod config;
mod core;
mod cron;
mod dispatch;
mod exec;
mod fast;
mod gather;
mod hop;
mod input;
mod kept;
mod latency;
mod log;
mod logging;
mod migration;
mod nodes;
mod pubsub;
mod rebind;
mod remote;
mod resolve;
mod room;
mod save;
mod secrets;
mod serve;
mod session;
mod settings;
mod shared;
mod shutdown;
mod slab;
mod slices;
mod slots;
mod slowlog;
mod startup;
mod stats;
mod systemd;
mod tx;

use std::process::ExitCode;

use pinyon_runtime::{host, memory};

use cli::Invocation;
use config::Loaded;
use serve::{ServeError, Server};
use startup::{Facts, PidFile};
use systemd::Supervisor;

#[global_allocator]
static ALLOCATOR: pinyon_runtime::memory::Counting = pinyon_runtime::memory::Counting;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Invocation::Print { text, status } => print(&text, status),
        Invocation::Check(options) => {
            let (text, status) = cli::check(&options);
            print(&text, status)
        }
        Invocation::Run(options) => match cli::configure(&options) {
            Ok(loaded) => match serve(loaded) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    tracing::error!("{error}");
                    // The log may be a file; whoever typed the command looks at the terminal.
                    eprintln!("pinyon-server: {error}");
                    ExitCode::FAILURE
                }
            },
            Err(text) => print(&text, 1),
        },
    }
}

/// Prints a text, to the standard error when it is about a failure.
fn print(text: &str, status: u8) -> ExitCode {
    if status == 0 {
        print!("{text}");
    } else {
        eprint!("{text}");
    }
    ExitCode::from(status)
}

/// Runs the server until it is told to stop.
fn serve(loaded: Loaded) -> Result<(), ServeError> {
    startup::begin(&loaded)?;
    let host = pinyon_runtime::check_kernel()?;
    if loaded.config.disable_thp
        && let Err(error) = memory::without_huge_pages()
    {
        tracing::warn!("transparent huge pages stay as the host has them: {error}");
    }
    let supervisor = Supervisor::of_process(loaded.config.supervised);
    let server = Server::bind(loaded.config.clone(), loaded.file.clone())?;
    let (backlog, huge_pages) = (loaded.config.tcp_backlog, !loaded.config.disable_thp);
    let advice = host::advice(&host, server.cpus().len(), backlog, server.maxclients(), huge_pages);
    let facts = Facts {
        config: &loaded.config,
        config_file: loaded.file.as_deref(),
        directives: loaded.directives,
        addresses: server.addresses(),
        cpus: server.cpus(),
        kernel: &host.release,
        advice: &advice,
    };
    startup::announce(&facts);
    let pid_file = PidFile::create(loaded.config.pidfile.as_deref());
    supervisor.ready(&facts.listening());
    server.run()?;
    supervisor.stopping();
    drop(pid_file);
    tracing::info!("Pinyon is now ready to exit, bye bye...");
    Ok(())
}
