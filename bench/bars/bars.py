"""What the measurements in this folder share: servers, their CPU and memory, a fast loader, Markdown tables.

Everything talks to 127.0.0.1 only. Servers are started here, and ended by the pid that was started. A server
is pinned to core 0 and the load to core 1 unless a measurement says otherwise, so two cores are needed.

Names of servers: pinyon (target/release/pinyon-server, or PINYON_SERVER; PINYON_ARGS is added to its command
line), valkey9 and redis8 (scripts/oracles --peers), redis7 (the system's).
"""

import argparse
import os
import random
import resource
import shlex
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SERVER_CORE, LOAD_CORE = "0", "1"
# Nothing written to disk, no snapshot in the background: the command path alone.
QUIET = ["--save", "", "--appendonly", "no"]
TICK = os.sysconf("SC_CLK_TCK")


def die(text):
    sys.exit(f"error: {text}")


# ---------------------------------------------------------------------------------------------------- servers

_oracles = None


def oracle(key):
    """A path out of scripts/oracles --peers, or an error that says how to get it."""
    global _oracles
    if _oracles is None:
        run = subprocess.run([os.path.join(ROOT, "scripts", "oracles"), "--peers"], stdout=subprocess.PIPE, text=True)
        if run.returncode != 0:
            die("scripts/oracles --peers failed")
        _oracles = dict(word.split("=", 1) for word in shlex.split(run.stdout))
    return _oracles.get(key) or die(f"scripts/oracles --peers gives no {key}")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def free_ports(count):
    """The first of so many ports in a row that nobody listens on, below those that the kernel gives to connections: of
    these, ones that have just ended are in the way of every other."""
    for _ in range(100):
        first, sockets = random.randrange(10_000, 32_000), []
        try:
            for port in range(first, first + count):
                sockets.append(socket.socket())
                sockets[-1].bind(("127.0.0.1", port))
            return first
        except OSError:
            pass
        finally:
            for each in sockets:
                each.close()
    die("no free ports in a row")


def pinyon_binary():
    path = os.environ.get("PINYON_SERVER") or os.path.join(ROOT, "target", "release", "pinyon-server")
    if not os.access(path, os.X_OK):
        die(f"{path} is missing: cargo build --release")
    return os.path.abspath(path)


class Server:
    """One running server. `cores` is a taskset list; None leaves the pinning to the kernel."""

    def __init__(self, name, shards=1, cores=SERVER_CORE, extra=()):
        self.name, self.port = name, free_port()
        self.dir = tempfile.mkdtemp(prefix="pinyon-bar-")
        common = ["--port", str(self.port), "--bind", "127.0.0.1"]
        if name == "pinyon":
            command = [pinyon_binary(), *common, "--shards", str(shards), "--pin", "no", *QUIET, *shlex.split(os.environ.get("PINYON_ARGS", ""))]
        else:
            keys = {"valkey9": "PEER_VALKEY_SERVER", "redis8": "PEER_REDIS_SERVER", "redis7": "REDIS_SERVER"}
            if name not in keys:
                die(f"no server is called {name} (pinyon, {', '.join(keys)})")
            command = [oracle(keys[name]), *common, *QUIET]
        if cores is not None:
            command = ["taskset", "-c", cores] + command
        self.command = command + list(extra)
        self.log = open(os.path.join(self.dir, "log"), "w")
        self.start()

    def start(self, patience=20):
        """Starts it in its folder; returns the seconds until it serves."""
        begun = time.monotonic()
        # taskset and the peers' wrappers exec, so this pid is the server's own.
        self.process = subprocess.Popen(self.command, cwd=self.dir, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        while True:
            try:
                with Connection(self.port) as c:
                    if c.call("PING") == "PONG":
                        return time.monotonic() - begun
            except (OSError, EOFError, ReplyError):
                pass
            if not self.alive() or time.monotonic() > begun + patience:
                tail = open(self.log.name, errors="replace").read()[-2000:]
                self.stop()
                die(f"{self.name} did not start: {' '.join(self.command)}\n{tail}")
            time.sleep(0.01)

    def kill(self):
        """Ends it with -9; its folder stays."""
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def alive(self):
        return self.process.poll() is None

    def cpu(self):
        """Seconds of CPU used so far by all threads, user and kernel."""
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def rss(self):
        """Resident bytes."""
        with open(f"/proc/{self.process.pid}/status") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        raise EOFError("the server is gone")

    def settled_rss(self, seconds=2.0):
        """Resident bytes once they have stopped moving (or after ten times `seconds`)."""
        last = self.rss()
        for _ in range(10):
            time.sleep(seconds)
            now = self.rss()
            if abs(now - last) < (1 << 20):
                return now
            last = now
        return last

    def version(self):
        with Connection(self.port) as c:
            fields = c.info("server")
        for key in ("pinyon_version", "valkey_version", "redis_version"):
            if key in fields:
                return fields[key]
        return "?"

    def stop(self):
        if self.alive():
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)


# ------------------------------------------------------------------------------------------------ connections


class ReplyError(Exception):
    pass


