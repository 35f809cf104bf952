"""A short real session of redis-py's cluster client: PORT (of a node) PROTOCOL."""

import sys

from redis.cluster import RedisCluster
from redis.exceptions import RedisClusterException

port, protocol = int(sys.argv[1]), int(sys.argv[2])
r = RedisCluster(host="127.0.0.1", port=port, protocol=protocol)
nodes = r.get_primaries()
assert len(nodes) >= 2 and len({node.port for node in nodes}) == len(nodes), nodes
assert r.get_default_node() in nodes and r.ping(target_nodes=RedisCluster.ALL_NODES)
r.flushall()
r.config_resetstat()

for i in range(500):
    assert r.set(f"key:{i}", i) is True
assert all(r.get(f"key:{i}") == str(i).encode() for i in range(500))
assert r.get("missing") is None and r.incrby("counter", 41) == 41
owners = {r.get_node_from_key(f"key:{i}").port for i in range(500)}
assert owners == {node.port for node in nodes}, owners
for node in nodes:
    # Straight to the owner: nobody was sent on.
    stats = r.info("errorstats", target_nodes=node)
    assert "errorstat_MOVED" not in stats, stats

assert r.mset_nonatomic({f"m{i}": i for i in range(50)}) is not None
assert r.mget_nonatomic([f"m{i}" for i in range(50)]) == [str(i).encode() for i in range(50)]
assert r.mset({"{tag}a": 1, "{tag}b": 2}) is True and r.mget("{tag}a", "{tag}b") == [b"1", b"2"]
assert r.delete(*[f"m{i}" for i in range(50)]) == 50
try:
    r.execute_command("MGET", "a", "b")
    raise SystemExit("keys of two slots did not fail")
except RedisClusterException as error:
    assert "slot" in str(error), error

pipe = r.pipeline()
for i in range(500):
    pipe.incr(f"key:{i}")
    pipe.get(f"key:{i}")
assert pipe.execute() == [x for i in range(500) for x in (i + 1, str(i + 1).encode())]

seen = list(r.scan_iter(match="key:*", count=50))
assert sorted(seen) == sorted(f"key:{i}".encode() for i in range(500)), len(seen)
assert sorted(r.keys("key:*", target_nodes=RedisCluster.PRIMARIES)) == sorted(seen)
sizes = [r.dbsize(target_nodes=node) for node in nodes]
assert sum(sizes) == 503 and all(sizes), sizes
slot = r.keyslot("key:7")
assert r.cluster_keyslot("key:7") == slot and r.cluster_countkeysinslot(slot) == 1
assert r.cluster_get_keys_in_slot(slot, 10) in ([b"key:7"], ["key:7"])
assert r.cluster_info()["cluster_state"] == "ok" and len(r.cluster_nodes()) == len(nodes)
assert len(r.cluster_slots()) == len(nodes)
assert r.randomkey(target_nodes=RedisCluster.RANDOM) is not None
listener = r.pubsub()
for number in range(10):
    listener.ssubscribe(f"shard:{number}")
for number in range(10):
    assert r.spublish(f"shard:{number}", number) == 1
    message = None
    while message is None or message["type"] != "smessage":
        message = listener.get_sharded_message(timeout=5)
    assert message["data"] in (str(number), str(number).encode()), message
listener.close()
r.flushall()
assert not any(r.dbsize(target_nodes=node) for node in nodes)
r.close()
