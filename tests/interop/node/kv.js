// KV, both versions, and the cubbyhole. node-vault reads and writes any path.
'use strict';

const { assert, refused, eventually } = require('./check.js');

const steps = [
  ['KV version 1', null, async (w) => {
    const value = { text: 'ü <&>', number: 1.5, list: [1, null, { a: true }] };
    await w.client.write('node-kv1/folder/a', value);
    const answer = await w.client.read('node-kv1/folder/a');
    assert.deepEqual(answer.data, value);
    assert.deepEqual([answer.lease_duration, answer.renewable], [2764800, false]);
    await w.client.write('node-kv1/kept', { value: '1' });
    assert.deepEqual((await w.client.list('node-kv1')).data.keys, ['folder/', 'kept']);
    assert.deepEqual((await w.client.list('node-kv1/folder')).data.keys, ['a']);
    await w.client.delete('node-kv1/folder/a');
    const gone = await refused(() => w.client.read('node-kv1/folder/a'), 404);
    assert.deepEqual(gone.body, { errors: [] });
    await refused(() => w.client.list('node-kv1/folder'), 404);
    await refused(() => w.client.write('node-kv1/empty', {}), 400, 'missing data fields');
  }],
  ['KV version 2', 'kv2', async (w) => {
    await w.client.mount({ mount_point: 'node-kv2', type: 'kv', options: { version: '2' } });
    // A new engine may need a moment.
    await eventually(() => w.client.read('node-kv2/config'), 'ready');
    const write = (data, options) => w.client.write('node-kv2/data/a', { data, options });
    assert.equal((await write({ v: '1' }, { cas: 0 })).data.version, 1);
    assert.equal((await write({ v: '2' }, { cas: 1 })).data.version, 2);
    await refused(() => write({ v: '3' }, { cas: 1 }), 400, 'did not match the current version');
    const read = (await w.client.read('node-kv2/data/a')).data;
    assert.deepEqual([read.data, read.metadata.version], [{ v: '2' }, 2]);
    assert.deepEqual((await w.client.read('node-kv2/data/a?version=1')).data.data, { v: '1' });
    const patched = await w.client.update('node-kv2/data/a', { data: { v: null, w: 'x' } });
    assert.equal(patched.data.version, 3);
    assert.deepEqual((await w.client.read('node-kv2/data/a')).data.data, { w: 'x' });
    assert.deepEqual((await w.client.list('node-kv2/metadata')).data.keys, ['a']);
  }],
  ['deleted versions', 'kv2', async (w) => {
    await w.client.delete('node-kv2/data/a');
    const gone = await refused(() => w.client.read('node-kv2/data/a'), 404);
    assert.equal(gone.body.data.data, null);
    assert.notEqual(gone.body.data.metadata.deletion_time, '');
    await w.client.write('node-kv2/undelete/a', { versions: [3] });
    assert.deepEqual((await w.client.read('node-kv2/data/a')).data.data, { w: 'x' });
    await w.client.write('node-kv2/destroy/a', { versions: [1] });
    const { versions } = (await w.client.read('node-kv2/metadata/a')).data;
    assert.deepEqual([versions[1].destroyed, versions[3].destroyed], [true, false]);
    await w.client.delete('node-kv2/metadata/a');
    await refused(() => w.client.list('node-kv2/metadata'), 404);
  }],
  ['the cubbyhole', 'cubbyhole', async (w) => {
    const made = await w.make({ policies: ['default'] });
    const mine = w.as(made.client_token);
    await mine.write('cubbyhole/a', { value: 'x' });
    assert.deepEqual((await mine.read('cubbyhole/a')).data, { value: 'x' });
    await refused(() => w.client.read('cubbyhole/a'), 404);
  }],
];

module.exports = { steps };
