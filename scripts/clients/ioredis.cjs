// A short real session of ioredis: PORT.
const assert = require('assert');
const Redis = require('ioredis');

(async () => {
  const port = Number(process.argv[2]);
  const r = new Redis({ port, host: '127.0.0.1', connectionName: 'try-ioredis' });
  assert.equal(await r.ping(), 'PONG');
  await r.flushdb();
  assert.equal(await r.set('greeting', 'hello'), 'OK');
  assert.equal(await r.get('greeting'), 'hello');
  assert.equal(await r.get('missing'), null);
  assert.equal(await r.incr('counter'), 1);
  assert.equal(await r.incrby('counter', 41), 42);
  assert.equal(await r.mset('a', 1, 'b', 2), 'OK');
  assert.deepEqual(await r.mget('a', 'missing', 'b'), ['1', null, '2']);
  assert.equal(await r.expire('a', 100), 1);
  assert.ok((await r.ttl('a')) > 90);
  assert.equal(await r.set('short', 'v', 'PX', 50), 'OK');
  await new Promise((done) => setTimeout(done, 100));
  assert.equal(await r.get('short'), null);

  const binary = Buffer.from([...Array(256).keys(), 13, 10, 0]);
  assert.equal(await r.set(binary, binary), 'OK');
  assert.ok((await r.getBuffer(binary)).equals(binary));

  const pipeline = r.pipeline();
  for (let i = 0; i < 1000; i++) pipeline.set(`key:${i}`, i).get(`key:${i}`);
  const replies = await pipeline.exec();
  replies.forEach(([error, value], i) => {
    assert.equal(error, null);
    assert.equal(value, i % 2 ? String((i - 1) / 2) : 'OK');
  });
  const seen = new Set();
  for await (const page of r.scanStream({ match: 'key:*', count: 100 })) page.forEach((key) => seen.add(key));
  assert.equal(seen.size, 1000);

  await assert.rejects(r.incr('greeting'), /not an integer/);
  await assert.rejects(r.call('NOSUCHCOMMAND'), /unknown command/);
  assert.equal(await r.client('GETNAME'), 'try-ioredis');
  assert.equal(await r.client('SETNAME', 'renamed-client'), 'OK');
  assert.match(await r.client('LIST'), /name=renamed-client/);
  assert.match(await r.info(), /redis_version:/);
  const listener = r.duplicate();
  const heard = new Promise((done) => listener.on('message', (channel, text) => done([channel, text])));
  const matched = new Promise((done) => listener.on('pmessage', (...words) => done(words)));
  assert.equal(await listener.subscribe('news', 'olds'), 2);
  assert.equal(await listener.psubscribe('n*'), 3);
  assert.equal(await r.publish('news', 'hello'), 2);
  assert.deepEqual(await heard, ['news', 'hello']);
  assert.deepEqual(await matched, ['n*', 'news', 'hello']);
  assert.equal(await listener.punsubscribe('n*'), 2);
  assert.equal(await listener.unsubscribe(), 0);
  assert.equal(await listener.get('missing'), null);
  listener.disconnect();
  assert.equal(await r.select(3), 'OK');
  assert.equal(await r.dbsize(), 0);
  assert.equal(await r.flushall(), 'OK');
  assert.equal(await r.quit(), 'OK');
})().catch((error) => { console.error(error); process.exit(1); });
