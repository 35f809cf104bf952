// A short real session of node-redis: PORT RESP.
const assert = require('assert');
const { createClient, RESP_TYPES } = require('redis');

(async () => {
  const [port, RESP] = process.argv.slice(2).map(Number);
  const r = createClient({ socket: { port, host: '127.0.0.1', reconnectStrategy: false }, name: 'try-node-redis', RESP });
  r.on('error', (error) => { console.error(error); process.exit(1); });
  await r.connect();
  assert.equal(await r.ping(), 'PONG');
  await r.flushDb();
  assert.equal(await r.set('greeting', 'hello'), 'OK');
  assert.equal(await r.get('greeting'), 'hello');
  assert.equal(await r.get('missing'), null);
  assert.equal(await r.incr('counter'), 1);
  assert.equal(await r.incrBy('counter', 41), 42);
  assert.equal(await r.mSet({ a: '1', b: '2' }), 'OK');
  assert.deepEqual(await r.mGet(['a', 'missing', 'b']), ['1', null, '2']);
  assert.ok([1, true].includes(await r.expire('a', 100)));
  assert.ok((await r.ttl('a')) > 90);
  await r.set('short', 'v', { PX: 50 });
  await new Promise((done) => setTimeout(done, 100));
  assert.equal(await r.get('short'), null);

  const binary = Buffer.from([...Array(256).keys(), 13, 10, 0]);
  assert.equal(await r.set('binary', binary), 'OK');
  assert.ok((await r.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer }).get('binary')).equals(binary));

  // node-redis pipelines whatever is issued in one turn of its event loop.
  const issued = [];
  for (let i = 0; i < 1000; i++) issued.push(r.set(`key:${i}`, String(i)), r.get(`key:${i}`));
  (await Promise.all(issued)).forEach((value, i) => assert.equal(value, i % 2 ? String((i - 1) / 2) : 'OK'));
  const seen = new Set();
  for await (const page of r.scanIterator({ MATCH: 'key:*', COUNT: 100 })) page.forEach((key) => seen.add(key));
  assert.equal(seen.size, 1000);

  await assert.rejects(r.incr('greeting'), /not an integer/);
  await assert.rejects(r.sendCommand(['NOSUCHCOMMAND']), /unknown command/);
  assert.equal(await r.clientGetName(), 'try-node-redis');
  assert.equal(await r.clientSetName('renamed-client'), 'OK');
  assert.ok((await r.clientList()).some((client) => client.name === 'renamed-client'));
  assert.match(await r.info(), /redis_version:/);
  const listener = r.duplicate();
  listener.on('error', (error) => { console.error(error); process.exit(1); });
  await listener.connect();
  const messages = [];
  await new Promise((done, failed) => {
    const hear = (text, channel) => messages.push([channel, text]) === 3 && done();
    Promise.all([listener.subscribe('news', hear), listener.pSubscribe('n*', hear), listener.sSubscribe('shard', hear)])
      .then(async () => {
        assert.equal(await r.publish('news', 'hello'), 2);
        assert.equal(await r.sPublish('shard', 'hi'), 1);
      }).catch(failed);
  });
  assert.deepEqual(messages.sort(), [['news', 'hello'], ['news', 'hello'], ['shard', 'hi']]);
  await listener.unsubscribe();
  await listener.close();
  await r.select(3);
  assert.equal(await r.dbSize(), 0);
  assert.equal(await r.flushAll(), 'OK');
  await r.close();
})().catch((error) => { console.error(error); process.exit(1); });
