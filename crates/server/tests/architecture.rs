//! The invariants of ARCHITECTURE.md that can be read off the source: most of them are absences.
//!
//! It looks at text, not at types: comments and literals are blanked out first, so that only names in code count. What it
//! cannot see (a dependency that does I/O, a macro that hides a name) is left to review.

#[path = "architecture/source.rs"]
mod source;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use source::{Manifest, Source, all_files, children, is_whole, line_of, name, path_of, root, sources};

// ------------------------------------------------------------------------------------------------------ what is allowed

/// A crate, and what its manifest may name.
struct Crate {
    folder: &'static str,
    /// Crates of this workspace, by folder.
    inner: &'static [&'static str],
    outer: &'static [&'static str],
    /// For its tests only.
    dev: &'static [&'static str],
}

const CRATES: &[Crate] = &[
    Crate { folder: "base", inner: &[], outer: &[], dev: &["proptest"] },
    Crate { folder: "resp", inner: &["base"], outer: &["memchr", "thiserror"], dev: &["proptest"] },
    Crate {
        folder: "values",
        inner: &["base"],
        outer: &["ahash", "crc", "lz4_flex", "thiserror"],
        dev: &["pinyon-runtime", "proptest"],
    },
    Crate {
        folder: "engine",
        inner: &["base", "resp", "values"],
        outer: &["ahash", "bitflags", "thiserror"],
        dev: &["mimalloc", "proptest"],
    },
    Crate {
        folder: "durability",
        inner: &["base"],
        outer: &["crc64fast", "lz4_flex", "thiserror"],
        dev: &["proptest"],
    },
    Crate {
        folder: "runtime",
        inner: &["base", "durability", "resp"],
        outer: &["glommio", "io-uring", "libc", "mimalloc", "rtrb", "thiserror", "tracing"],
        dev: &[],
    },
    Crate {
        folder: "server",
        inner: &["base", "durability", "resp", "values", "engine", "exchange", "runtime"],
        outer: &["ahash", "bitflags", "clap", "hdrhistogram", "thiserror", "tracing", "tracing-subscriber"],
        dev: &["pinyon-testkit", "proptest"],
    },
    Crate { folder: "exchange", inner: &["base", "values", "durability", "engine"], outer: &["thiserror"], dev: &[] },
    Crate {
        folder: "tool",
        inner: &["base", "durability", "engine", "exchange"],
        outer: &["clap", "thiserror"],
        dev: &["pinyon-testkit"],
    },
    Crate { folder: "sim", inner: &["base", "durability"], outer: &[], dev: &[] },
    Crate { folder: "testkit", inner: &["base", "resp", "values", "engine"], outer: &[], dev: &[] },
    Crate {
        folder: "bench",
        inner: &["base"],
        outer: &["clap", "hdrhistogram", "io-uring", "libc", "memchr", "serde", "serde_json", "thiserror"],
        dev: &["pinyon-testkit", "proptest"],
    },
];

/// Crates that no server contains.
const DEV_CRATES: &[&str] = &["bench", "sim", "testkit"];
/// Crates in which `unsafe` is allowed anywhere.
const UNSAFE_CRATES: &[&str] = &["runtime"];
/// Files of the engine and of the load generator in which it is allowed, too.
const UNSAFE_FILES: &[&str] = &[
    "bench/src/load/wire/buffers.rs",
    "bench/src/load/wire/kernel.rs",
    "bench/src/load/wire/mod.rs",
    "bench/src/load/wire/ring.rs",
    "crates/engine/src/keyspace/block.rs",
    "crates/engine/src/keyspace/directory.rs",
    "crates/engine/src/keyspace/entry.rs",
    "crates/engine/src/keyspace/region.rs",
    "crates/engine/src/keyspace/segment.rs",
    "crates/engine/src/keyspace/slab.rs",
    "crates/engine/src/keyspace/table.rs",
];

/// Folders outside the runtime that may talk to the kernel themselves: the load generator has a ring of its own, as it must
/// not share what it measures.
const KERNEL_FOLDERS: &[&str] = &["bench/src/load/wire/"];

