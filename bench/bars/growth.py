#!/usr/bin/env python3
"""Bar 4: does growing ever stall? Inserts 20 M new keys, 16 deep on 50 connections, and asks for the slowest command.

The server's own figures are what counts: INFO's section `pinyon` (pinyon_exec_usec_p99_99, pinyon_exec_usec_max),
and LATENCY HISTOGRAM elsewhere, whose buckets are powers of two. The round trips of whole batches, seen from the
client, are shown beside them; the machine's own scheduling is in those. A core that the host takes away for a while looks like
a slow command, too: how often it does is shown by a loop that only reads the clock, on the same core for as long.
"""

import gc
import socket
import subprocess
import sys
import time

import bars


SLOW = ["--slowlog-log-slower-than", "1000", "--slowlog-max-len", "100000"]


def insert(port, keys, pipeline, connections, value):
    """Inserts key:0 … with `connections` × `pipeline` commands under way; returns round trips of batches in µs."""
    trips = []
    sockets = [socket.create_connection(("127.0.0.1", port), 120) for _ in range(connections)]
    for s in sockets:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sent = [0] * connections
    owed = [0] * connections
    now = time.perf_counter_ns
    turn = 0
    for first, last, form in bars.set_formats(keys, value):
        full = form * pipeline
        for at in range(first, last, pipeline):
            until = min(at + pipeline, last)
            i = turn % connections
            turn += 1
            s = sockets[i]
            if owed[i]:
                owed[i] = bars.drain(s, owed[i])
                trips.append(now() - sent[i])
            sent[i] = now()
            s.sendall((full if until - at == pipeline else form * (until - at)) % tuple(range(at, until)))
            owed[i] = 5 * (until - at)
    for i, s in enumerate(sockets):
        bars.drain(s, owed[i])
        s.close()
    return [t / 1000 for t in trips]


def histogram(connection):
    """LATENCY HISTOGRAM set: (µs below which 99.99 % lie, µs below which all lie), both rounded up to a bucket."""
    reply = connection.call("LATENCY", "HISTOGRAM", "set")
    if not reply:
        return None, None
    fields = reply[1]
    fields = dict(zip(fields[::2], fields[1::2]))
    buckets = fields[b"histogram_usec"]
    pairs = list(zip(buckets[::2], buckets[1::2]))  # cumulative
    total = pairs[-1][1]
    return next(edge for edge, count in pairs if count >= total * 0.9999), pairs[-1][0]


def gaps(seconds, core):
    """What a loop that only reads the clock misses of it on a core while another one spins on the load's: gaps in µs, from 300 on."""
    code = "import time\nend = time.monotonic() + %f\nlast = time.perf_counter_ns()\nwhile time.monotonic() < end:\n" \
        "    now = time.perf_counter_ns()\n    if now - last > 300_000: print((now - last) / 1000)\n    last = now" % seconds
    spin = [subprocess.Popen(["taskset", "-c", on, sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for on in (core, bars.LOAD_CORE)]
    return [sorted(float(gap) for gap in process.communicate()[0].split()) for process in spin][0]


def main():
    parser = bars.arguments(__doc__, "valkey9,pinyon")
    parser.add_argument("--keys", type=int, default=20_000_000)
    parser.add_argument("--pipeline", type=int, default=16)
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--shards", type=int, default=1, help="of pinyon (1)")
    options = parser.parse_args()
    bars.pin_load()
    gc.disable()  # its pauses would be counted as the server's

    rows = []
    for name in bars.names(options):
        with bars.Server(name, shards=options.shards, extra=SLOW) as server:
            start = time.monotonic()
            trips = insert(server.port, options.keys, options.pipeline, options.connections, b"v" * 16)
            seconds = time.monotonic() - start
            with bars.Connection(server.port) as c:
                count = c.call("DBSIZE")
                if count != options.keys:
                    bars.die(f"{name} holds {count:,} keys, not {options.keys:,}")
                info = c.info("everything") if name != "pinyon" else c.info("pinyon")
                if "pinyon_exec_usec_max" in info:
                    p9999, worst, source = info.get("pinyon_exec_usec_p99_99", "?"), info["pinyon_exec_usec_max"], "INFO"
                else:
                    edges = histogram(c)
                    p9999, worst, source = *(f"<= {e}" if e is not None else "?" for e in edges), "histogram"
                slow = c.call("SLOWLOG", "LEN")
            rows.append([name, f"{options.keys / seconds / 1000:,.0f}", p9999, worst, source, slow, f"{bars.percentile(trips, 0.9999):,.0f}", f"{max(trips):,.0f}"])
            bars.note(f"{name}: {seconds:.0f} s")

    print(f"{options.keys:,} inserts, -P {options.pipeline}, {options.connections} connections, one core; {bars.machine()}\n")
    bars.table(["server", "kops/s", "p99.99 µs", "max µs", "from", "over 1 ms", "batch p99.99 µs", "batch max µs"], rows)
    found = gaps(seconds, bars.SERVER_CORE)
    print(f"\nA loop on the same core for {seconds:.0f} s: {sum(gap > 1000 for gap in found)} gaps over 1 ms, at most {max(found, default=0):,.0f} µs")


if __name__ == "__main__":
    main()
