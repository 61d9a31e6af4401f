// Initialising, unsealing, sealing, and what anybody may ask.
'use strict';

const { assert, refused, eventually } = require('./check.js');

async function active(w) {
  await eventually(async () => (await w.client.health()).sealed === false, 'active');
}

const begin = [
  ['a new server', null, async (w) => {
    assert.deepEqual(await w.client.initialized(), { initialized: false });
    const status = await w.client.status();
    assert.deepEqual([status.initialized, status.sealed, status.type], [false, true, 'shamir']);
  }],
  ['initialise', null, async (w) => {
    await refused(
      () => w.client.init({ secret_shares: 2, secret_threshold: 3 }),
      400,
      'threshold cannot be larger than shares',
    );
    const made = await w.client.init({ secret_shares: 3, secret_threshold: 2 });
    assert.deepEqual(made.keys.map((key) => key.length), [66, 66, 66]);
    w.keys = made.keys;
    w.root = made.root_token;
    w.client = w.as(w.root);
    await refused(
      () => w.client.init({ secret_shares: 1, secret_threshold: 1 }),
      400,
      'already initialized',
    );
  }],
  ['sealed', null, async (w) => {
    await refused(() => w.client.read('secret/x'), 503, 'Vault is sealed');
  }],
  ['unseal', null, async (w) => {
    const first = await w.client.unseal({ key: w.keys[0] });
    assert.deepEqual([first.sealed, first.progress, first.t, first.n], [true, 1, 2, 3]);
    assert.equal((await w.client.unseal({ reset: true, key: '' })).progress, 0);
    await refused(() => w.client.unseal({ key: 'nonsense' }), 400);
    await w.client.unseal({ key: w.keys[0] });
    assert.equal((await w.client.unseal({ key: w.keys[1] })).sealed, false);
    await active(w);
  }],
  ['health, seal status and leader', null, async (w) => {
    const health = await w.client.health();
    assert.deepEqual([health.initialized, health.sealed, health.standby], [true, false, false]);
    assert.ok(health.version && health.cluster_id);
    assert.equal((await w.client.status()).sealed, false);
    assert.ok('ha_enabled' in (await w.client.leader()));
  }],
];

const end = [
  ['seal, unseal and seal', null, async (w) => {
    await w.client.seal();
    assert.equal((await w.client.status()).sealed, true);
    await w.client.unseal({ key: w.keys[2] });
    await w.client.unseal({ key: w.keys[0] });
    await active(w);
    const kept = await w.client.read('node-kv1/kept');
    assert.deepEqual(kept.data, { value: '1' });
    await w.client.seal();
  }],
];

module.exports = { begin, end };
