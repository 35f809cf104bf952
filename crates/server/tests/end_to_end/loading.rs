//! What a server says while it loads its data.

use pinyon_testkit::Client;

use super::durability::{Store, terminate};
use super::{connect, eventually, info, options, say};

const LOADING: &str = "-LOADING Redis is loading the dataset in memory";
const KEYS: usize = 6_000;

fn loading(client: &mut Client, field: &str) -> String {
    info(client, "persistence", &format!("loading_{field}"))
}

#[test]
fn it_says_how_far_it_is_and_refuses_the_rest() {
    let store = Store::new();
    let server = store.open(2, &[]);
    let mut client = connect(&server);
    for number in 0..KEYS {
        // Nothing that compresses well: the snapshot is to have many blocks.
        let value: String = (0..60_u64)
            .map(|at| format!("{:x}", (number as u64 * 60 + at).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
            .collect();
        assert_eq!(say(&mut client, &format!("SET key:{number} {value}")), "OK");
    }
    assert_eq!(say(&mut client, "SAVE"), "OK");
    terminate(server);

    let options = options().shards(2).log_in(&store.0).args(["--key-load-delay", "100000"]).while_loading();
    let server = options.start().expect("it answers");
    let mut client = connect(&server);
    assert_eq!(info(&mut client, "persistence", "loading"), "1");
    for line in ["PING", "GET key:1", "SET key:1 a", "DBSIZE", "WAITAOF 1 0 0", "FLUSHALL"] {
        assert_eq!(say(&mut client, line), LOADING, "{line}");
    }
    assert_eq!(say(&mut client, "MULTI"), "OK");
    assert_eq!(say(&mut client, "GET key:1"), LOADING);
    assert!(say(&mut client, "EXEC").starts_with("-EXECABORT"));
    let total: f64 = loading(&mut client, "total_bytes").parse().expect("a number");
    assert!(total > KEYS as f64 * 500.0, "{total}");
    eventually("a part has been loaded", || {
        // Both of one look.
        let text = say(&mut client, "INFO persistence");
        let of = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        let (bytes, percent): (f64, f64) =
            (of("loading_loaded_bytes:").expect("a number"), of("loading_loaded_perc:").expect("a number"));
        assert!(percent < 100.0 && (bytes / total * 100.0 - percent).abs() < 0.1, "{bytes} of {total}: {percent}");
        percent > 0.0
    });
    assert_ne!(loading(&mut client, "start_time"), "0");
    assert!(loading(&mut client, "eta_seconds").parse::<u64>().is_ok());

    assert_eq!(say(&mut client, "CONFIG SET key-load-delay 0"), "OK");
    eventually("all has been loaded", || say(&mut client, "DBSIZE") == KEYS.to_string());
    assert_eq!(info(&mut client, "persistence", "loading"), "0");
    assert!(say(&mut client, "INFO persistence").lines().all(|line| !line.starts_with("loading_")));
    terminate(server);
}
