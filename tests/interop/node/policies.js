// Policies and capabilities.
'use strict';

const { assert, refused } = require('./check.js');

const rules = 'path "node-kv1/kept" { capabilities = ["read"] }\n';

const steps = [
  ['policies', null, async (w) => {
    await w.client.addPolicy({ name: 'node-reader', rules });
    const read = await w.client.getPolicy({ name: 'node-reader' });
    assert.equal(read.rules, rules);
    assert.equal(read.data.rules, rules);
    const listed = await w.client.policies();
    assert.ok(listed.policies.includes('node-reader'));
    assert.ok(listed.data.policies.includes('root'));
    await w.client.addPolicy({ name: 'node-gone', rules });
    await w.client.removePolicy({ name: 'node-gone' });
    await refused(() => w.client.getPolicy({ name: 'node-gone' }), 404);
    await refused(() => w.client.addPolicy({ name: 'node-bad', rules: 'path {' }), 400);
  }],
  ['what a policy allows', null, async (w) => {
    const made = await w.make({ policies: ['node-reader'] });
    const reader = w.as(made.client_token);
    assert.deepEqual((await reader.read('node-kv1/kept')).data, { value: '1' });
    await refused(() => reader.read('node-kv1/other'), 403, 'permission denied');
    await refused(() => reader.write('node-kv1/kept', { a: 'b' }), 403, 'permission denied');
    await refused(() => reader.mounts(), 403, 'permission denied');
    const asked = { paths: ['node-kv1/kept', 'node-kv1/other'] };
    const found = await reader.write('sys/capabilities-self', asked);
    assert.deepEqual(found['node-kv1/kept'], ['read']);
    assert.deepEqual(found.data['node-kv1/other'], ['deny']);
  }],
  ['password policies', 'password-policies', async (w) => {
    const policy = 'length = 20\nrule "charset" { charset = "abc" min-chars = 1 }';
    await w.client.write('sys/policies/password/node', { policy });
    const made = await w.client.read('sys/policies/password/node/generate');
    assert.match(made.data.password, /^[abc]{20}$/);
    await w.client.delete('sys/policies/password/node');
  }],
];

module.exports = { steps };
