"""A short real session of redis-py: PORT PROTOCOL yes|no (whether hiredis must be there)."""

import sys
import time

import redis
from redis.utils import HIREDIS_AVAILABLE

port, protocol, hiredis = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "yes"
assert HIREDIS_AVAILABLE == hiredis, "the wrong environment"
r = redis.Redis(host="127.0.0.1", port=port, protocol=protocol, client_name="try-redis-py")
assert r.ping() is True
r.flushdb()

assert r.set("greeting", "hello") is True
assert r.get("greeting") == b"hello"
assert r.get("missing") is None
assert r.incr("counter") == 1 and r.incrby("counter", 41) == 42 and r.decr("counter") == 41
assert float(r.incrbyfloat("float", 1.5)) == 1.5
assert r.mset({"a": 1, "b": 2, "c": 3}) is True
assert r.mget("a", "b", "missing", "c") == [b"1", b"2", None, b"3"]
assert r.set("a", "x", nx=True) is None and r.set("a", "y", xx=True, get=True) == b"1"
assert r.append("a", "z") == 2 and r.strlen("a") == 2 and r.getrange("a", 0, 0) == b"y"
assert r.exists("a", "b", "missing") == 2 and r.type("a") == b"string"
assert r.rename("b", "renamed") is True and r.delete("renamed", "missing") == 1

binary = bytes(range(256)) * 40 + b"\r\n$-1\r\n\0"
assert r.set(binary, binary) is True and r.get(binary) == binary and r.unlink(binary) == 1
big = b"x" * (3 << 20)
assert r.set("big", big) is True and r.get("big") == big and r.delete("big") == 1

assert r.expire("c", 100) is True and 0 < r.ttl("c") <= 100 and r.persist("c") is True and r.ttl("c") == -1
assert r.set("short", "v", px=60) is True and r.get("short") == b"v"
time.sleep(0.12)
assert r.get("short") is None and r.ttl("short") == -2

pipe = r.pipeline(transaction=False)
for i in range(1000):
    pipe.set(f"key:{i}", i)
    pipe.get(f"key:{i}")
    pipe.incr(f"key:{i}")
replies = pipe.execute()
assert replies == [x for i in range(1000) for x in (True, str(i).encode(), i + 1)]
seen = list(r.scan_iter(match="key:*", count=50))
assert set(seen) == {f"key:{i}".encode() for i in range(1000)}, len(set(seen))
assert r.dbsize() == 1000 + 5, r.dbsize()
assert len(r.keys("key:99?")) == 10

try:
    r.execute_command("INCR", "greeting")
    raise SystemExit("INCR of a word did not fail")
except redis.ResponseError as error:
    assert "not an integer" in str(error), error
try:
    r.execute_command("NOSUCHCOMMAND", 1)
    raise SystemExit("an unknown command did not fail")
except redis.ResponseError as error:
    assert "unknown command" in str(error), error

assert r.client_getname() in ("try-redis-py", b"try-redis-py")
assert r.client_setname("renamed-client") is True
assert any(c["name"] == "renamed-client" for c in r.client_list())
assert r.client_id() > 0
info = r.info()
assert info["redis_version"] and info["connected_clients"] >= 1, info
assert info["db0"]["keys"] == r.dbsize()
assert r.config_get("maxmemory") == {"maxmemory": "0"}
assert r.object("encoding", "counter") in ("int", b"int")
assert r.time()[0] > 1_600_000_000
other = redis.Redis(host="127.0.0.1", port=port, protocol=protocol, db=3)
assert other.set("only-here", 1) is True and r.get("only-here") is None and other.flushdb() is True

listener = r.pubsub()
listener.subscribe("news")
listener.psubscribe("__keyevent@0__:*")
listener.ssubscribe("shard")


def heard(kind):
    message = None
    while message is None or message["type"] != kind:
        message = listener.get_message(timeout=5)
        assert message is not None, "no message"
    return message["channel"], message["data"]


for _ in range(2):
    listener.get_message(timeout=5)
assert heard("ssubscribe") == (b"shard", 1)
assert r.publish("news", binary) == 1 and heard("message") == (b"news", binary)
assert r.spublish("shard", "hello") == 1 and heard("smessage") == (b"shard", b"hello")
assert r.config_set("notify-keyspace-events", "KEA") is True and r.set("told", 1) is True
assert heard("pmessage") == (b"__keyevent@0__:set", b"told")
assert r.pubsub_channels() == [b"news"] and r.pubsub_numpat() == 1 and r.pubsub_numsub("news") == [(b"news", 1)]
listener.close()
assert r.config_set("notify-keyspace-events", "") is True
assert r.flushall() is True and r.dbsize() == 0
