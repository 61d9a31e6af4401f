// Tokens and their leases.
'use strict';

const { assert, refused, eventually } = require('./check.js');

async function gone(w, token) {
  const dead = async () => {
    await refused(() => w.as(token).tokenLookupSelf(), 403, 'permission denied');
    return true;
  };
  await eventually(dead, 'revoked');
}

const steps = [
  ['create and look up tokens', null, async (w) => {
    const made = await w.make({ policies: ['default'], ttl: '1h', meta: { for: 'node' } });
    assert.deepEqual(made.policies, ['default']);
    assert.deepEqual([made.lease_duration, made.renewable, made.orphan], [3600, true, false]);
    const token = made.client_token;
    const found = (await w.client.tokenLookup({ token })).data;
    assert.deepEqual([found.id, found.meta], [token, { for: 'node' }]);
    const byAccessor = await w.client.tokenLookupAccessor({ accessor: made.accessor });
    assert.equal(byAccessor.data.id, '');
    assert.ok((await w.client.tokenAccessors()).data.keys.includes(made.accessor));
    assert.equal((await w.as(token).tokenLookupSelf()).data.id, token);
    const orphan = await w.as(w.root).tokenCreateOrphan({ policies: ['default'] });
    assert.equal(orphan.auth.orphan, true);
    await refused(() => w.client.tokenLookup({ token: 'no-such' }), 403, 'bad token');
  }],
  ['renew tokens', null, async (w) => {
    const made = await w.make({ policies: ['default'], ttl: '1h' });
    const token = made.client_token;
    const renewed = await w.as(w.root).tokenRenew({ token, increment: '2h' });
    assert.equal(renewed.auth.lease_duration, 7200);
    const self = await w.as(token).tokenRenewSelf({ increment: 600 });
    assert.equal(self.auth.lease_duration, 600);
    // The texts differ: "lease is not renewable", "invalid lease ID".
    await refused(() => w.client.tokenRenewSelf({}), 400, 'lease');
  }],
  ['revoke tokens', null, async (w) => {
    const [one, two, three, four] = [
      await w.make({ policies: ['default'] }),
      await w.make({ policies: ['default'] }),
      await w.make({ policies: ['default'] }),
      await w.make({ policies: ['default'] }),
    ];
    await w.client.tokenRevoke({ token: one.client_token });
    await w.client.tokenRevokeAccessor({ accessor: two.accessor });
    await w.client.tokenRevokeOrphan({ token: three.client_token });
    await w.as(four.client_token).tokenRevokeSelf({});
    for (const token of [one, two, three, four]) await gone(w, token.client_token);
  }],
  ['leases', null, async (w) => {
    await refused(() => w.client.renew({ lease_id: 'no/such' }), 400, 'lease not found');
    await w.client.revoke({ lease_id: 'no/such' });
    const made = await w.make({ policies: ['default'], ttl: '1h' });
    const listed = await w.client.list('sys/leases/lookup/auth/token/create');
    const ids = listed.data.keys.map((key) => `auth/token/create/${key}`);
    const found = await w.client.write('sys/leases/lookup', { lease_id: ids[0] });
    assert.equal(found.data.id, ids[0]);
    for (const id of ids) await w.client.revoke({ lease_id: id });
    await gone(w, made.client_token);
  }],
  ['roles for tokens', 'token-roles', async (w) => {
    const role_name = 'node';
    await w.client.addTokenRole({ role_name, allowed_policies: 'default', orphan: true });
    assert.equal((await w.client.getTokenRole({ role_name })).data.orphan, true);
    assert.ok((await w.client.tokenRoles()).data.keys.includes(role_name));
    assert.equal((await w.as(w.root).tokenCreateRole({ role_name })).auth.orphan, true);
    await w.client.removeTokenRole({ role_name });
    await refused(() => w.client.getTokenRole({ role_name }), 404);
  }],
  ['batch tokens', 'batch-tokens', async (w) => {
    // tokenCreate leaves the type out.
    const asked = { policies: ['default'], ttl: '1h', type: 'batch' };
    const { auth: made } = await w.client.write('auth/token/create', asked);
    assert.deepEqual([made.token_type, made.accessor], ['batch', '']);
    assert.equal((await w.as(made.client_token).tokenLookupSelf()).data.type, 'batch');
  }],
];

module.exports = { steps };
