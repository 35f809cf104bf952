//! Limits on what a connection may make the server hold: output that nobody reads, input without an end, and the memory of
//! all clients together.

use pinyon_testkit::Client;

use super::{call, connect, eventually, info_number, is_closed, say, start};

/// Asks for `count` replies of a large value and reads none of them.
fn ask_and_do_not_read(client: &mut Client, key: &str, count: usize) {
    let text = format!("GET {key}\r\n").repeat(count);
    client.send_raw(text.as_bytes()).expect("room to send");
}

fn set_large(client: &mut Client, key: &str, bytes: usize) {
    assert_eq!(call(client, &[b"SET", key.as_bytes(), &vec![b'x'; bytes]]), "OK");
}

#[test]
fn a_reader_that_does_not_read_is_closed() {
    let server = start(&["--client-output-buffer-limit", "normal", "4mb", "0", "0"]);
    let mut writer = connect(&server);
    set_large(&mut writer, "large", 1 << 20);
    let mut lazy = connect(&server);
    ask_and_do_not_read(&mut lazy, "large", 64);
    eventually("it is closed", || info_number(&mut writer, "stats", "client_output_buffer_limit_disconnections") == 1);
    eventually("it is gone", || info_number(&mut writer, "clients", "connected_clients") == 1);
    // Who reads may ask for as much.
    let mut busy = connect(&server);
    for _ in 0..64 {
        assert_eq!(say(&mut busy, "STRLEN large"), (1 << 20).to_string());
        assert_eq!(busy.line("GET large").expect("a reply").as_bytes().map(<[u8]>::len), Some(1 << 20));
    }
}

#[test]
fn a_soft_limit_needs_its_time() {
    let server = start(&["--client-output-buffer-limit", "normal", "0", "2mb", "1"]);
    let mut writer = connect(&server);
    set_large(&mut writer, "large", 1 << 20);
    let mut lazy = connect(&server);
    let begin = std::time::Instant::now();
    ask_and_do_not_read(&mut lazy, "large", 32);
    eventually("it is closed", || info_number(&mut writer, "stats", "client_output_buffer_limit_disconnections") == 1);
    assert!(begin.elapsed().as_millis() >= 900, "{:?}", begin.elapsed());
}

/// Without a limit the replies wait for as long as it takes.
#[test]
fn a_slow_reader_gets_everything() {
    const COUNT: usize = 48;
    let server = start(&[]);
    let mut client = connect(&server);
    set_large(&mut client, "large", 1 << 20);
    ask_and_do_not_read(&mut client, "large", COUNT);
    let mut other = connect(&server);
    for number in 0..200 {
        assert_eq!(say(&mut other, &format!("SET k{number} v")), "OK", "others are not held up");
    }
    for _ in 0..COUNT {
        assert_eq!(client.receive().expect("a reply").as_bytes().map(<[u8]>::len), Some(1 << 20));
    }
}

#[test]
fn a_command_without_an_end_is_closed() {
    let server = start(&["--client-query-buffer-limit", "1mb"]);
    let mut client = connect(&server);
    let mut greedy = connect(&server);
    greedy.send_raw(b"*2\r\n$4\r\nECHO\r\n$100000000\r\n").expect("room to send");
    let chunk = vec![b'x'; 1 << 16];
    // Whether the writer or only the reader sees the end depends on when the server closes.
    let sent = (0..100).take_while(|_| greedy.send_raw(&chunk).is_ok()).count();
    assert!(sent >= 16, "{sent} chunks before the end");
    assert!(is_closed(&mut greedy));
    assert_eq!(info_number(&mut client, "stats", "client_query_buffer_limit_disconnections"), 1);
    assert_eq!(say(&mut client, "PING"), "PONG");
    // A value below the limit passes.
    set_large(&mut client, "ok", 900_000);
}

/// The largest go first, whichever cores they are on; those that are not to be evicted stay.
#[test]
fn the_largest_clients_are_evicted() {
    let server = start(&[]);
    let mut boss = connect(&server);
    assert_eq!(say(&mut boss, "CLIENT NO-EVICT on"), "OK");
    set_large(&mut boss, "large", 1 << 20);
    let mut small: Vec<Client> = (0..6).map(|_| connect(&server)).collect();
    assert!(small.iter_mut().all(|client| say(client, "PING") == "PONG"));
    // Incomplete commands are held in memory: some, a large one, and one that is spared.
    const BYTES: usize = 8_000_000;
    let hold = |client: &mut Client, bytes: usize| {
        client.send_raw(format!("*2\r\n$4\r\nECHO\r\n${BYTES}\r\n").as_bytes()).expect("room to send");
        client.send_raw(&vec![b'x'; bytes]).expect("room to send");
    };
    let mut spared = connect(&server);
    assert_eq!(say(&mut spared, "CLIENT NO-EVICT on"), "OK");
    hold(&mut spared, 5_000_000);
    let mut large: Vec<Client> = (0..5).map(|_| connect(&server)).collect();
    for client in &mut large {
        hold(client, 300_000);
    }
    let mut largest = connect(&server);
    hold(&mut largest, 4_000_000);
    eventually("all of it has arrived", || sizes(&mut boss).iter().filter(|(query, _)| *query > 290_000).count() == 7);
    let (spared_bytes, total) = {
        let sizes = sizes(&mut boss);
        let memory = sizes.iter().map(|(_, memory)| *memory);
        (memory.clone().max().expect("clients"), memory.sum::<u64>())
    };
    // Room for all but the largest that may go.
    assert_eq!(say(&mut boss, &format!("CONFIG SET maxmemory-clients {}", total - 1_000_000)), "OK");
    eventually("one is evicted", || info_number(&mut boss, "stats", "evicted_clients") == 1);
    assert!(is_closed(&mut largest));
    // Room for the one that is spared, and the small ones.
    assert_eq!(say(&mut boss, &format!("CONFIG SET maxmemory-clients {}", spared_bytes + 250_000)), "OK");
    eventually("the large ones are evicted", || info_number(&mut boss, "stats", "evicted_clients") == 6);
    assert!(large.iter_mut().all(is_closed));
    assert!(small.iter_mut().all(|client| say(client, "PING") == "PONG"), "the small ones stay");
    spared.send_raw(&vec![b'x'; BYTES - 5_000_000]).expect("room to send");
    spared.send_raw(b"\r\n").expect("room to send");
    assert_eq!(spared.receive().expect("a reply").as_bytes().map(<[u8]>::len), Some(BYTES));
}

/// Of each client: the bytes of input that wait, and the memory that it takes.
fn sizes(boss: &mut Client) -> Vec<(u64, u64)> {
    let list = say(boss, "CLIENT LIST");
    let number = |line: &str, name: &str| -> u64 {
        let found = line.split(' ').find_map(|word| word.strip_prefix(name));
        found.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{name} in {line}"))
    };
    list.lines().map(|line| (number(line, "qbuf="), number(line, "tot-mem="))).collect()
}
