// A short real session of ioredis's cluster client: PORT (of a node).
const assert = require('assert');
const Redis = require('ioredis');

(async () => {
  const port = Number(process.argv[2]);
  const r = new Redis.Cluster([{ port, host: '127.0.0.1' }], { scaleReads: 'master' });
  assert.equal(await r.ping(), 'PONG');
  const masters = r.nodes('master');
  assert.ok(masters.length >= 2, `${masters.length} nodes`);
  assert.equal(new Set(masters.map((node) => node.options.port)).size, masters.length);
  await Promise.all(masters.map((node) => node.flushall()));
  await masters[0].config('RESETSTAT');

  await Promise.all([...Array(500).keys()].map(async (i) => assert.equal(await r.set(`key:${i}`, i), 'OK')));
  await Promise.all([...Array(500).keys()].map(async (i) => assert.equal(await r.get(`key:${i}`), String(i))));
  assert.equal(await r.get('missing'), null);
  assert.equal(await r.mset('{tag}a', 1, '{tag}b', 2), 'OK');
  assert.deepEqual(await r.mget('{tag}a', '{tag}b', '{tag}c'), ['1', '2', null]);
  await assert.rejects(r.mget('a', 'b'), /CROSSSLOT/);
  await assert.rejects(r.incr('key:x{tag}', 1), /wrong number of arguments/);

  // ioredis sends a pipeline to one node, so its keys share a slot.
  const pipeline = r.pipeline();
  for (let i = 0; i < 200; i++) pipeline.set(`{p}${i}`, i).get(`{p}${i}`);
  (await pipeline.exec()).forEach(([error, value], i) => {
    assert.equal(error, null);
    assert.equal(value, i % 2 ? String((i - 1) / 2) : 'OK');
  });

  const sizes = await Promise.all(masters.map((node) => node.dbsize()));
  assert.ok(sizes.every((size) => size > 0), String(sizes));
  assert.equal(sizes.reduce((a, b) => a + b), 702);
  const seen = new Set();
  for (const node of masters) {
    for await (const page of node.scanStream({ match: 'key:*', count: 100 })) page.forEach((key) => seen.add(key));
  }
  assert.equal(seen.size, 500);
  for (const node of masters) assert.doesNotMatch(await node.info('errorstats'), /MOVED/);
  await Promise.all(masters.map((node) => node.flushall()));
  r.disconnect();
})().catch((error) => { console.error(error); process.exit(1); });