/// Files in which cores may share something that changes: counters, and what is made once.
const SHARING_FILES: &[&str] = &[
    "crates/engine/src/command/registry.rs",
    "crates/engine/src/record/encode.rs",
    "crates/server/src/client_memory.rs",
    "crates/server/src/commands/info/process.rs",
    "crates/server/src/log/progress.rs",
    "crates/server/src/migration.rs",
    "crates/server/src/logging.rs",
    "crates/server/src/pubsub/audience.rs",
    "crates/server/src/room.rs",
    "crates/server/src/save/status.rs",
    "crates/server/src/shared.rs",
    "crates/server/src/tx/planted.rs",
];
/// Files of the runtime that take a lock: connections handed to another core, and the start and stop of the threads.
const LOCKING_FILES: &[&str] = &["crates/runtime/src/mesh.rs", "crates/runtime/src/run.rs"];

/// Files of the server that do file, socket or process work of their own: at the start, for an operator's command, or for
/// the log. None of them is on a key command's way.
const SYSTEM_FILES: &[&str] = &[
    "crates/server/src/cli.rs",
    "crates/server/src/commands/debug/mod.rs",
    "crates/server/src/commands/info/process.rs",
    "crates/server/src/migration.rs",
    "crates/server/src/config/",
    "crates/server/src/log/claim.rs",
    "crates/server/src/log/import.rs",
    "crates/server/src/logging.rs",
    "crates/server/src/main.rs",
    "crates/server/src/rebind.rs",
    "crates/server/src/serve.rs",
    "crates/server/src/startup.rs",
    "crates/server/src/systemd.rs",
];

const LINES_MAX: usize = 800;

// ------------------------------------------------------------------------------------------------------------ the checks

#[test]
fn crates_depend_only_on_what_they_may() {
    let mut wrong = Vec::new();
    let sources = sources();
    let mut folders: BTreeSet<String> = children(&root().join("crates")).iter().map(|path| name(path)).collect();
    folders.insert("bench".to_owned());
    let known: BTreeSet<String> = CRATES.iter().map(|one| one.folder.to_owned()).collect();
    if folders != known {
        wrong.push(format!("the crates are {folders:?}, this test knows {known:?}"));
    }
    for one in CRATES {
        let manifest = Manifest::read(&format!("{}/Cargo.toml", path_of(one.folder)));
        let inner = one.inner.iter().map(|folder| format!("pinyon-{folder}"));
        let may: BTreeSet<String> = inner.chain(one.outer.iter().map(|name| (*name).to_owned())).collect();
        let dev: BTreeSet<String> = may.iter().cloned().chain(one.dev.iter().map(|name| (*name).to_owned())).collect();
        for (section, allowed) in [("dependencies", &may), ("dev-dependencies", &dev), ("build-dependencies", &may)] {
            let others = manifest.keys(section).filter(|name| !allowed.contains(name));
            wrong.extend(others.map(|name| format!("crates/{}: [{section}] names {name}", one.folder)));
        }
        let uses = |name: &String| {
            let word = name.replace('-', "_");
            let of_crate = |file: &&Source| file.crate_folder() == Some(one.folder);
            sources
                .iter()
                .filter(of_crate)
                .any(|file| file.code.match_indices(&word).any(|(at, _)| is_whole(&file.code, at, &word)))
        };
        let named: BTreeSet<String> = manifest.keys("dependencies").chain(manifest.keys("dev-dependencies")).collect();
        wrong.extend(
            named.iter().filter(|name| !uses(name)).map(|name| format!("crates/{}: no use of {name}", one.folder)),
        );
        if manifest.value("lints", "workspace") != Some("true") {
            wrong.push(format!("crates/{}: does not take over the workspace's lints", one.folder));
        }
    }
    let workspace = Manifest::read("Cargo.toml");
    for (section, lint) in
        [("workspace.lints.rust", "unsafe_op_in_unsafe_fn"), ("workspace.lints.clippy", "undocumented_unsafe_blocks")]
    {
        if workspace.value(section, lint) != Some("\"deny\"") {
            wrong.push(format!("Cargo.toml: [{section}] does not deny {lint}"));
        }
    }
    nothing(wrong);
}

#[test]
fn only_the_runtime_talks_to_the_kernel() {
    let inside = |file: &&Source| {
        file.crate_folder() == Some("runtime") || KERNEL_FOLDERS.iter().any(|folder| file.path.starts_with(folder))
    };
    let outside = |file: &&Source| !inside(file);
    nothing(uses(sources().iter().filter(outside), &["io_uring", "glommio", "libc", "extern \"C\""]));
}

