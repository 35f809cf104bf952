#!/usr/bin/env python3
"""Bar 5: are due keys gone in time, and does a crowd of them stall anyone?

First part: a million volatile keys due far away, and 1,000 due one after another within one second. DBSIZE is polled
(it looks at no key, so nothing expires by being looked at): the k-th drop against the k-th deadline is how
late a key went. Second part: millions of keys due within the same second, while another connection, in a process
of its own, sends PING and GET of a key that stays; its round trips are set beside those of quiet seconds before.
"""

import gc
import multiprocessing
import time

import bars


def lateness(server, far, due):
    """Milliseconds by which each of `due` keys outlived its deadline, with `far` other volatile keys around."""
    hour = int((time.time() + 3600) * 1000)
    bars.load(server.port, far, b"v" * 8, prefix=b"far:", tail=b"$4\r\nPXAT\r\n$13\r\n%d\r\n" % hour)
    with bars.Connection(server.port) as c:
        start = int((time.time() + 2) * 1000)
        deadlines = [start + k * 1000 // due for k in range(due)]
        c.socket.sendall(b"".join(bars.encode("SET", f"due:{k}", "v", "PXAT", at) for k, at in enumerate(deadlines)))
        for _ in deadlines:
            c.read()
        if c.call("DBSIZE") != far + due:
            bars.die(f"{server.name}: not all keys are there before they are due")
        late, gone = [], 0
        while gone < due:
            left = c.call("DBSIZE") - far
            now = time.time() * 1000
            late += [now - deadline for deadline in deadlines[gone:due - left]]
            gone = max(gone, due - left)
            if now > deadlines[-1] + 20_000:
                bars.note(f"{server.name}: {due - gone} keys are still there 20 s after the last was due")
                late += [now - deadline for deadline in deadlines[gone:]]
                break
        c.call("FLUSHALL")
    return late


def probe(port, stop, out):
    """Alternates PING and GET until told to stop; sends [(when, µs)] through `out`."""
    bars.pin_load()
    gc.disable()
    trips, clock = [], time.perf_counter_ns
    with bars.Connection(port) as c:
        requests = (bars.encode("PING"), bars.encode("GET", "stays"))
        turn = 0
        while not stop.is_set():
            begun = clock()
            c.socket.sendall(requests[turn & 1])
            c.read()
            trips.append((time.time(), (clock() - begun) / 1000))
            turn += 1
            time.sleep(0.0002)  # a light load: the probe must not be what is measured
    out.send(trips)


def crowd(server, keys):
    """Returns (quiet µs, busy µs, seconds until all were gone) for `keys` keys due within one second."""
    with bars.Connection(server.port) as c:
        c.call("SET", "stays", "v")
        # Enough time to load them all first: measured on a hundredth of them.
        rate = keys / 100 / bars.load(server.port, keys // 100, b"v" * 8, prefix=b"warm:", tail=b"$4\r\nPXAT\r\n$13\r\n%d\r\n" % int((time.time() + 3600) * 1000))
        c.call("FLUSHALL")
        c.call("SET", "stays", "v")
        due = int(time.time() + keys / rate * 1.6 + 8)
        # Ten deadlines within that second, a tenth of the keys each.
        for slice_ in range(10):
            tail = b"$4\r\nPXAT\r\n$13\r\n%d\r\n" % (due * 1000 + slice_ * 100)
            bars.load(server.port, keys // 10, b"v" * 8, prefix=b"crowd:%d:" % slice_, tail=tail)
        if time.time() > due - 4:
            bars.die(f"{server.name}: loading took longer than foreseen; run again")
        total = c.call("DBSIZE")
        if total != keys // 10 * 10 + 1:
            bars.die(f"{server.name} holds {total:,} keys before the second in question")
        stop = multiprocessing.Event()
        ours, theirs = multiprocessing.Pipe(False)
        prober = multiprocessing.Process(target=probe, args=(server.port, stop, theirs))
        time.sleep(max(0, due - 3.5 - time.time()))
        prober.start()
        time.sleep(max(0, due - time.time()))
        while c.call("DBSIZE") > 1 and time.time() < due + 120:
            time.sleep(0.02)
        gone = time.time()
        stop.set()
        trips = ours.recv()
        prober.join()
        left = c.call("DBSIZE") - 1
        if left:
            bars.note(f"{server.name}: {left:,} keys are still there two minutes after they were due")
    quiet = [us for at, us in trips if at < due - 0.2]
    busy = [us for at, us in trips if due <= at <= gone]
    return quiet, busy, gone - due


def main():
    parser = bars.arguments(__doc__, "valkey9,pinyon")
    parser.add_argument("--far", type=int, default=1_000_000)
    parser.add_argument("--due", type=int, default=1000)
    parser.add_argument("--crowd", type=int, default=10_000_000)
    parser.add_argument("--shards", type=int, default=1, help="of pinyon (1)")
    options = parser.parse_args()
    bars.pin_load()
    late_rows, crowd_rows = [], []
    for name in bars.names(options):
        with bars.Server(name, shards=options.shards) as server:
            late = lateness(server, options.far, options.due)
            late_rows.append([name] + [f"{v:.1f}" for v in (bars.median(late), bars.percentile(late, 0.99), max(late))])
            bars.note(f"{name}: p99 {bars.percentile(late, 0.99):.1f} ms late")
            quiet, busy, seconds = crowd(server, options.crowd)
            crowd_rows.append([name] + [f"{v:,.0f}" for v in (bars.median(quiet), bars.percentile(quiet, 0.999), max(quiet),
                                                              bars.median(busy), bars.percentile(busy, 0.999), max(busy))] + [f"{seconds:.2f}"])
            bars.note(f"{name}: max {max(busy):,.0f} µs while {options.crowd:,} keys went")

    print(f"{options.due:,} keys due within a second, {options.far:,} volatile keys around them: milliseconds late; {bars.machine()}\n")
    bars.table(["server", "p50 ms", "p99 ms", "max ms"], late_rows)
    print(f"PING and GET of another connection while {options.crowd:,} keys, due within one second, expire (µs)\n")
    bars.table(["server", "quiet p50", "quiet p99.9", "quiet max", "p50", "p99.9", "max", "all gone after s"], crowd_rows)


if __name__ == "__main__":
    main()
