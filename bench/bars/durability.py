#!/usr/bin/env python3
"""What durability costs: the log, snapshots, and loading them, beside redis-server 8.0 and valkey 9.1.

Parts, chosen by --part (all of them without it):
  always    SET of 64 bytes, each on the disk before its reply, 50 connections x 16 deep
  beside    25 connections that GET beside 25 that SET under `appendfsync always`, none of them pipelined
  everysec  SET with and without a log; p99.9 of GETs at half of the peak while 50 MB/s are logged
  bgsave    an open loop, one write in five, without and during BGSAVE: p99, throughput, resident memory
  write     what BGSAVE writes in a second, beside what the disk takes
  load      a restart from a snapshot on two cores, beside a peer's from its RDB file

Servers are on core 0 and the load on core 1, except for `load`, where Pinyon has both. All write into a folder of their
own below TMPDIR, which should be on the disk in question; those that are compared run by turns. Ends with 1 when a bar is missed.
"""

import json
import mmap
import os
import subprocess
import sys
import tempfile
import threading
import time

import bars

LOGGED = ["--appendonly", "yes", "--auto-aof-rewrite-percentage", "0"]
ALWAYS = LOGGED + ["--appendfsync", "always"]
EVERYSEC = LOGGED + ["--appendfsync", "everysec"]
missed = []


def bar(what, value, limit, at_least=True):
    """Says how a figure stands to its bar."""
    kept = value >= limit if at_least else value <= limit
    if not kept:
        missed.append(what)
    print(f"{'kept  ' if kept else 'MISSED'} {what}: {value:.2f}, the bar is {'at least' if at_least else 'at most'} {limit}", flush=True)


def generator():
    path = os.environ.get("PINYON_BENCH") or os.path.join(bars.ROOT, "target", "release", "pinyon-bench")
    return path if os.access(path, os.X_OK) else bars.die(f"{path} is missing: cargo build --release -p pinyon-bench")


class Load:
    """A run of pinyon-bench on the load's core, with options as words: Load(port, connections=50, command="GET key:{key}")."""

    def __init__(self, port, commands, **options):
        words = ["taskset", "-c", bars.LOAD_CORE, generator(), "--port", str(port), "--json", "-"]
        for name, value in options.items():
            words += [f"--{name.replace('_', '-')}", str(value)]
        for command in commands:
            words += ["--command", command]
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def end(self):
        """Its last record, and those of its commands by name."""
        out, _ = self.process.communicate(timeout=600)
        records = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        ends = [record for record in records if record["type"] == "end"]
        if self.process.returncode != 0 or not ends or ends[0]["errors"]:
            bars.die(f"pinyon-bench ended with {self.process.returncode}:\n{out[-1000:]}")
        return ends[0], {record["name"]: record for record in records if record["type"] == "command"}


def run(port, commands, **options):
    return Load(port, commands, **options).end()


def fill(port, keys, size):
    """Sets key:0 … with random values of `size` bytes."""
    run(port, ["SET key:{key} {value}"], connections=8, pipeline=64, keys=keys, requests=keys, distribution="sequential", value_size=size)


# ------------------------------------------------------------------------------------------------------ the log


def always(options):
    sets = ["SET key:{key} {value}"]
    rates, tails = {}, {}
    names = bars.names(options)
    for turn in range(options.rounds):
        for name in names[turn % len(names):] + names[:turn % len(names)]:
            with bars.Server(name, extra=ALWAYS) as server:
                end, _ = run(server.port, sets, connections=50, pipeline=16, keys=1_000_000, value_size=64, warmup=1, duration=4)
            rates.setdefault(name, []).append(end["ops_per_s"] / 1000)
            tails.setdefault(name, []).append(end["p99_us"] / 1000)
        bars.note(f"always: round {turn + 1} of {options.rounds}")
    print(f"SET of 64 bytes, appendfsync always, 50 connections x 16 deep; {bars.machine()}\n")
    bars.table(["server", "kops/s", "spread", "p99 ms"],
               [[name, f"{bars.median(rates[name]):.0f}", f"{bars.spread(rates[name]):.0%}", f"{bars.median(tails[name]):.2f}"] for name in names])
    best = max(bars.median(rates[name]) for name in names if name != "pinyon")
    bar("SET under always, of the best peer's", bars.median(rates["pinyon"]) / best, 2.5)