#[test]
fn unsafe_lives_in_the_runtime_and_in_the_table() {
    let mut wrong = Vec::new();
    let allowed = |file: &Source| {
        file.crate_folder().is_some_and(|folder| UNSAFE_CRATES.contains(&folder))
            || UNSAFE_FILES.contains(&file.path.as_str())
    };
    let sources = sources();
    wrong.extend(uses(sources.iter().filter(|file| !allowed(file)), &["unsafe", "allow(unsafe_code)"]));
    for one in CRATES.iter().filter(|one| !UNSAFE_CRATES.contains(&one.folder)) {
        let has_unsafe_files = UNSAFE_FILES.iter().any(|file| file.starts_with(&format!("{}/", path_of(one.folder))));
        let level = if has_unsafe_files { "#![deny(unsafe_code)]" } else { "#![forbid(unsafe_code)]" };
        let is_root = |file: &&Source| {
            ["lib.rs", "main.rs"].iter().any(|root| file.path == format!("{}/src/{root}", path_of(one.folder)))
        };
        let roots: Vec<&Source> = sources.iter().filter(is_root).collect();
        if roots.is_empty() || roots.iter().any(|root| !root.code.contains(level)) {
            wrong.push(format!("crates/{}: its root does not say {level}", one.folder));
        }
    }
    nothing(wrong);
}

#[test]
fn the_engine_performs_no_io_and_reads_no_clock() {
    const MODULES: &[&str] = &["env", "fs", "io", "net", "os", "process", "time"];
    const NAMES: &[&str] = &[
        "Instant",
        "SystemTime",
        "thread::sleep",
        "thread::spawn",
        "print!",
        "println!",
        "eprint!",
        "eprintln!",
        // And nothing whose order or outcome differs from one process to the next.
        "HashMap",
        "HashSet",
        "thread_rng",
        "getrandom",
        "RandomState::new",
    ];
    let sources = sources();
    let pure = |file: &&Source| ["base", "resp", "values", "engine"].iter().any(|folder| file.is_product_of(folder));
    let mut wrong = uses(sources.iter().filter(pure), NAMES);
    for file in sources.iter().filter(pure) {
        let found = MODULES.iter().filter(|module| file.imports_of_std().any(|import| import == **module));
        wrong.extend(found.map(|module| format!("{}: std::{module}", file.path)));
    }
    nothing(wrong);
}

#[test]
fn no_locks_on_the_data_path() {
    const LOCKS: &[&str] = &["Mutex", "RwLock", "Condvar", "Barrier", "static mut", "parking_lot"];
    const SHARED: &[&str] = &["sync::atomic", "OnceLock", "LazyLock", "thread_local!"];
    const THREADS: &[&str] = &["thread::spawn", "thread::Builder", "thread::scope", "mpsc", "async fn", ".await"];
    let sources = sources();
    let product =
        |file: &&Source| CRATES.iter().any(|one| !DEV_CRATES.contains(&one.folder) && file.is_product_of(one.folder));
    let mut wrong =
        uses(sources.iter().filter(product).filter(|file| !LOCKING_FILES.contains(&file.path.as_str())), LOCKS);
    let above = |file: &&Source| product(file) && !file.is_product_of("runtime");
    wrong
        .extend(uses(sources.iter().filter(above).filter(|file| !SHARING_FILES.contains(&file.path.as_str())), SHARED));
    wrong.extend(uses(sources.iter().filter(above), THREADS));
    nothing(wrong);
}

#[test]
fn commands_on_keys_touch_no_files() {
    const SYSTEM: &[&str] =
        &["std::fs", "fs::", "File::", "std::net::Tcp", "std::net::Udp", "std::process::Command", "thread::sleep"];
    let elsewhere = |file: &&Source| {
        file.is_product_of("server") && !SYSTEM_FILES.iter().any(|allowed| file.path.starts_with(allowed))
    };
    nothing(uses(sources().iter().filter(elsewhere), SYSTEM));
}

/// A field of `Config` that nobody reads is a directive that says it has an effect and has none: its row should be `Kept`.
#[test]
fn every_directive_with_an_effect_is_read() {
    let sources = sources();
    let declaration =
        sources.iter().find(|file| file.path == "crates/server/src/config/mod.rs").expect("the configuration");
    let (_, rest) = declaration.code.split_once("\nconfig! {").expect("its fields");
    let (fields, _) = rest.split_once("\n}").expect("their end");
    // Where values come in, are checked against each other and are printed: no effect.
    let plumbing = ["mod.rs", "field.rs", "load.rs", "rewrite.rs", "commented.rs", "directives/", "tests/"];
    let readers: Vec<&Source> = sources
        .iter()
        .filter(|file| file.is_product_of("server"))
        .filter(|file| !plumbing.iter().any(|part| file.path.starts_with(&format!("crates/server/src/config/{part}"))))
        .collect();
    let names = fields.lines().filter_map(|line| line.trim().split_once(':')).map(|(name, _)| name);
    let unread = names.filter(|name| !readers.iter().any(|file| file.names(&format!(".{name}")).next().is_some()));
    nothing(unread.map(|name| format!("{}: nobody reads `{name}`", declaration.path)).collect());
}

