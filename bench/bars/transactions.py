#!/usr/bin/env python3
"""Bars of transactions: what they cost, and that nobody starves.

cost      server CPU per EXEC of ten SETs on one shard, sent as one pipeline by 50 connections, beside valkey; and per key of an
          MSET of ten random keys over two shards, beside ten unpipelined SETs of random keys on the same server.
liveness  100 clients with MSETs and MULTIs of ten keys each out of 60, over 8 shards, for --seconds: every client must get on.
          Exits with 1 if a client stops, or the slowest has less than half of the median's throughput.

The clients are one process, which keeps one request of each connection under way and counts the bytes of the replies.
"""

import random
import selectors
import socket
import sys
import time

import bars

VALUE = b"x" * 64


class Client:
    """A connection in a closed loop: `requests` in turn, each a pair (bytes, length of the reply)."""

    def __init__(self, port, requests, at=0):
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.requests, self.at, self.owed, self.done, self.sent_at = requests, at, 0, 0, 0.0
        self.latencies = []

    def send(self):
        request, self.owed = self.requests[self.at % len(self.requests)]
        self.at += 1
        self.sent_at = time.monotonic()
        self.socket.sendall(request)

    def receive(self):
        """True: the reply is complete."""
        got = self.socket.recv(1 << 16)
        if not got:
            raise EOFError("the server closed a connection")
        if got.startswith(b"-") or b"\r\n-" in got:
            raise bars.ReplyError(got[:200].decode(errors="replace"))
        self.owed -= len(got)
        assert self.owed >= 0, "a reply is longer than it should be"
        return self.owed == 0


def drive(clients, total=None, seconds=None, measure=False):
    """Keeps every client busy until `total` requests have been answered, or for so many seconds."""
    selector = selectors.EpollSelector()
    for client in clients:
        selector.register(client.socket, selectors.EVENT_READ, client)
        client.send()
    open_, sent, answered = len(clients), len(clients), 0
    end = time.monotonic() + (seconds or 3600)
    while open_:
        events = selector.select(30)
        if not events:
            raise EOFError(f"{open_} clients wait for replies that do not come")
        now = time.monotonic()
        for key, _ in events:
            client = key.data
            if not client.receive():
                continue
            client.done += 1
            answered += 1
            if measure:
                client.latencies.append(now - client.sent_at)
            if now < end and (total is None or sent < total):
                sent += 1
                client.send()
            else:
                open_ -= 1
    for client in clients:
        selector.unregister(client.socket)
    return answered


def close(clients):
    for client in clients:
        client.socket.close()


def key(i):
    return b"key:%06d" % i


def exec_of(keys):
    """MULTI, a SET of each key, EXEC, as one pipeline."""
    commands = [bars.encode("MULTI"), *(bars.encode("SET", k, VALUE) for k in keys), bars.encode("EXEC")]
    reply = b"+OK\r\n" + b"+QUEUED\r\n" * len(keys) + b"*%d\r\n" % len(keys) + b"+OK\r\n" * len(keys)
    return b"".join(commands), len(reply)


def mset_of(keys):
    return bars.encode("MSET", *(word for k in keys for word in (k, VALUE))), len(b"+OK\r\n")


def set_of(k):
    return bars.encode("SET", k, VALUE), len(b"+OK\r\n")


def cpu_per_request(server, requests, count, connections=50):
    clients = [Client(server.port, requests, at=i * 17) for i in range(connections)]
    drive(clients, total=connections * 20)
    before = server.cpu()
    answered = drive(clients, total=count)
    used = server.cpu() - before
    close(clients)
    return used / answered * 1e6


def cost(options):
    rng = random.Random(options.seed)
    draw = lambda: [key(i) for i in rng.sample(range(100_000), 10)]
    execs = [exec_of(draw()) for _ in range(500)]
    results = {name: [] for name in bars.names(options)}
    servers = {name: bars.Server(name) for name in results}
    try:
        bars.pin_load()
        for number in range(options.rounds):
            for name in results:
                results[name].append(cpu_per_request(servers[name], execs, options.requests))
            bars.note(f"EXEC, round {number + 1} of {options.rounds}")
    finally:
        for server in servers.values():
            server.stop()
    first = bars.median(next(iter(results.values())))
    print(f"EXEC of ten SETs of 64 bytes on one shard, 50 connections, {options.rounds} rounds, medians; {bars.machine()}\n")
    rows = [[n, f"{bars.median(v):.2f}", f"{bars.spread(v):.0%}", f"{bars.median(v) / first:.2f}"] for n, v in results.items()]
    bars.table(["server", "CPU µs per EXEC", "spread", "ratio"], rows)

    msets, sets = [mset_of(draw()) for _ in range(500)], [set_of(key(rng.randrange(100_000))) for _ in range(5000)]
    per_key = {"MSET of ten": [], "SET": []}
    with bars.Server("pinyon", shards=2, cores=None) as server:
        for _ in range(options.rounds):
            per_key["MSET of ten"].append(cpu_per_request(server, msets, options.requests) / 10)
            per_key["SET"].append(cpu_per_request(server, sets, options.requests * 2))
    base = bars.median(per_key["SET"])
    print("random keys over two shards, 50 connections, unpipelined\n")
    rows = [[n, f"{bars.median(v):.2f}", f"{bars.spread(v):.0%}", f"{bars.median(v) / base:.2f}"] for n, v in per_key.items()]
    bars.table(["command", "CPU µs per key", "spread", "of a SET"], rows)


def liveness(options):
    rng = random.Random(options.seed)
    draw = lambda: [key(i) for i in rng.sample(range(60), 10)]
    requests = [make(draw()) for _ in range(2000) for make in (mset_of, exec_of)]
    with bars.Server("pinyon", shards=8, cores=None) as server:
        clients = [Client(server.port, requests, at=i * 41) for i in range(100)]
        try:
            answered = drive(clients, seconds=options.seconds, measure=True)
        except EOFError as error:
            bars.die(str(error))
        close(clients)
    done = sorted(client.done for client in clients)
    latencies = [each for client in clients for each in client.latencies]
    share = done[0] / bars.median(done)
    print(f"100 clients, conflicting MSETs and MULTIs of ten keys over 8 shards, {options.seconds} s; {bars.machine()}\n")
    ms = lambda part: f"{bars.percentile(latencies, part) * 1e3:.1f}"
    bars.table(
        ["requests", "per s", "slowest client, of the median", "p50 ms", "p99 ms", "p99.9 ms", "max ms"],
        [[answered, f"{answered / options.seconds:,.0f}", f"{share:.2f}", ms(0.5), ms(0.99), ms(0.999), f"{max(latencies) * 1e3:.1f}"]],
    )
    return share >= 0.5


def main():
    parser = bars.arguments(__doc__, "valkey9,pinyon", rounds=5)
    parser.add_argument("--only", choices=["cost", "liveness"])
    parser.add_argument("--requests", type=int, default=40_000)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options = parser.parse_args()
    bars.note(f"seed {options.seed}")
    if options.only != "liveness":
        cost(options)
    if options.only != "cost" and not liveness(options):
        sys.exit(1)


if __name__ == "__main__":
    main()
