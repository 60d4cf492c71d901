// Housekeeping as a step of its own: removes what no job needs any more, and never fails the job for it.
'use strict';

const { identified } = require('./identity.js');
const { locate } = require('./locate.js');
const { conclude, environment, meaning, run } = require('./run.js');

async function main() {
  const binary = await locate();
  if (!binary) {
    return 0;
  }
  const limit = (process.env['INPUT_MAX-SIZE'] || '').trim();
  const more = limit ? ['--max-size', limit] : [];
  const env = environment(process.env);
  const prune = (identity) => run(binary, ['prune', ...more], { ...env, ...identity });
  return meaning(await identified(env, prune), [2]);
}

conclude(main());
