// Drives a server, from its first initialisation to its sealing, with node-vault.
//
// It reads:
//
//     VAULT_ADDR  a server not yet initialised
//     FEATURES    what is built, with commas between: steps that need more are named and left out
'use strict';

const vault = require('node-vault');

const kv = require('./kv.js');
const mounts = require('./mounts.js');
const policies = require('./policies.js');
const seal = require('./seal.js');
const tokens = require('./tokens.js');
const wrapping = require('./wrapping.js');

const GROUPS = [
  seal.begin,
  mounts.steps,
  kv.steps,
  policies.steps,
  tokens.steps,
  wrapping.steps,
  seal.end,
];

async function main() {
  const built = (process.env.FEATURES ?? '').split(',');
  const endpoint = process.env.VAULT_ADDR;
  // A token of the environment is not ours.
  delete process.env.VAULT_TOKEN;
  const as = (token) => vault({ endpoint, token });
  // What later steps know from earlier ones.
  const walk = { as, client: as(''), root: '', keys: [] };
  // A client that makes or renews a token goes on with that token; ours goes on as root.
  walk.make = async (settings) => (await as(walk.root).tokenCreate(settings)).auth;
  for (const [name, feature, step] of GROUPS.flat()) {
    if (feature && !built.includes(feature)) {
      console.log(`awaits ${feature}: ${name}`);
      continue;
    }
    try {
      await step(walk);
    } catch (error) {
      console.log(`FAIL ${name}: ${error.stack}`);
      return 1;
    }
    console.log(`ok ${name}`);
  }
  return 0;
}

main().then((code) => {
  process.exitCode = code;
});