class Connection:
    """A blocking RESP2 connection: enough to measure with, and nothing that hides time."""

    def __init__(self, port, timeout=120):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = self.socket.makefile("rb", 1 << 16)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.reader.close()
        self.socket.close()

    def call(self, *words):
        self.socket.sendall(encode(*words))
        return self.read()

    def read(self):
        line = self.reader.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b":":
            return int(rest)
        if kind == b"-":
            raise ReplyError(rest.decode(errors="replace"))
        if kind == b"$":
            if rest == b"-1":
                return None
            body = self.reader.read(int(rest) + 2)
            if len(body) != int(rest) + 2:
                raise EOFError("the server closed the connection")
            return body[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self.read() for _ in range(int(rest))]
        raise ReplyError(f"not RESP2: {line!r}")

    def info(self, *sections):
        """INFO as a dict."""
        text = self.call("INFO", *sections).decode()
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def encode(*words):
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        word = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(word), word))
    return b"".join(parts)


# ------------------------------------------------------------------------------------------------------- load


def set_formats(keys, value, prefix=b"key:", width=0, tail=b""):
    """Yields (first, last, format): SETs of prefix+N for N in [first, last), as one bytes format with one %d each.

    `tail` is what follows the value on the wire, `words` long already encoded arguments (e.g. a PXAT).
    """
    words = 3 + tail.count(b"$")
    first = 0
    while first < keys:
        digits = max(width, len(str(first)))
        last = min(keys, 10**digits)
        form = b"*%d\r\n$3\r\nSET\r\n$%d\r\n%b" % (words, len(prefix) + digits, prefix)
        form += (b"%%0%dd" % digits) + b"\r\n$%d\r\n%b\r\n" % (len(value), value) + tail
        yield first, last, form
        first = last


def load(port, keys, value, prefix=b"key:", width=0, tail=b"", batch=2000):
    """Sets prefix+0 … prefix+(keys-1), pipelined `batch` deep on one connection; returns the seconds it took."""
    start = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), 300) as s:
        owed = 0
        for first, last, form in set_formats(keys, value, prefix, width, tail):
            full = form * batch
            for at in range(first, last, batch):
                until = min(at + batch, last)
                s.sendall((full if until - at == batch else form * (until - at)) % tuple(range(at, until)))
                # One batch stays under way, so that the server never waits for us to read.
                owed = drain(s, owed)
                owed += 5 * (until - at)
        drain(s, owed)
    return time.monotonic() - start


def drain(s, owed):
    """Reads `owed` bytes of +OK replies; returns 0."""
    while owed > 0:
        got = s.recv(min(owed, 1 << 18))
        if not got:
            raise EOFError("the server closed the connection under load")
        if b"-" in got:
            raise ReplyError(got[got.index(b"-"):][:200].decode(errors="replace"))
        owed -= len(got)
    return 0


def benchmark(port, command, requests, pipeline, clients=50, size=64, keyspace=1_000_000, core=LOAD_CORE):
    """One run of redis-benchmark 7.0; returns requests per second."""
    line = [oracle("REDIS_BENCHMARK"), "-h", "127.0.0.1", "-p", str(port), "-t", command, "-n", str(requests), "-P", str(pipeline),
            "-c", str(clients), "-d", str(size), "-r", str(keyspace), "--csv"]
    if core is not None:
        line = ["taskset", "-c", core] + line
    run = subprocess.run(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)
    for row in run.stdout.splitlines():
        fields = [f.strip('"') for f in row.split(",")]
        if fields[0].lower() == command:
            return float(fields[1])
    die(f"redis-benchmark -t {command} said:\n{run.stdout[-1000:]}")


# ---------------------------------------------------------------------------------------------------- figures


def median(values):
    return statistics.median(values)


def percentile(values, share):
    """The value below which `share` (0…1) of them lie; `values` need not be sorted."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def spread(values):
    """How far the rounds lie apart, as a part of their median: (max - min) / median."""
    return (max(values) - min(values)) / median(values) if median(values) else 0.0


def table(head, rows):
    """A Markdown table on stdout, its columns aligned."""
    cells = [[str(c) for c in row] for row in [head, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    print("| " + " | ".join(c.ljust(w) for c, w in zip(cells[0], widths)) + " |")
    print("|" + "|".join("-" * (w + 1) + (":" if i else "-") for i, w in enumerate(widths)) + "|")
    for row in cells[1:]:
        print("| " + " | ".join(c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths))) + " |")
    print(flush=True)


def note(text):
    """Progress, to stderr: stdout holds the tables only."""
    print(f"# {text}", file=sys.stderr, flush=True)


def machine():
    """One line about where this was measured."""
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    return f"{model}, {os.cpu_count()} cores, Linux {os.uname().release}"


def raise_file_limit(wanted):
    """As many open files as `wanted`, or as the system lets us; returns what we have. Servers inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
        except (ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def pin_load():
    """Puts this process on the load's core."""
    os.sched_setaffinity(0, {int(LOAD_CORE)})


def arguments(doc, servers, rounds=None):
    """The options every measurement has; its own can be added before parse_args()."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", default=servers, help=f"comma-separated ({servers})")
    if rounds is not None:
        parser.add_argument("--rounds", type=int, default=rounds, help=f"({rounds})")
    return parser


def names(options):
    return [n for n in options.servers.split(",") if n]