#[test]
fn files_open_with_what_they_are_and_stay_short() {
    let mut wrong = Vec::new();
    for file in sources() {
        if !file.text.starts_with("//!") {
            wrong.push(format!("{}: does not open with //!", file.path));
        }
        let lines = file.text.lines().count();
        if lines > LINES_MAX {
            wrong.push(format!("{}: {lines} lines, more than {LINES_MAX}: split it by noun", file.path));
        }
        let name = Path::new(&file.path).file_name().unwrap_or_default().to_string_lossy();
        if ["utils.rs", "util.rs", "common.rs", "misc.rs", "types.rs", "helpers.rs"].contains(&&*name) {
            wrong.push(format!("{}: a name that says nothing", file.path));
        }
    }
    nothing(wrong);
}

#[test]
fn nothing_is_left_to_do() {
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("X", "XX"),
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("db", "g!("),
    ];
    nothing(mentions(&words, is_whole));
}

#[test]
fn no_path_of_a_machine() {
    let places = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];
    nothing(mentions(&places, |_, _, _| true));
}

/// ARCHITECTURE.md names every file of the crates, or its folder, and no file that is not there; and every dependency.
#[test]
fn the_code_map_is_complete() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let mapped: BTreeSet<&str> = text
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| word.starts_with("crates/") || word.starts_with("bench/src/"))
        .collect();
    let mut wrong: Vec<String> = mapped
        .iter()
        .filter(|path| !root().join(path).exists())
        .map(|path| format!("ARCHITECTURE.md: {path} does not exist"))
        .collect();
    let covers =
        |path: &str| mapped.iter().any(|entry| *entry == path || (entry.ends_with('/') && path.starts_with(entry)));
    let inside = |file: &&Source| CRATES.iter().any(|one| file.is_product_of(one.folder));
    let missing = sources()
        .iter()
        .filter(inside)
        .filter(|file| !covers(&file.path))
        .map(|file| file.path.clone())
        .collect::<Vec<_>>();
    wrong.extend(missing.into_iter().map(|path| format!("ARCHITECTURE.md: its code map lacks {path}")));
    let workspace = Manifest::read("Cargo.toml");
    let dependencies = workspace.keys("workspace.dependencies").filter(|name| !name.starts_with("pinyon-"));
    let unnamed = dependencies.filter(|name| !text.contains(&format!("| `{name}` |")));
    wrong.extend(unnamed.map(|name| format!("ARCHITECTURE.md: its table of dependencies lacks {name}")));
    nothing(wrong);
}

/// An allowance for a file that is gone would be one for whatever comes under its name.
#[test]
fn what_is_allowed_is_there() {
    let lists = [UNSAFE_FILES, KERNEL_FOLDERS, SHARING_FILES, LOCKING_FILES, SYSTEM_FILES];
    let gone = lists.into_iter().flatten().filter(|path| !root().join(path).exists());
    nothing(gone.map(|path| format!("{path}: allowed more than others, and not there")).collect());
}

// ------------------------------------------------------------------------------------------------------------ searching

/// Each use of one of the words, as "path:line: word".
fn uses<'a>(files: impl Iterator<Item = &'a Source>, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        for word in words {
            found.extend(file.names(word).map(|line| format!("{}:{line}: {word}", file.path)));
        }
    }
    found
}

/// Each mention of one of the words in any text file, comments included.
fn mentions(words: &[&str], counts: fn(&str, usize, &str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for path in all_files() {
        let Ok(text) = fs::read_to_string(root().join(&path)) else { continue };
        for word in words {
            let hits = text.match_indices(word).filter(|&(at, _)| counts(&text, at, word));
            found.extend(hits.map(|(at, _)| format!("{path}:{}: {word}", line_of(&text, at))));
        }
    }
    found
}

fn nothing(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "\n  {}\n", wrong.join("\n  "));
}
