#!/usr/bin/env python3
"""What a random GET costs on the ports of single cores: a cluster client over two shards, beside one shard.

Bar: at most 1.05 times the CPU time per operation, at -P 1 and at -P 16. The load is redis-benchmark --cluster, which asks
each core for keys of its own slots; it refuses a cluster of one node, so one shard is asked without, for keys of the same
length. `main port` is two shards asked like that, where half of the keys hop. They take turns within each round; server
and load share the same two cores."""

import subprocess

import bars

# Keys per slot: redis-benchmark draws a slot and a number below this.
KEYS_PER_SLOT = 60
KEYS = KEYS_PER_SLOT * 16384
# What is asked for without --cluster: as long as the keys with it, which have a tag for their slot.
PREFIX = "key:_abc_:"


def benchmark(port, command, requests, pipeline, cluster, clients):
    """One run of redis-benchmark; returns requests per second."""
    line = [bars.oracle("REDIS_BENCHMARK"), "-h", "127.0.0.1", "-p", str(port), "-n", str(requests), "-P", str(pipeline), "-c", str(clients), "-q"]
    if cluster:
        line += ["--cluster", "-r", str(KEYS_PER_SLOT), "-d", "64", "-t", command]
    else:
        line += ["-r", str(KEYS), command, f"{PREFIX}__rand_int__"]
    run = subprocess.run(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)
    for row in run.stdout.replace("\r", "\n").splitlines():
        name, _, figures = row.rpartition(": ")
        if name.lower().startswith(command) and "requests per second" in figures:
            return float(figures.split()[0])
    bars.die(f"redis-benchmark {command} said:\n{run.stdout[-1000:]}")


def main():
    parser = bars.arguments(__doc__, "pinyon", rounds=5)
    parser.add_argument("--requests", type=int, default=2_000_000, help="GETs per run at -P 16, a quarter of it at -P 1 (2000000)")
    parser.add_argument("--clients", type=int, default=50, help="connections (50)")
    parser.add_argument("--pipelines", default="1,16", help="depths (1,16)")
    options = parser.parse_args()
    cores = f"{bars.SERVER_CORE},{bars.LOAD_CORE}"

    kinds = {"1 shard": (1, False), "2 shards, core ports": (2, True), "2 shards, main port": (2, False)}
    servers = {}
    try:
        for shards in (1, 2):
            base = bars.free_ports(shards)
            servers[shards] = bars.Server("pinyon", shards=shards, cores=cores, extra=["--core-ports", "yes", "--core-port-base", str(base)])
            servers[shards].core_port = base
            if shards == 2:
                # Five draws for each key: nearly all GETs find one.
                benchmark(base, "set", 5 * KEYS, 64, True, 50)
            bars.load(servers[shards].port, KEYS, b"x" * 64, prefix=PREFIX.encode(), width=12)
            bars.note(f"{shards} shards loaded")
        for pipeline in (int(depth) for depth in options.pipelines.split(",")):
            requests = options.requests if pipeline > 1 else options.requests // 4
            cpu, rate = {kind: [] for kind in kinds}, {kind: [] for kind in kinds}
            for turn in range(options.rounds):
                for kind, (shards, cluster) in list(kinds.items())[:: 1 if turn % 2 == 0 else -1]:
                    server = servers[shards]
                    before = server.cpu()
                    rate[kind].append(benchmark(server.core_port if cluster else server.port, "get", requests, pipeline, cluster, options.clients))
                    cpu[kind].append((server.cpu() - before) / requests * 1e6)
                bars.note(f"-P {pipeline}, round {turn + 1} of {options.rounds}")
            print(f"GET, random keys, -P {pipeline}, {options.clients} connections, server and load on the same two cores, {options.rounds} rounds, medians; {bars.machine()}\n")
            one = bars.median(cpu["1 shard"])
            bars.table(["server", "CPU µs/op", "spread", "of one shard", "kops/s"],
                       [[kind, f"{bars.median(cpu[kind]):.3f}", f"{bars.spread(cpu[kind]):.0%}", f"{bars.median(cpu[kind]) / one:.2f}",
                         f"{bars.median(rate[kind]) / 1000:,.0f}"] for kind in kinds])
    finally:
        for server in servers.values():
            server.stop()


if __name__ == "__main__":
    main()
