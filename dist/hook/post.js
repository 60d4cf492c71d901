// After the job's own steps, however they ended: save. What `main` was told counts, not what the inputs say by now.
'use strict';

const { conclude, meaning, run } = require('./run.js');

async function main() {
  const { STATE_binary: binary, STATE_state: state } = process.env;
  // Nothing was installed, or nothing restored: whatever there is to say has been said.
  if (!binary || !state) {
    return 0;
  }
  // Evaluated anew for this phase. Whoever does not know how the job went lets nothing grow older.
  const status = process.env['INPUT_JOB-STATUS'];
  const result = ['success', 'failure', 'cancelled'].includes(status) ? status : 'failure';
  if (result === 'cancelled') {
    console.log('rekindle: the job was cancelled; what it built is saved, in four minutes at most');
  }
  return meaning(await run(binary, ['save', '--state', state, '--job-result', result], process.env), [1]);
}

conclude(main());
