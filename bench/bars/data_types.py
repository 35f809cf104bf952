#!/usr/bin/env python3
"""Bars 3, 4 and 5 of the data types: memory, speed and stalls of collections, beside valkey.

memory   resident bytes that a data set adds, on one core: 1 M hashes of ten small fields, a sorted set of 5 M members, 1 M sets of
         ten integers, a list of 10 M items, a stream of 5 M entries. A fresh server for each. Bar: 0.8 of valkey.
speed    server CPU (user and kernel) per command, one core of the server's, 50 connections, 16 deep, the load on the other core;
         the servers take turns within a round, and data are made anew in each. Bar: 0.65 of valkey.
stalls   GET of other keys, one after the other on a connection of its own, while something big is under way: a set of 10 M
         elements is deleted, expires, is united (SUNION to the client and SUNIONSTORE); while ZADDs go to a sorted set of 10 M
         elements that a snapshot is being written of; and big replies and scans beside them. Bar: p99.9 at most 1 ms above
         its quiet value.

pinyon-bench (target/release, or PINYON_BENCH) makes the load of the second part.
"""

import gc
import json
import multiprocessing
import os
import socket
import subprocess
import time

import bars


# ---------------------------------------------------------------------------------------------------- loading


def pump(port, form, numbers, count, lines=1, batch=200):
    """Sends `count` commands, `form` with `numbers(i)` filled in for the i-th; each answers `lines` lines. Returns the seconds."""
    start = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), 300) as s:
        owed = 0
        for first in range(0, count, batch):
            last = min(first + batch, count)
            filled = [n for i in range(first, last) for n in numbers(i)]
            s.sendall(form * (last - first) % tuple(filled))
            owed = read_lines(s, owed)
            owed += lines * (last - first)
        read_lines(s, owed)
    return time.monotonic() - start


def read_lines(s, owed):
    while owed > 0:
        got = s.recv(1 << 18)
        if not got:
            raise EOFError("the server closed the connection under load")
        if got.startswith(b"-"):
            raise bars.ReplyError(got[:200].decode(errors="replace"))
        owed -= got.count(b"\n")
    return owed


def scrambled(i):
    """Numbers below a million in no order."""
    return i * 2_654_435_761 % 1_000_003 % 1_000_000


def words(*parts):
    """A command as a format: `%` placeholders of fixed width stand in its words, whose lengths are given where they differ."""
    out = [b"*%d\r\n" % len(parts)]
    for part in parts:
        text, length = part if isinstance(part, tuple) else (part, len(part))
        out.append(b"$%d\r\n%b\r\n" % (length, text))
    return b"".join(out)


HASH = words(b"HSET", (b"user:%07d", 12), *(w for f in range(10) for w in (b"field%d" % f, (b"value-%06d", 12))))
ZADD = words(b"ZADD", b"ranking", *[w for _ in range(50) for w in ((b"%06d", 6), (b"member:%08d", 15))])
SET = words(b"SADD", (b"ids:%07d", 11), *[(b"%06d", 6)] * 10)
LIST = words(b"RPUSH", b"queue", *[(b"item:%08d", 13)] * 50)
STREAM = words(b"XADD", b"events", b"*", b"sensor", (b"%06d", 6), b"value", (b"%06d", 6))
BIG_SET = words(b"SADD", b"%s", *[(b"element:%08d", 16)] * 50)


def hashes(port, count):
    pump(port, HASH, lambda i: [i, *(scrambled(i * 10 + f) for f in range(10))], count)