def beside(options):
    reads, tails, writes = {}, {}, {}
    names = bars.names(options)
    for turn in range(options.rounds):
        for name in names[turn % len(names):] + names[:turn % len(names)]:
            with bars.Server(name, extra=ALWAYS) as server:
                fill(server.port, 100_000, 64)
                mix = ["GET key:{key}", "SET key:{key} {value}"]
                end, by_name = run(server.port, mix, apart="yes", connections=50, keys=100_000, value_size=64, spin="no", warmup=1, duration=4)
            reads.setdefault(name, []).append(by_name["GET"]["ops"] / end["seconds"] / 1000)
            tails.setdefault(name, []).append(by_name["GET"]["p99_us"] / 1000)
            writes.setdefault(name, []).append(by_name["SET"]["ops"] / end["seconds"] / 1000)
        bars.note(f"beside: round {turn + 1} of {options.rounds}")
    print(f"25 connections GET beside 25 that SET under always, not pipelined; {bars.machine()}\n")
    bars.table(["server", "GET kops/s", "spread", "GET p99 ms", "SET kops/s"],
               [[name, f"{bars.median(reads[name]):.1f}", f"{bars.spread(reads[name]):.0%}", f"{bars.median(tails[name]):.2f}",
                 f"{bars.median(writes[name]):.1f}"] for name in names])
    peers = [name for name in names if name != "pinyon"]
    bar("GET beside writers, of the best peer's", bars.median(reads["pinyon"]) / max(bars.median(reads[p]) for p in peers), 3)
    bar("its p99, of the best peer's", bars.median(tails["pinyon"]) / min(bars.median(tails[p]) for p in peers), 0.3, at_least=False)


def everysec(options):
    cases = {"no log": ["--appendonly", "no"], "everysec": EVERYSEC}
    order = list(cases)
    rates, tails, logged = {}, {}, []
    size, share, peak = 4096, None, None
    for turn in range(options.rounds + 1):
        for case in order if turn % 2 else order[::-1]:
            with bars.Server("pinyon", extra=cases[case]) as server:
                end, _ = run(server.port, ["SET key:{key} {value}"], connections=50, pipeline=16, keys=1_000_000, value_size=64, warmup=1, duration=4)
                rate = end["ops_per_s"]
            with bars.Server("pinyon", extra=cases[case]) as server:
                fill(server.port, 50_000, size)
                common = dict(connections=50, pipeline=16, keys=50_000, value_size=size)
                if peak is None:
                    # The peak of GETs with as many SETs among them as there will be at half of it.
                    weight = max(1, int(500_000 / (options.logged * 1e6 / size)))
                    for _ in range(2):
                        end, _ = run(server.port, [f"{weight} GET key:{{key}}", "1 SET key:{key} {value}"], warmup=1, duration=2, **common)
                        peak = end["ops_per_s"]
                        weight = max(1, round(peak / 2 / (options.logged * 1e6 / size)) - 1)
                    share = [f"{weight} GET key:{{key}}", "1 SET key:{key} {value}"]
                    bars.note(f"everysec: peak {peak / 1000:.0f} kops/s, 1 SET to {weight} GETs")
                before = logged_bytes(server)
                end, by_name = run(server.port, share, rate=int(peak / 2), arrivals="exponential", warmup=1, duration=6, **common)
                mbytes = (logged_bytes(server) - before) / 7e6
            if turn == 0:
                continue  # it told the peak, and warmed the disk up
            rates.setdefault(case, []).append(rate / 1000)
            tails.setdefault(case, []).append(by_name["GET"]["p999_us"] / 1000)
            if case == "everysec":
                logged.append(mbytes)
        bars.note(f"everysec: round {turn} of {options.rounds}")
    print(f"SET of 64 bytes, 50 x 16 deep; and GETs at half of the peak ({peak / 2000:.0f} kops/s) with {size}-byte SETs among them; {bars.machine()}\n")
    bars.table(["pinyon", "SET kops/s", "spread", "GET p99.9 ms", "spread"],
               [[case, f"{bars.median(rates[case]):.0f}", f"{bars.spread(rates[case]):.0%}", f"{bars.median(tails[case]):.2f}",
                 f"{bars.spread(tails[case]):.0%}"] for case in order])
    print(f"logged: {bars.median(logged):.0f} MB/s")
    bar("throughput under everysec, of that without a log", bars.median(rates["everysec"]) / bars.median(rates["no log"]), 0.95)
    bar("p99.9 of GETs, of that without a log", bars.median(tails["everysec"]) / bars.median(tails["no log"]), 1.2, at_least=False)


