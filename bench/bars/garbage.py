#!/usr/bin/env python3
"""Bar 8: does the server live through nonsense? Minutes of it, from several processes, on 127.0.0.1 only:

  random      random bytes, and valid requests with bytes changed, cut short or repeated
  half-open   requests begun and never finished, on connections that stay open
  deaf        readers that ask for megabytes and never read them
  huge        values of 512 MB, set and read back, and 512 MB announced of which little comes

Meanwhile a polite client does SET, GET and PING, and checks every answer. It must be served to the end; the server
must be the same process; and its memory must come back to about what it was. Exits with 1 where it does not.
"""

import multiprocessing
import os
import random
import socket
import sys
import time

import bars

HUGE = 512 * 1024 * 1024
DANGEROUS = (b"SHUTDOWN", b"DEBUG", b"CONFIG", b"REPLICAOF", b"SLAVEOF", b"FLUSHALL", b"MONITOR")


def talk(port, payload, wait=0.05):
    """Sends a payload, reads a little, closes. The server may close at any time: that is its right."""
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as s:
            s.settimeout(wait)
            s.sendall(payload)
            s.recv(1 << 16)
    except OSError:
        pass


def mangled(rng):
    """A valid pipeline, damaged."""
    words = [rng.choice((b"SET", b"GET", b"INCR", b"APPEND", b"SETRANGE", b"MSET", b"SCAN", b"EXPIRE", b"HELLO", b"CLIENT", b"OBJECT", b"COMMAND", b"XYZ"))]
    words += [rng.randbytes(rng.choice((0, 1, 5, 20, 300))) for _ in range(rng.randrange(6))]
    wire = bytearray(bars.encode(*words) * rng.choice((1, 1, 3, 50)))
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(wire))
        kind = rng.randrange(4)
        if kind == 0:
            wire[at] = rng.randrange(256)
        elif kind == 1:
            del wire[at:]
            wire += b"\r\n"
        elif kind == 2:
            wire[at:at] = rng.choice((b"\0", b"\r\n", b"$-1\r\n", b"*-1\r\n", b"*1048576\r\n", b"$536870912\r\n", b"*2147483648\r\n", b"$99999999999999999999\r\n", b'"', b"(1\r\n", b"%2\r\n"))
        else:
            wire[at:at] = wire[:rng.randrange(1, 200)]
    return bytes(wire)


def noise(port, until, seed):
    rng = random.Random(seed)
    while time.time() < until:
        payload = mangled(rng) if rng.random() < 0.7 else rng.randbytes(rng.choice((1, 10, 1000, 100_000)))
        if not any(word in payload.upper() for word in DANGEROUS):
            talk(port, payload, rng.choice((0.001, 0.01, 0.05)))


