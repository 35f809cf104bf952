#!/usr/bin/env python3
"""Bar 1: CPU per operation and throughput of one core, GET and SET, beside the peers.

redis-benchmark 7.0, 50 connections, 64-byte values, a million random keys, 1, 16 and 64 deep. Every server on
core 0 and the load on core 1; all of them stay up, idle, while one is measured, and take turns within a round, so
that a slow minute of the machine hits all of them. CPU is that of all the server's threads, user and kernel.
"""

import bars

PIPELINES = (1, 16, 64)
COMMANDS = ("get", "set")


def main():
    parser = bars.arguments(__doc__, "valkey9,pinyon", rounds=5)
    parser.add_argument("--scale", type=float, default=1.0, help="times the usual number of requests (1.0)")
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--pipelines", default=",".join(map(str, PIPELINES)))
    options = parser.parse_args()
    pipelines = [int(p) for p in options.pipelines.split(",")]
    # Enough for a second of CPU, a hundred ticks of the kernel's clock.
    requests = {p: int(options.scale * (150_000 if p == 1 else 1_500_000 if p < 32 else 2_500_000)) for p in pipelines}

    servers = []
    try:
        for name in bars.names(options):
            server = bars.Server(name)
            servers.append(server)
            seconds = bars.load(server.port, options.keys, b"x" * 64, width=12)
            bars.note(f"{name} {server.version()}: {options.keys:,} keys loaded in {seconds:.1f} s")
        cpu, rate = {}, {}
        for turn in range(options.rounds):
            for pipeline in pipelines:
                for command in COMMANDS:
                    for server in servers[turn % len(servers):] + servers[:turn % len(servers)]:
                        before = server.cpu()
                        per_second = bars.benchmark(server.port, command, requests[pipeline], pipeline, keyspace=options.keys)
                        used = server.cpu() - before
                        case = (server.name, command, pipeline)
                        cpu.setdefault(case, []).append(used / requests[pipeline] * 1e6)
                        rate.setdefault(case, []).append(per_second)
            bars.note(f"round {turn + 1} of {options.rounds}")

        print(f"CPU per operation, one core, {options.rounds} rounds, medians; {bars.machine()}\n")
        reference = servers[0].name
        rows = []
        for command in COMMANDS:
            for pipeline in pipelines:
                for server in servers:
                    case, base = (server.name, command, pipeline), (reference, command, pipeline)
                    rows.append([f"{command.upper()} -P {pipeline}", server.name, f"{bars.median(cpu[case]):.3f}", f"{bars.spread(cpu[case]):.0%}",
                                 f"{bars.median(cpu[case]) / bars.median(cpu[base]):.2f}", f"{bars.median(rate[case]) / 1000:,.0f}",
                                 f"{bars.median(rate[case]) / bars.median(rate[base]):.2f}"])
        bars.table(["load", "server", "CPU µs/op", "spread", f"of {reference}", "kops/s", f"of {reference}"], rows)
    finally:
        for server in servers:
            server.stop()


if __name__ == "__main__":
    main()