def logged_bytes(server):
    """Bytes that the process has sent to disks so far."""
    with open(f"/proc/{server.process.pid}/io") as io:
        return next(int(line.split()[1]) for line in io if line.startswith("write_bytes"))


# ---------------------------------------------------------------------------------------------------- snapshots


class Saves(threading.Thread):
    """Has one BGSAVE after the other made until it is told to end; watches the server's memory, that of a forked child included."""

    def __init__(self, server):
        super().__init__()
        self.server, self.ending, self.count, self.rss, self.seconds, self.error = server, threading.Event(), 0, 0, [], None

    def run(self):
        try:
            with bars.Connection(self.server.port) as c:
                while not self.ending.is_set():
                    begun = time.monotonic()
                    c.call("BGSAVE")
                    looked = begun
                    while c.info("persistence")["rdb_bgsave_in_progress"] != "0":
                        rss = resident(self.server)
                        if time.monotonic() > looked + 1:
                            rss += resident_of_children(self.server)
                            looked = time.monotonic()
                        self.rss = max(self.rss, rss)
                        time.sleep(0.1)
                    if c.info("persistence")["rdb_last_bgsave_status"] != "ok":
                        raise bars.ReplyError("a BGSAVE failed")
                    self.count += 1
                    self.seconds.append(time.monotonic() - begun)
        except Exception as error:  # told by the main thread
            self.error = error

    def end(self):
        self.ending.set()
        self.join()
        if self.error:
            bars.die(f"{self.server.name}: {self.error}")


def resident(server):
    """Resident bytes of a server, without those of a forked child: read in microseconds, for the load's core is watched."""
    with open(f"/proc/{server.process.pid}/statm") as statm:
        return int(statm.read().split()[1]) * mmap.PAGESIZE