def sorted_set(port, count):
    pump(port, ZADD, lambda i: [n for j in range(i * 50, i * 50 + 50) for n in (100_000 + scrambled(j) % 900_000, j)], count // 50, batch=40)


def sets(port, count):
    # Ten different integers each, without leading zeros.
    pump(port, SET, lambda i: [i, *(100_000 + (scrambled(i) + f * 83_337) % 900_000 for f in range(10))], count)


def long_list(port, count):
    pump(port, LIST, lambda i: range(i * 50, i * 50 + 50), count // 50, batch=40)


def stream(port, count):
    pump(port, STREAM, lambda i: [scrambled(i), scrambled(i + 77)], count, lines=2)


def big_set(port, key, count):
    pump(port, BIG_SET.replace(b"$2\r\n%s", b"$%d\r\n%b" % (len(key), key)), lambda i: range(i * 50, i * 50 + 50), count // 50, batch=40)


# name: loader, how many, and what must be there then
DATA = {
    "1 M hashes of 10 fields": (hashes, 1_000_000, ("DBSIZE",)),
    "sorted set of 5 M members": (sorted_set, 5_000_000, ("ZCARD", "ranking")),
    "1 M sets of 10 integers": (sets, 1_000_000, ("DBSIZE",)),
    "list of 10 M items": (long_list, 10_000_000, ("LLEN", "queue")),
    "stream of 5 M entries": (stream, 5_000_000, ("XLEN", "events")),
}


def memory(options):
    bars.pin_load()
    rows = []
    for case, (loader, count, question) in DATA.items():
        if options.case and options.case not in case:
            continue
        count = int(count * options.scale)
        grown = {}
        for name in bars.names(options):
            with bars.Server(name) as server:
                empty = server.settled_rss(0.3)
                begun = time.monotonic()
                loader(server.port, count)
                seconds = time.monotonic() - begun
                grown[name] = server.settled_rss(0.7) - empty
                with bars.Connection(server.port) as c:
                    there = c.call(*question)
                if there != count:
                    bars.die(f"{name}: {question} answers {there:,}, not {count:,}")
            bars.note(f"{case}: {name} {grown[name] / 1e6:,.1f} MB, loaded in {seconds:.0f} s")
        base = grown[bars.names(options)[0]]
        rows += [[case, name, f"{bytes_ / 1e6:,.1f}", f"{bytes_ / base:.2f}"] for name, bytes_ in grown.items()]
    print(f"Resident memory, one core; {bars.machine()}\n")
    bars.table(["data", "server", "MB", f"of {bars.names(options)[0]}"], rows)


# ------------------------------------------------------------------------------------------------------ speed

MEMBER = "member:{key}"
# In this order: a command finds what the one before it has left. (name, template, whether it counts in the table)
COMMANDS = [
    ("HSET, one hash", "HSET h field:{key} {value}"),
    ("HGET, one hash", "HGET h field:{key}"),
    ("HSET, hashes of ten", "HSET h:{key} f{int:0..9} {value}"),
    ("HGET, hashes of ten", "HGET h:{key} f{int:0..9}"),
    ("LPUSH", "LPUSH l {value}"),
    ("LPOP", "LPOP l"),
    ("SADD", "SADD s element:{seq}"),
    ("SPOP", "SPOP s"),
    ("ZADD", "ZADD new {int:0..1000000} member:{key}"),
    ("ZADD, scores with fractions", "ZADD fractions {float:0..1000000} member:{key}"),
    ("ZRANGE 0 9", "ZRANGE ranking 0 9"),
    ("ZRANK", "ZRANK ranking member:{key}"),
    ("XADD", "XADD x * field {value}"),
    ("XREADGROUP", "XREADGROUP GROUP g c COUNT 1 STREAMS x >"),
]
KEYS = 1_000_000


def own_generator():
    path = os.environ.get("PINYON_BENCH") or os.path.join(bars.ROOT, "target", "release", "pinyon-bench")
    return path if os.access(path, os.X_OK) else bars.die(f"{path} is missing: cargo build --release -p pinyon-bench")


def put(port, template, requests, keys=KEYS):
    """One run of pinyon-bench on the load's core; dies where a reply was an error."""
    line = ["taskset", "-c", bars.LOAD_CORE, own_generator(), "--port", str(port), "--connections", "50", "--pipeline", "16", "--requests", str(requests),
            "--keys", str(keys), "--value-size", "16", "--command", template, "--json", "-"]
    done = subprocess.run(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
    end = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {}
    if end.get("errors", 1) != 0:
        bars.die(f"{template} said:\n{done.stdout[-1000:]}")


def speed(options):
    servers = [bars.Server(name) for name in bars.names(options)]
    commands = [(case, template) for case, template in COMMANDS if not options.case or case.startswith(options.case)]
    used = {}
    try:
        bars.pin_load()
        for server in servers:
            # Scores 100,000 to 999,999 in no order; members as pinyon-bench writes them.
            form = words(b"ZADD", b"ranking", *[w for _ in range(50) for w in ((b"%06d", 6), (b"member:%06d", 13))])
            pump(server.port, form, lambda i: [n for j in range(i * 50, i * 50 + 50) for n in (100_000 + scrambled(j) % 900_000, j)], KEYS // 50)
        for turn in range(options.rounds):
            for server in servers:
                with bars.Connection(server.port) as c:
                    for key in ("h", "l", "s", "new", "fractions", "x"):
                        c.call("DEL", key)
                    c.call("XGROUP", "CREATE", "x", "g", "0", "MKSTREAM")
            for case, template in commands:
                for server in servers[turn % len(servers):] + servers[:turn % len(servers)]:
                    keys = KEYS // 10 if "ten" in case else KEYS
                    before = server.cpu()
                    put(server.port, template, options.requests, keys)
                    used.setdefault((case, server.name), []).append((server.cpu() - before) / options.requests * 1e6)
            bars.note(f"round {turn + 1} of {options.rounds}")
    finally:
        for server in servers:
            server.stop()
    rows = []
    for case, _ in commands:
        base = bars.median(used[case, servers[0].name])
        for server in servers:
            spent = used[case, server.name]
            rows.append([case, server.name, f"{bars.median(spent):.3f}", f"{bars.spread(spent):.0%}", f"{bars.median(spent) / base:.2f}"])
    print(f"CPU per command, one core, 50 connections, 16 deep, {options.requests:,} commands a run, {options.rounds} rounds, medians; {bars.machine()}\n")
    bars.table(["command", "server", "CPU µs", "spread", f"of {servers[0].name}"], rows)


# ----------------------------------------------------------------------------------------------------- stalls


def probe(port, stop, out):
    """GETs of 1,000 keys in turn until told to stop; sends [(when begun, ms)] through `out`."""
    gc.disable()
    bars.pin_load()
    try:
        os.nice(-15)  # what loads the server shares this core: it must not be what is measured
    except PermissionError:
        pass
    trips, clock = [], time.perf_counter
    with bars.Connection(port) as c:
        requests = [bars.encode("GET", f"other:{i}") for i in range(1000)]
        turn = 0
        while not stop.is_set():
            begun = clock()
            c.socket.sendall(requests[turn % 1000])
            c.read()
            trips.append((begun, (clock() - begun) * 1000))
            turn += 1
            time.sleep(0.0002)  # a light load: the probe must not be what is measured
    out.send(trips)


def skim(port, *request):
    """Sends a command and reads its reply away until it ends with the end of that to a PING behind it."""
    with socket.create_connection(("127.0.0.1", port), 300) as s:
        s.sendall(bars.encode(*request) + bars.encode("ECHO", "the-end-of-it"))
        tail = b""
        while not tail.endswith(b"$13\r\nthe-end-of-it\r\n"):
            got = s.recv(1 << 20)
            if not got:
                raise EOFError(f"{request[0]}: the server closed the connection")
            if not tail and got.startswith(b"-"):
                raise bars.ReplyError(got[:200].decode(errors="replace"))
            tail = (tail + got[-64:])[-64:]


def wait_until(connection, done, seconds=120):
    end = time.monotonic() + seconds
    while not done(connection):
        if time.monotonic() > end:
            bars.die("what was begun does not end")
        time.sleep(0.01)


def freed(name):
    """Whether nothing waits to be freed."""
    return lambda c: c.info("memory").get("lazyfree_pending_objects", "0") == "0"


def saved(c):
    return c.info("persistence")["rdb_bgsave_in_progress"] == "0"


def expire(server, c):
    c.call("PEXPIRE", "twin", 50)
    wait_until(c, lambda c: c.call("DBSIZE") == server.dbsize - 1)
    wait_until(c, freed(server.name))


def snapshot(server, c):
    """A snapshot with ZADDs of members old and new all the while, some 5,000 a second."""
    c.call("BGSAVE")
    at = 0
    while not saved(c):
        c.socket.sendall(b"".join(bars.encode("ZADD", "ranking", scrambled(at + i), f"member:{scrambled(at + i) * 10 + at % 10:08}") for i in range(10)))
        for _ in range(10):
            c.read()
        at += 10
        time.sleep(0.002)


# (name, what is done). They run in this order: the set `big` and its copy `twin` are there first, `more` shares half of it.
STALLS = [
    ("quiet", lambda server, c: time.sleep(3)),
    ("SUNIONSTORE", lambda server, c: c.call("SUNIONSTORE", "union", "big", "more")),
    ("SINTERSTORE", lambda server, c: c.call("SINTERSTORE", "union", "big", "more")),
    ("SDIFFSTORE", lambda server, c: c.call("SDIFFSTORE", "union", "big", "more")),
    ("SUNION", lambda server, c: skim(server.port, "SUNION", "big", "more")),
    ("SMEMBERS", lambda server, c: skim(server.port, "SMEMBERS", "big")),
    ("expiry of 10 M", expire),
    ("DEL of 10 M", lambda server, c: (c.call("DEL", "big"), wait_until(c, freed(server.name)))),
]
STALLS_ZSET = [
    ("quiet", lambda server, c: time.sleep(3)),
    ("ZRANGE 0 -1", lambda server, c: skim(server.port, "ZRANGE", "ranking", "0", "-1")),
    ("ZUNIONSTORE", lambda server, c: c.call("ZUNIONSTORE", "union", "1", "ranking")),
    ("ZINTERSTORE", lambda server, c: c.call("ZINTERSTORE", "union", "2", "ranking", "ranking")),
    ("SORT", lambda server, c: skim(server.port, "SORT", "ranking", "ALPHA", "LIMIT", "0", "10")),
    ("ZREMRANGEBYRANK of 5 M", lambda server, c: c.call("ZREMRANGEBYRANK", "ranking", "0", str(c.call("ZCARD", "ranking") // 2))),
    ("DEL", lambda server, c: (c.call("DEL", "ranking"), wait_until(c, freed(server.name)))),
]
STALLS_SNAPSHOT = [
    ("quiet", lambda server, c: time.sleep(3)),
    ("BGSAVE under ZADDs", snapshot),
]
STALLS_OTHER = [
    ("quiet", lambda server, c: time.sleep(3)),
    ("HGETALL", lambda server, c: skim(server.port, "HGETALL", "hash")),
    ("LRANGE 0 -1", lambda server, c: skim(server.port, "LRANGE", "queue", "0", "-1")),
    ("SORT list", lambda server, c: skim(server.port, "SORT", "queue", "ALPHA", "LIMIT", "0", "10")),
    ("LREM of none", lambda server, c: c.call("LREM", "queue", "0", "none")),
    ("BITCOUNT", lambda server, c: c.call("BITCOUNT", "bits")),
    ("BITOP", lambda server, c: c.call("BITOP", "NOT", "bits2", "bits")),
    ("1 M due fields", lambda server, c: (time.sleep(1), c.call("HLEN", "volatile"), wait_until(c, lambda c: c.call("EXISTS", "volatile") == 0))),
]


def fill_sets(server, c, scale):
    count = int(10_000_000 * scale)
    big_set(server.port, b"big", count)
    c.call("COPY", "big", "twin")
    pump(server.port, words(b"SADD", b"more", *[(b"element:%08d", 16)] * 50), lambda i: range(count // 2 + i * 50, count // 2 + i * 50 + 50), count // 50, batch=40)


def fill_zset(server, c, scale):
    sorted_set(server.port, int(10_000_000 * scale))


def fill_other(server, c, scale):
    count = int(5_000_000 * scale)
    long_list(server.port, count)
    form = words(b"HSET", b"hash", *[w for _ in range(50) for w in ((b"field:%08d", 14), (b"%06d", 6))])
    pump(server.port, form, lambda i: [n for j in range(i * 50, i * 50 + 50) for n in (j, scrambled(j))], count // 50, batch=40)
    c.call("SETBIT", "bits", (256 << 23) - 1, 1)
    form = words(b"HSET", b"volatile", *[w for _ in range(50) for w in ((b"field:%08d", 14), (b"%06d", 6))])
    few = int(1_000_000 * scale)
    pump(server.port, form, lambda i: [n for j in range(i * 50, i * 50 + 50) for n in (j, scrambled(j))], few // 50, batch=40)
    due = int((time.time() + 25) * 1000)
    form = words(b"HPEXPIREAT", b"volatile", b"%013d" % due, b"FIELDS", b"50", *[(b"field:%08d", 14)] * 50)
    pump(server.port, form, lambda i: range(i * 50, i * 50 + 50), few // 50, lines=51, batch=40)


def watch(server, cases, found):
    """Runs the cases one after the other with a probe beside them; `found` has a list of (seconds, trips in ms) for each by name."""
    with bars.Connection(server.port, timeout=300) as c:
        for first in range(0, 1000, 100):
            c.call("MSET", *(w for i in range(first, first + 100) for w in (f"other:{i}", "v" * 64)))
        server.dbsize = c.call("DBSIZE")
        stop = multiprocessing.Event()
        ours, theirs = multiprocessing.Pipe(False)
        prober = multiprocessing.Process(target=probe, args=(server.port, stop, theirs), daemon=True)
        prober.start()
        time.sleep(0.5)
        spans = []
        for case, action in cases:
            server.dbsize = c.call("DBSIZE")
            begun = time.perf_counter()
            try:
                action(server, c)
                spans.append((case, begun, time.perf_counter()))
            except (bars.ReplyError, EOFError) as error:
                bars.note(f"{server.name}, {case}: {error}")
            time.sleep(0.3)
        stop.set()
        trips = ours.recv()
        prober.join()
    quiet = None
    for case, begun, ended in spans:
        here = [ms for at, ms in trips if at <= ended and at + ms / 1000 >= begun]
        high = bars.percentile(here, 0.999)
        quiet = high if quiet is None else quiet
        found.setdefault(case, []).append((ended - begun, here, high - quiet))
        bars.note(f"{server.name}, {case}: {ended - begun:.2f} s, p99.9 {high:.2f} ms, {high - quiet:+.2f} to quiet, max {max(here):.2f}")


def stalls(options):
    """A fresh server for each group and round; medians over the rounds."""
    rows = []
    groups = [("sets", fill_sets, STALLS, ()), ("zset", fill_zset, STALLS_ZSET, ()), ("snapshot", fill_zset, STALLS_SNAPSHOT, ("--appendonly", "yes")),
              ("other", fill_other, STALLS_OTHER, ())]
    for name in bars.names(options):
        for group, fill, cases, extra in groups:
            if options.case and options.case not in group:
                continue
            found = {}
            for _ in range(options.rounds):
                with bars.Server(name, extra=extra) as server:
                    bars.pin_load()
                    with bars.Connection(server.port, timeout=300) as c:
                        fill(server, c, options.scale)
                    watch(server, cases, found)
            for case, runs in found.items():
                median = lambda of: bars.median([of(run) for run in runs])
                rows.append([case, name, f"{median(lambda r: r[0]):.2f}", int(median(lambda r: len(r[1]))), f"{median(lambda r: bars.median(r[1])):.3f}",
                             f"{median(lambda r: bars.percentile(r[1], 0.99)):.2f}", f"{median(lambda r: bars.percentile(r[1], 0.999)):.2f}",
                             f"{median(lambda r: r[2]):+.2f}", f"{median(lambda r: max(r[1])):.2f}"])
    print(f"GET of other keys meanwhile, one core, medians of {options.rounds} rounds; {bars.machine()}\n")
    bars.table(["meanwhile", "server", "seconds", "GETs", "p50 ms", "p99 ms", "p99.9 ms", "above quiet", "max ms"], rows)


def main():
    parser = bars.arguments(__doc__, "valkey9,pinyon", rounds=5)
    parser.add_argument("--only", choices=["memory", "speed", "stalls"])
    parser.add_argument("--case", help="of memory: a part of its name; of speed: how it begins; of stalls: sets, zset, snapshot or other")
    parser.add_argument("--requests", type=int, default=500_000, help="of a run of the speed part (500,000)")
    parser.add_argument("--scale", type=float, default=1, help="of the data of memory and stalls (1)")
    options = parser.parse_args()
    for part in (memory, speed, stalls):
        if options.only in (None, part.__name__):
            part(options)


if __name__ == "__main__":
    main()
