// After the job's own steps, however they ended: save. What `main` was told counts, not what the inputs say by now.
'use strict';

const { identified } = require('./identity.js');
const { conclude, environment, meaning, result, run, withToken } = require('./run.js');

async function main() {
  const { STATE_binary: binary, STATE_state: state } = process.env;
  // Nothing was installed, or nothing restored: whatever there is to say has been said.
  if (!binary || !state) {
    return 0;
  }
  const status = result(process.env);
  const save = (more) => run(binary, ['save', '--state', state, '--job-result', status], { ...withToken(process.env), ...more });
  return meaning(await identified(environment(process.env), save), [1]);
}

conclude(main());
