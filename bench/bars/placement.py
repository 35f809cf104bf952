#!/usr/bin/env python3
"""How evenly few long-lived connections lie on the cores, over TCP and over a unix socket.

Each row opens some connections in some way, many times over, has each of them send the same number of commands, and
looks at how many the busiest core got beside what an even split would give it: 1.00 is even, and as much as there are
cores means that one core had all. With fewer connections than cores, even is one core each."""

import random
import socket

import bars

CALLS = 50


class Unix(bars.Connection):
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.reader = self.socket.makefile("rb", 1 << 16)


def fresh(connect, count):
    return [connect() for _ in range(count)], []


def together(connect, count):
    """Connected before any of them says a word, as a pool does that starts."""
    connections = [connect(greet=False) for _ in range(count)]
    for c in connections:
        c.call("PING")
    return connections, []


def among_short(connect, count):
    """A short-lived connection before each, as scripts and health checks make them."""
    connections = []
    for _ in range(count):
        for _ in range(random.randrange(3)):
            connect().close()
        connections.append(connect())
    return connections, []


def among_idle(connect, count):
    """After and between idle ones, as in the pools of many clients."""
    idle = [connect() for _ in range(random.randrange(20, 40))]
    connections = []
    for _ in range(count):
        idle.extend(connect() for _ in range(random.randrange(3)))
        connections.append(connect())
    return connections, idle


def survivors(connect, count):
    """What is left of five times as many."""
    connections = [connect() for _ in range(count * 5)]
    random.shuffle(connections)
    for c in connections[count:]:
        c.close()
    return connections[:count], []


WAYS = [fresh, together, among_short, among_idle, survivors]


def commands(control, shards):
    """Commands so far, by core."""
    fields = control.info("pinyon")
    return [int(dict(f.split("=") for f in fields[f"pinyon_core{core}"].split(","))["commands"]) for core in range(shards)]


def busiest(server, connect, way, count, shards, rounds):
    """The busiest core's share of an even one: (mean, worst)."""
    shares = []
    for _ in range(rounds):
        with bars.Connection(server.port) as control:
            settle(control, 1)
        connections, others = way(connect, count)
        with bars.Connection(server.port) as control:
            settle(control, len(connections) + len(others) + 1)
            before = commands(control, shards)
            for _ in range(server.calls):
                for c in connections:
                    c.socket.sendall(b"PING\r\n")
                for c in connections:
                    c.read()
            moved = [b - a for a, b in zip(before, commands(control, shards))]
        # The INFO in between is no load.
        even = server.calls * max(1, count / shards) + 1
        shares.append(max(moved) / even)
        for c in connections + others:
            c.close()
    return sum(shares) / rounds, max(shares)


def settle(control, clients):
    """Waits until the server knows of the connections that were closed."""
    while int(control.info("clients")["connected_clients"]) > clients:
        pass


def main():
    parser = bars.arguments(__doc__, "pinyon", rounds=10)
    parser.add_argument("--shards", default="2,4", help="numbers of shards (2,4)")
    parser.add_argument("--connections", default="1,2,4,10", help="numbers of connections (1,2,4,10)")
    parser.add_argument("--calls", type=int, default=CALLS, help=f"commands of each connection ({CALLS})")
    parser.add_argument("--ways", default=",".join(way.__name__ for way in WAYS), help="rows (all)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    random.seed(options.seed)
    counts = [int(n) for n in options.connections.split(",")]
    print(f"commands of the busiest core, of an even share: mean (worst) of {options.rounds}; {bars.machine()}\n")
    for shards in (int(n) for n in options.shards.split(",")):
        rows = []
        with bars.Server("pinyon", shards=shards, cores=f"{bars.SERVER_CORE},{bars.LOAD_CORE}", extra=["--unixsocket", "s.sock"]) as server:
            server.calls = options.calls
            for transport in ("tcp", "unix"):
                def connect(greet=True):
                    c = bars.Connection(server.port) if transport == "tcp" else Unix(f"{server.dir}/s.sock")
                    if greet:
                        c.call("PING")
                    return c
                for way in (way for way in WAYS if way.__name__ in options.ways.split(",")):
                    cells = [busiest(server, connect, way, count, shards, options.rounds) for count in counts]
                    rows.append([transport, way.__name__.replace("_", " "), *(f"{mean:.2f} ({worst:.2f})" for mean, worst in cells)])
        print(f"{shards} shards\n")
        bars.table(["", "", *(f"{n} connections" for n in counts)], rows)


if __name__ == "__main__":
    main()
