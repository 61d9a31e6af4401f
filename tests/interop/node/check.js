// What must hold. Node's own assertions say what they compared.
'use strict';

const assert = require('node:assert/strict');

/** The call fails with this status and with this text in its first error. */
async function refused(call, status, text = '') {
  let answer;
  try {
    answer = await call();
  } catch (error) {
    assert.ok(error.response, `no answer came: ${error.message}`);
    assert.equal(error.response.statusCode, status, error.message);
    const errors = error.response.body?.errors ?? [];
    assert.ok(errors.join('\n').includes(text), `want ${text} in ${JSON.stringify(errors)}`);
    return error.response;
  }
  return assert.fail(`want status ${status}, got ${JSON.stringify(answer)}`);
}

/** What the server does in the background. */
async function eventually(probe, what) {
  const end = Date.now() + 20_000;
  for (;;) {
    if (await probe().catch(() => false)) return;
    assert.ok(Date.now() < end, `${what}: not within 20 seconds`);
    await new Promise((wake) => {
      setTimeout(wake, 50);
    });
  }
}

module.exports = { assert, refused, eventually };
