#!/usr/bin/env python3
"""Bar 1 of the benchmark: the load that one core of pinyon-bench offers, beside redis-benchmark 8.0 and valkey-benchmark 9.1.

The same server (Pinyon, one shard, core 0) gets the same commands from each generator in turn (core 1, one thread, 50
connections), PING and GET of 64-byte values among a million random keys, 1 and 16 deep, over TCP; several rounds, medians. The
generators run as shipped. Where a generator leaves the server idle, it is the generator that limits; the server's share of its
core is in the table. Exits with 1 if pinyon-bench offers less than 1.3 times the load of either in any case.
"""

import json
import os
import re
import subprocess
import sys
import time

import bars

BAR = 1.3
PIPELINES = (1, 16)
CASES = {"PING": ("ping_mbulk", "PING"), "GET": ("get", "GET key:{key}")}


def run(words):
    line = ["taskset", "-c", bars.LOAD_CORE, *words]
    begun = time.monotonic()
    done = subprocess.run(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
    if done.returncode != 0:
        bars.die(f"{' '.join(line)} said:\n{done.stdout[-1000:]}")
    return done.stdout, time.monotonic() - begun


def shipped(path, port, case, pipeline, requests, keys):
    """Requests per second by redis-benchmark or valkey-benchmark."""
    out, _ = run([path, "-p", str(port), "-c", "50", "-P", str(pipeline), "-n", str(requests), "-t", CASES[case][0], "-r", str(keys), "-q"])
    rates = re.findall(r"([\d.]+) requests per second", out)
    return float(rates[-1]) if rates else bars.die(f"{path} said:\n{out[-1000:]}")


def ours(path, port, case, pipeline, requests, keys):
    """Requests per second by pinyon-bench."""
    out, _ = run([path, "--port", str(port), "--connections", "50", "--pipeline", str(pipeline), "--requests", str(requests),
                  "--keys", str(keys), "--command", CASES[case][1], "--json", "-"])
    return json.loads(out.splitlines()[-1])["ops_per_s"]


def main():
    parser = bars.arguments(__doc__, "pinyon", rounds=5)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=2, help="of each run, about (2)")
    options = parser.parse_args()
    own = os.environ.get("PINYON_BENCH") or os.path.join(bars.ROOT, "target", "release", "pinyon-bench")
    if not os.access(own, os.X_OK):
        bars.die(f"{own} is missing: cargo build --release -p pinyon-bench")
    generators = {"redis-benchmark 8.0": (shipped, bars.oracle("PEER_REDIS_BENCHMARK")),
                  "valkey-benchmark 9.1": (shipped, bars.oracle("PEER_VALKEY_BENCHMARK")), "pinyon-bench": (ours, own)}
    rates, shares = {}, {}
    with bars.Server("pinyon") as server:
        bars.load(server.port, options.keys, b"x" * 64, width=12)
        # The generators name their keys differently, so each reads keys that are there.
        width = len(str(options.keys - 1))
        bars.load(server.port, options.keys, b"x" * 64, width=width)
        cases = [(case, pipeline) for case in CASES for pipeline in PIPELINES]
        requests = {}
        for turn in range(options.rounds + 1):
            for case, pipeline in cases:
                for name in list(generators)[turn % 3:] + list(generators)[:turn % 3]:
                    measure, path = generators[name]
                    key = (case, pipeline, name)
                    before, begun = server.cpu(), time.monotonic()
                    rate = measure(path, server.port, case, pipeline, requests.get(key, 50_000 * pipeline), options.keys)
                    used = (server.cpu() - before) / (time.monotonic() - begun)
                    # The first round only tells how many requests fill the time.
                    requests[key] = int(rate * options.seconds)
                    if turn > 0:
                        rates.setdefault(key, []).append(rate)
                        shares.setdefault(key, []).append(used)
            bars.note(f"round {turn} of {options.rounds}")

    print(f"Load offered by one core, {options.rounds} rounds, medians; {bars.machine()}\n")
    rows, worst = [], None
    for case, pipeline in cases:
        mine = bars.median(rates[case, pipeline, "pinyon-bench"])
        for name in generators:
            key = (case, pipeline, name)
            ratio = mine / bars.median(rates[key])
            if name != "pinyon-bench":
                worst = ratio if worst is None else min(worst, ratio)
            rows.append([f"{case} -P {pipeline}", name, f"{bars.median(rates[key]) / 1000:,.0f}", f"{bars.spread(rates[key]):.0%}",
                         f"{bars.median(shares[key]):.0%}", "" if name == "pinyon-bench" else f"{ratio:.2f}"])
    bars.table(["load", "generator", "kops/s", "spread", "server's core busy", "pinyon-bench is times"], rows)
    print(f"The least of these ratios is {worst:.2f}; the bar is {BAR}.")
    sys.exit(0 if worst >= BAR else 1)


if __name__ == "__main__":
    main()
