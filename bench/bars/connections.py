#!/usr/bin/env python3
"""Bar 6: what 10,000 idle connections cost, and whether one deep pipeliner starves the others.

First part: resident bytes per connection, freshly opened and again after each has done one PING, and the CPU that
the server uses in ten seconds of all of them doing nothing. Second part: PING's round trips on one connection, alone
and beside another one (redis-benchmark) that always has 10,000 GETs under way.
"""

import gc
import os
import socket
import subprocess
import time

import bars


def idle(server, count, seconds):
    """(bytes per connection when opened, after one PING each, CPU seconds while idle)."""
    with bars.Connection(server.port) as c:
        c.call("CONFIG", "SET", "maxclients", count + 1000)  # the default is 10,000 everywhere
    empty = server.settled_rss(0.5)
    sockets = []
    try:
        for _ in range(count):
            s = socket.create_connection(("127.0.0.1", server.port), 30)
            sockets.append(s)
            if len(sockets) % 200 == 0:
                time.sleep(0.01)  # within what the listen backlog holds
        with bars.Connection(server.port) as c:
            deadline = time.time() + 30
            while int(c.info("clients")["connected_clients"]) <= count:
                if time.time() > deadline:
                    bars.die(f"{server.name} accepted {c.info('clients')['connected_clients']} connections, not {count}")
                time.sleep(0.2)
        opened = server.settled_rss()
        for s in sockets:
            s.sendall(b"*1\r\n$4\r\nPING\r\n")
        for s in sockets:
            s.settimeout(30)
            if s.recv(64) != b"+PONG\r\n":
                bars.die(f"{server.name}: a connection got no PONG")
        used = server.settled_rss()
        before = server.cpu()
        time.sleep(seconds)
        cpu = server.cpu() - before
    finally:
        for s in sockets:
            s.close()
    return (opened - empty) / count, (used - empty) / count, cpu


def pings(port, seconds):
    """Round trips of PING in µs."""
    trips, clock, request = [], time.perf_counter_ns, bars.encode("PING")
    with bars.Connection(port) as c:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            begun = clock()
            c.socket.sendall(request)
            c.read()
            trips.append((clock() - begun) / 1000)
            time.sleep(0.0005)
    return trips


def beside_pipeliner(server, depth, seconds):
    """PING's round trips: (alone, beside the pipeliner)."""
    bars.load(server.port, 100_000, b"x" * 64, width=12)
    alone = pings(server.port, seconds)
    pipeliner = subprocess.Popen(["taskset", "-c", bars.LOAD_CORE, bars.oracle("REDIS_BENCHMARK"), "-p", str(server.port), "-t", "get", "-c", "1",
                                  "-P", str(depth), "-n", "1000000000", "-r", "100000", "-q"],
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(1)
        beside = pings(server.port, seconds)
        if pipeliner.poll() is not None:
            bars.die(f"{server.name}: the pipeliner ended early")
    finally:
        pipeliner.terminate()
        pipeliner.wait()
    return alone, beside


def main():
    parser = bars.arguments(__doc__, "valkey9,pinyon")
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--depth", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--shards", type=int, default=1, help="of pinyon (1)")
    options = parser.parse_args()
    have = bars.raise_file_limit(2 * options.connections + 1000)
    if have < options.connections + 200:
        bars.die(f"only {have} open files are allowed (ulimit -n)")
    bars.pin_load()
    gc.disable()
    try:
        os.nice(-10)  # the probe shares its core with the pipeliner, and must not queue behind it
    except PermissionError:
        bars.note("not root: the probe may have to wait for the pipeliner's share of the core")

    idle_rows, ping_rows = [], []
    for name in bars.names(options):
        with bars.Server(name, shards=options.shards) as server:
            opened, used, cpu = idle(server, options.connections, options.seconds)
            idle_rows.append([name, f"{opened:,.0f}", f"{used:,.0f}", f"{cpu / options.seconds:.2%}"])
            alone, beside = beside_pipeliner(server, options.depth, options.seconds)
            row = [name]
            for trips in (alone, beside):
                row += [f"{bars.median(trips):,.0f}", f"{bars.percentile(trips, 0.99):,.0f}", f"{max(trips):,.0f}"]
            ping_rows.append(row + [f"{bars.percentile(beside, 0.99) / bars.percentile(alone, 0.99):.1f}"])
            bars.note(f"{name} done")

    print(f"{options.connections:,} idle connections; {bars.machine()}\n")
    bars.table(["server", "opened: bytes each", "after a PING each", "CPU while idle"], idle_rows)
    print(f"PING beside a connection with {options.depth:,} GETs under way (µs)\n")
    bars.table(["server", "alone p50", "p99", "max", "beside p50", "p99", "max", "p99 ratio"], ping_rows)


if __name__ == "__main__":
    main()
