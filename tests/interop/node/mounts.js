// Secrets engines and auth methods.
'use strict';

const { assert, refused, eventually } = require('./check.js');

const version1 = { type: 'kv', options: { version: '1' } };

const steps = [
  ['enable and list engines', null, async (w) => {
    await w.client.mount({ mount_point: 'node-kv1', ...version1, description: 'plain' });
    const listed = await w.client.mounts();
    // Old callers read the top level, new ones `data`.
    for (const mounts of [listed, listed.data]) {
      assert.equal(mounts['node-kv1/'].type, 'kv');
      assert.equal(mounts['node-kv1/'].description, 'plain');
      assert.deepEqual(mounts['node-kv1/'].options, { version: '1' });
    }
    await refused(
      () => w.client.mount({ mount_point: 'node-kv1', ...version1 }),
      400,
      'path is already in use at node-kv1/',
    );
    await refused(
      () => w.client.mount({ mount_point: 'node-none', type: 'no-such' }),
      400,
      'plugin not found in the catalog: no-such',
    );
  }],
  ['disable an engine', null, async (w) => {
    await w.client.mount({ mount_point: 'node-gone', ...version1 });
    await w.client.write('node-gone/a', { b: 'c' });
    await w.client.unmount({ mount_point: 'node-gone' });
    assert.ok(!('node-gone/' in (await w.client.mounts()).data));
    await refused(() => w.client.read('node-gone/a'), 404, 'no handler for route');
  }],
  ['move an engine', 'remount', async (w) => {
    await w.client.mount({ mount_point: 'node-from', ...version1 });
    await w.client.write('node-from/a', { b: 'c' });
    await w.client.remount({ from: 'node-from', to: 'node-to' });
    await eventually(async () => (await w.client.read('node-to/a')).data.b === 'c', 'moved');
    await w.client.unmount({ mount_point: 'node-to' });
  }],
  ['list auth methods', null, async (w) => {
    const listed = await w.client.auths();
    assert.equal(listed['token/'].type, 'token');
    assert.equal(listed.data['token/'].type, 'token');
  }],
  ['enable and disable an auth method', 'auth-mounts', async (w) => {
    await w.client.enableAuth({ mount_point: 'node-people', type: 'userpass' });
    assert.equal((await w.client.auths()).data['node-people/'].type, 'userpass');
    await w.client.disableAuth({ mount_point: 'node-people' });
    assert.ok(!('node-people/' in (await w.client.auths()).data));
  }],
];

module.exports = { steps };
