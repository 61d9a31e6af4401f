// Answers that are wrapped. node-vault asks for that with a header of the request's own.
'use strict';

const { assert, refused } = require('./check.js');

const wrapped = { headers: { 'X-Vault-Wrap-TTL': '60s' } };

const steps = [
  ['wrap and unwrap', 'wrapping', async (w) => {
    const { wrap_info: info } = await w.client.read('node-kv1/kept', wrapped);
    assert.equal(info.ttl, 60);
    assert.equal(info.creation_path, 'node-kv1/kept');
    const found = await w.client.unwrap({ token: info.token });
    assert.deepEqual(found.data, { value: '1' });
    await refused(() => w.client.unwrap({ token: info.token }), 400, 'wrapping token');
  }],
  ['wrap a token', 'wrapping', async (w) => {
    const asked = { policies: ['default'], ttl: '1h' };
    const { wrap_info: info } = await w.client.write('auth/token/create', asked, wrapped);
    // The client may be the wrapping token itself.
    const { auth } = await w.as(info.token).unwrap({});
    assert.equal((await w.as(auth.client_token).tokenLookupSelf()).data.id, auth.client_token);
  }],
];

module.exports = { steps };