def resident_of_children(server):
    """What forked children have for themselves: the kernel walks through all their pages for it, which takes milliseconds."""
    total = 0
    try:
        pids = open(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read().split()
        for pid in pids:
            with open(f"/proc/{pid}/smaps_rollup") as rollup:
                total += sum(int(line.split()[1]) for line in rollup if line.startswith("Private_")) * 1024
    except OSError:
        pass  # it has just ended
    return total


def bgsave(options):
    rows = []
    for name in bars.names(options):
        with bars.Server(name, extra=EVERYSEC if name == "pinyon" else []) as server:
            fill(server.port, options.keys, 256)
            common = dict(connections=50, pipeline=1, keys=options.keys, value_size=256, rate=options.rate, arrivals="exponential")
            mix = ["4 GET key:{key}", "1 SET key:{key} {value}"]
            server.settled_rss(1)
            quiets, busies, rss_before, rss_max, saves = [], [], 0, 0, []
            for turn in range(options.rounds):
                end, _ = run(server.port, mix, warmup=1, duration=options.seconds, **common)
                quiets.append(end)
                rss_before = resident(server)
                saver = Saves(server)
                load = Load(server.port, mix, warmup=1, duration=options.seconds, **common)
                time.sleep(0.8)
                saver.start()
                busies.append(load.end()[0])
                saver.end()
                rss_max = max(rss_max, saver.rss / rss_before)
                saves += saver.seconds
                bars.note(f"bgsave: {name}, round {turn + 1} of {options.rounds}: p99 {quiets[-1]['p99_us']} and {busies[-1]['p99_us']} us, {len(saver.seconds)} saves")
            median = lambda ends, key: bars.median([end[key] for end in ends])
            ratio = median(busies, "p99_us") / median(quiets, "p99_us")
            kept = median(busies, "ops_per_s") / median(quiets, "ops_per_s")
            rows.append([name, f"{median(quiets, 'p99_us') / 1000:.2f}", f"{median(busies, 'p99_us') / 1000:.2f}", f"{ratio:.2f}",
                         f"{median(quiets, 'p999_us') / 1000:.2f}", f"{median(busies, 'p999_us') / 1000:.2f}", f"{kept:.0%}", f"{rss_max - 1:+.1%}",
                         f"{bars.median(saves):.1f}"])
            if name == "pinyon":
                bar("p99 during BGSAVE, of the quiet server's", ratio, 1.5, at_least=False)
                bar("throughput kept during BGSAVE", kept, 0.99)
                bar("resident memory during BGSAVE, of that before", rss_max, 1.05, at_least=False)
    print(f"{options.keys:,} keys of 256 bytes, {options.rate:,} requests a second, one SET to four GETs; BGSAVE all the time; {bars.machine()}\n")
    bars.table(["server", "quiet p99 ms", "saving p99 ms", "ratio", "quiet p99.9 ms", "saving p99.9 ms", "throughput", "memory", "seconds a save"], rows)


def disk_rate(folder, total=1 << 30, piece=1 << 20):
    """Bytes per second that the disk takes from one stream of direct writes, synced at the end."""
    path = os.path.join(folder, "disk-rate")
    buffer = mmap.mmap(-1, piece)
    buffer.write(os.urandom(piece))
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_DIRECT)
    begun = time.monotonic()
    for _ in range(total // piece):
        os.write(file, buffer)
    os.fdatasync(file)
    seconds = time.monotonic() - begun
    os.close(file)
    os.remove(path)
    return total / seconds


def write(options):
    rates, disks = [], []
    with bars.Server("pinyon", extra=EVERYSEC) as server:
        fill(server.port, options.keys, 256)
        raw = options.keys * (256 + len(f"key:{options.keys - 1}"))
        for turn in range(options.rounds):
            disks.append(disk_rate(server.dir) / 1e6)
            with bars.Connection(server.port) as c:
                begun = time.monotonic()
                c.call("SAVE")
                rates.append(raw / (time.monotonic() - begun) / 1e6)
            bars.note(f"write: round {turn + 1} of {options.rounds}: {rates[-1]:.0f} MB/s, the disk {disks[-1]:.0f}")
    print(f"A snapshot of {options.keys:,} keys of 256 random bytes on one core; {bars.machine()}\n")
    bars.table(["", "MB/s", "spread"], [["snapshot, keys and values", f"{bars.median(rates):.0f}", f"{bars.spread(rates):.0%}"],
                                         ["direct writes of 1 MiB", f"{bars.median(disks):.0f}", f"{bars.spread(disks):.0%}"]])
    bar("MB/s of a snapshot, raw", bars.median(rates), round(min(500, 0.8 * bars.median(disks))))


def load(options):
    seconds = {}
    names = [name for name in bars.names(options) if name != "valkey9"]
    for name in names:
        ours = name == "pinyon"
        with bars.Server(name, shards=2, cores="0,1", extra=EVERYSEC if ours else ["--dbfilename", "dump.rdb"]) as server:
            fill(server.port, options.load_keys, 64)
            with bars.Connection(server.port) as c:
                c.call("SAVE")
            for turn in range(options.rounds):
                server.kill()
                seconds.setdefault(name, []).append(server.start(300))
                with bars.Connection(server.port) as c:
                    if c.call("DBSIZE") != options.load_keys:
                        bars.die(f"{name} has loaded {c.call('DBSIZE')} keys")
                bars.note(f"load: {name}, round {turn + 1} of {options.rounds}: {seconds[name][-1]:.2f} s")
    print(f"From the start to the first reply: {options.load_keys:,} keys of 64 bytes, saved before, two cores; {bars.machine()}\n")
    bars.table(["server", "seconds", "spread"], [[name, f"{bars.median(seconds[name]):.2f}", f"{bars.spread(seconds[name]):.0%}"] for name in names])
    bar("seconds to load, of redis-server 8.0's", bars.median(seconds["pinyon"]) / bars.median(seconds["redis8"]), 0.333, at_least=False)


PARTS = {"always": always, "beside": beside, "everysec": everysec, "bgsave": bgsave, "write": write, "load": load}


def main():
    parser = bars.arguments(__doc__, "redis8,valkey9,pinyon", rounds=3)
    parser.add_argument("--part", choices=PARTS, action="append", help="(all)")
    parser.add_argument("--keys", type=int, default=4_000_000, help="of bgsave and write (4,000,000)")
    parser.add_argument("--load-keys", type=int, default=5_000_000, help="of load (5,000,000)")
    parser.add_argument("--rate", type=int, default=30_000, help="requests per second of bgsave (30,000)")
    parser.add_argument("--seconds", type=float, default=10, help="of a run of bgsave (10)")
    parser.add_argument("--logged", type=float, default=50, help="MB/s of everysec (50)")
    options = parser.parse_args()
    print(f"files in {tempfile.gettempdir()}\n")
    for name in options.part or PARTS:
        PARTS[name](options)
    if missed:
        print("missed: " + "; ".join(missed))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
