#!/usr/bin/env python3
"""Bar 2: what a hop costs: Pinyon with two shards on both cores against Pinyon with one.

GET of uniformly random keys, 16 deep, 50 connections: with two shards half of the keys lie on the other core. The
load runs beside the server on the same two cores. CPU per operation is that of all the server's threads; the
difference between the two, over the half of the operations that hop, is the price of one hop.
"""

import bars


def main():
    parser = bars.arguments(__doc__, "pinyon", rounds=5)
    parser.add_argument("--requests", type=int, default=2_000_000)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--pipeline", type=int, default=16)
    options = parser.parse_args()
    cores = f"{bars.SERVER_CORE},{bars.LOAD_CORE}"

    cpu, rate, servers = {1: [], 2: []}, {1: [], 2: []}, {}
    try:
        for shards in cpu:
            servers[shards] = bars.Server(bars.names(options)[0], shards=shards, cores=cores)
            bars.load(servers[shards].port, options.keys, b"x" * 64, width=12)
        for turn in range(options.rounds):
            for shards in ((1, 2) if turn % 2 == 0 else (2, 1)):
                before = servers[shards].cpu()
                rate[shards].append(bars.benchmark(servers[shards].port, "get", options.requests, options.pipeline, keyspace=options.keys, core=None))
                cpu[shards].append((servers[shards].cpu() - before) / options.requests * 1e6)
            bars.note(f"round {turn + 1} of {options.rounds}")
    finally:
        for server in servers.values():
            server.stop()

    print(f"GET, random keys, -P {options.pipeline}, server and load on the same two cores, {options.rounds} rounds, medians; {bars.machine()}\n")
    one = bars.median(cpu[1])
    rows = [[n, f"{bars.median(cpu[n]):.3f}", f"{bars.spread(cpu[n]):.0%}", f"{bars.median(cpu[n]) / one:.2f}", f"{bars.median(rate[n]) / 1000:,.0f}"] for n in cpu]
    bars.table(["shards", "CPU µs/op", "spread", "of one shard", "kops/s"], rows)
    print(f"a hop costs {(bars.median(cpu[2]) - one) * 2:.3f} µs of CPU (half of the operations hop)")


if __name__ == "__main__":
    main()
