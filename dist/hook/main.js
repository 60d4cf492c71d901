// Before the job's own steps: install, and restore.
'use strict';

const { appendFileSync } = require('node:fs');
const { identified } = require('./identity.js');
const { locate } = require('./locate.js');
const { conclude, environment, meaning, run, warn } = require('./run.js');

/** Whoever wants the step to fail where nothing was restored means every reason for it. */
const MUST_HIT = ['on', 'true'].includes((environment(process.env).REKINDLE_FAIL_ON_CACHE_MISS || '').trim());

async function main() {
  const binary = await locate();
  if (!binary) {
    return Number(MUST_HIT);
  }
  if (process.env.GITHUB_STATE) {
    try {
      appendFileSync(process.env.GITHUB_STATE, `binary=${binary}\n`);
    } catch (error) {
      warn(`the step after the job cannot be told of the program (${error.code}): nothing will be saved`);
    }
  }
  const env = environment(process.env);
  const end = await identified(env, (more) => run(binary, ['restore'], { ...env, ...more }));
  return meaning(end, [1, 2]) || Number(MUST_HIT && !end.cancelled && !(end.ran && end.code === 0));
}

conclude(main());
