#!/usr/bin/env python3
"""The hit ratio of each eviction policy beside Redis's, on a trace of keys by a Zipf distribution.

Each server is filled with --resident keys, and gets what it uses then as its maxmemory: so all hold about as many keys, and what
is compared is which. Then the trace: GET of a key, and SET of it where there was none. The first part of it warms up and is not
counted. For the volatile policies every key has a deadline, drawn between 1,000 and 100,000 seconds.
"""

import bisect
import itertools
import random

import bars

POLICIES = ["allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"]
BATCH = 200


def zipf(keys, exponent, count, rng):
    """`count` numbers below `keys`; small ones are scattered over the names of keys by `name`."""
    sums = list(itertools.accumulate(1 / (rank + 1) ** exponent for rank in range(keys)))
    return [bisect.bisect(sums, rng.random() * sums[-1]) for _ in range(count)]


def name(number):
    return b"key:%07d" % (number * 2_654_435_761 % 10_000_000)


def set_of(number, value, volatile):
    # A key always gets the same deadline, as one would choose it by what it is.
    deadline = ("EX", 1000 + number * 7919 % 99_000) if volatile else ()
    return bars.encode("SET", name(number), value, *deadline)


def hit_ratio(server, policy, trace, options):
    """(hits among all GETs behind the warm-up, keys at the end)"""
    volatile, value = policy.startswith("volatile"), b"v" * options.size
    with bars.Connection(server.port) as c:
        c.call("CONFIG", "SET", "maxmemory", "0")
        c.call("FLUSHALL")
        c.call("CONFIG", "SET", "maxmemory-policy", policy)
        # Not the popular ones, nor those alone: any of them.
        first = random.Random(options.seed + 1).sample(range(options.keys), options.resident)
        for at in range(0, len(first), BATCH):
            batch = first[at:at + BATCH]
            c.socket.sendall(b"".join(set_of(number, value, volatile) for number in batch))
            for _ in batch:
                c.read()
        c.call("CONFIG", "SET", "maxmemory", c.info("memory")["used_memory"].strip())
        hits = asked = 0
        for at in range(0, len(trace), BATCH):
            batch = trace[at:at + BATCH]
            c.socket.sendall(b"".join(bars.encode("GET", name(number)) for number in batch))
            missed = [number for number in batch if c.read() is None]
            c.socket.sendall(b"".join(set_of(number, value, volatile) for number in missed))
            for _ in missed:
                c.read()
            if at >= len(trace) // 3:
                asked += len(batch)
                hits += len(batch) - len(missed)
        return hits / asked, c.call("DBSIZE")


def main():
    parser = bars.arguments(__doc__, "redis7,pinyon")
    parser.add_argument("--keys", type=int, default=500_000, help="of the trace (500,000)")
    parser.add_argument("--resident", type=int, default=50_000, help="that fit (50,000)")
    parser.add_argument("--requests", type=int, default=600_000)
    parser.add_argument("--exponent", type=float, default=0.99)
    parser.add_argument("--size", type=int, default=100, help="bytes of a value (100)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    bars.pin_load()
    trace = zipf(options.keys, options.exponent, options.requests, random.Random(options.seed))
    rows = []
    for policy in POLICIES:
        for server_name in bars.names(options):
            with bars.Server(server_name) as server:
                ratio, keys = hit_ratio(server, policy, trace, options)
            rows.append([policy, server_name, f"{ratio:.3f}", f"{keys:,}"])
            bars.note(" ".join(rows[-1]))
    print(f"{options.requests:,} GETs of {options.keys:,} keys, Zipf {options.exponent}, {options.resident:,} fit; {bars.machine()}\n")
    bars.table(["policy", "server", "hits", "keys at the end"], rows)


if __name__ == "__main__":
    main()