def half_open(port, until, seed, at_once=500):
    rng, held = random.Random(seed), []
    starts = (b"*3\r\n$3\r\nSET\r\n$1\r\n", b"*", b"*1000000\r\n", b"SET k ", b"*2\r\n$3\r\nGET\r\n$100\r\nabc", b"", b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000000\r\nxx")
    while time.time() < until:
        try:
            s = socket.create_connection(("127.0.0.1", port), 5)
            s.setblocking(False)
            s.send(rng.choice(starts) or b" ")
            held.append(s)
        except OSError:
            time.sleep(0.05)
        if len(held) >= at_once:
            held.pop(rng.randrange(len(held))).close()
        time.sleep(0.005)
    for s in held:
        s.close()


def deaf(port, until, seed, readers=8, megabytes=32):
    """Each asks for `megabytes` in total, in bursts, and reads none of it; then leaves, and the next one comes."""
    with bars.Connection(port) as c:
        c.call("SET", f"deaf:{seed}", b"z" * (1 << 20))
    held = []
    while time.time() < until:
        try:
            s = socket.create_connection(("127.0.0.1", port), 5)
            s.setblocking(False)
            s.send(bars.encode("GET", f"deaf:{seed}") * megabytes)
            held.append(s)
        except OSError:
            pass
        if len(held) >= readers:
            held.pop(0).close()
        time.sleep(0.3)
    for s in held:
        s.close()


def huge(port, until, seed):
    """One value of 512 MB at a time: set, read, deleted; then one announced and left off."""
    block = b"h" * (1 << 20)
    while time.time() < until:
        try:
            with socket.create_connection(("127.0.0.1", port), 60) as s:
                s.sendall(b"*3\r\n$3\r\nSET\r\n$4\r\nhuge\r\n$%d\r\n" % HUGE)
                for _ in range(HUGE // len(block)):
                    s.sendall(block)
                s.sendall(b"\r\n" + bars.encode("STRLEN", "huge") + bars.encode("GET", "huge"))
                want = len(b"+OK\r\n:%d\r\n$%d\r\n" % (HUGE, HUGE)) + HUGE + 2
                while want > 0:
                    got = s.recv(min(want, 1 << 20))
                    if not got:
                        break
                    want -= len(got)
                s.sendall(bars.encode("DEL", "huge"))
                s.recv(64)
            with socket.create_connection(("127.0.0.1", port), 60) as s:
                s.sendall(b"*3\r\n$3\r\nSET\r\n$4\r\nhuge\r\n$%d\r\n" % HUGE + block * 3)
                time.sleep(0.5)
        except OSError as error:
            print(f"# huge: {error}", file=sys.stderr, flush=True)
        time.sleep(1)


def polite(port, until, out):
    """The client that must be served: sends back (round trips in µs, what went wrong)."""
    trips, wrong, turn = [], [], 0
    try:
        with bars.Connection(port, timeout=30) as c:
            while time.time() < until:
                begun = time.perf_counter()
                value = f"value-{turn}".encode()
                answers = (c.call("SET", "polite", value), c.call("GET", "polite"), c.call("PING"))
                if answers != ("OK", value, "PONG"):
                    wrong.append(f"turn {turn}: {answers}")
                trips.append((time.perf_counter() - begun) / 3 * 1e6)
                turn += 1
                time.sleep(0.005)
    except Exception as error:  # whatever it is, the polite client was not served
        wrong.append(f"turn {turn}: {type(error).__name__} {error}")
    out.send((trips, wrong))


def main():
    parser = bars.arguments(__doc__, "pinyon")
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--shards", type=int, default=2, help="of pinyon (2)")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--skip-huge", action="store_true", help="no 512 MB values")
    options = parser.parse_args()
    bars.raise_file_limit(8192)
    rows, bad = [], []
    for name in bars.names(options):
        cores = f"{bars.SERVER_CORE},{bars.LOAD_CORE}" if os.cpu_count() > 1 else None
        with bars.Server(name, shards=options.shards, cores=cores) as server:
            with bars.Connection(server.port) as c:
                c.call("SET", "polite", "v")
            before = server.settled_rss(0.5)
            until = time.time() + options.minutes * 60
            jobs = [(noise, 1), (noise, 2), (half_open, 3), (deaf, 4)] + ([] if options.skip_huge else [(huge, 5)])
            crowd = [multiprocessing.Process(target=job, args=(server.port, until, options.seed + n), daemon=True) for job, n in jobs]
            ours, theirs = multiprocessing.Pipe(False)
            crowd.append(multiprocessing.Process(target=polite, args=(server.port, until, theirs), daemon=True))
            for process in crowd:
                process.start()
            peak = before
            while time.time() < until and server.alive():
                time.sleep(0.5)
                try:
                    peak = max(peak, server.rss())
                except (OSError, EOFError):
                    break
            trips, wrong = ours.recv() if ours.poll(60) else ([], ["the polite client never came back"])
            for process in crowd:
                process.join(60)
                if process.is_alive():
                    process.terminate()
            after = 0
            if not server.alive():
                wrong.append(f"the server ended with status {server.process.returncode}: " + open(server.log.name, errors="replace").read()[-1500:])
            else:
                with bars.Connection(server.port, timeout=30) as c:
                    c.call("FLUSHALL")
                    deadline = time.time() + 30
                    while True:
                        after = server.rss()
                        if after < before + (64 << 20) or time.time() > deadline:
                            break
                        time.sleep(1)
                    if after >= before + (64 << 20):
                        wrong.append(f"{(after - before) >> 20} MiB did not come back within 30 s")
                    if c.call("PING") != "PONG":
                        wrong.append("no PONG at the end")
            bad += [f"{name}: {what}" for what in wrong]
            rows.append([name, "no" if wrong else "yes", len(trips), f"{bars.percentile(trips, 0.99):,.0f}" if trips else "-", f"{max(trips):,.0f}" if trips else "-",
                         before >> 20, peak >> 20, after >> 20])
    print(f"{options.minutes:g} minutes of garbage, seed {options.seed}; {bars.machine()}\n")
    bars.table(["server", "survived", "polite turns", "p99 µs", "max µs", "MiB before", "peak", "after"], rows)
    for line in bad:
        print(line)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
