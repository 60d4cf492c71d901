// Starts the program for one phase of the job and decides what its end means for the job. No dependencies; Node 20 and later.
//
// Only a step like this one is told where the cache service is, so the program runs as its child: the token goes no further.
'use strict';

const { spawn } = require('node:child_process');

/** What an input comes to where nothing was given: also what a job without a matrix has for one. */
const NOTHING = ['', 'null', '{}'];

/**
 * Inputs as the program reads them: `INPUT_KEY-ROLL` becomes `REKINDLE_KEY_ROLL`. Where one says nothing, what the runner's
 * own environment says counts, and else the program's default.
 */
function environment(env) {
  const result = { ...env };
  for (const [name, value] of Object.entries(env)) {
    const input = /^INPUT_(.+)$/.exec(name)?.[1];
    if (input && input !== 'BINARY' && input !== 'JOB-STATUS' && !NOTHING.includes(value.trim())) {
      result[`REKINDLE_${input.replace(/-/g, '_')}`] = value;
    }
  }
  return result;
}

/** For a save, which goes by what the restore was told in everything else: the token is written down nowhere. */
function withToken(env) {
  const token = env['INPUT_GITHUB-TOKEN'] || '';
  return token.trim() === '' ? env : { ...env, REKINDLE_GITHUB_TOKEN: token };
}

/** Runs the program to its end, also when the job is cancelled meanwhile. */
function run(binary, args, env) {
  return new Promise((resolve) => {
    let child = null;
    let cancelled = false;
    // Before there is a program: a signal between the two would end this step and leave the program behind.
    for (const signal of ['SIGINT', 'SIGTERM']) {
      process.on(signal, () => {
        cancelled = true;
        child?.kill(signal);
      });
    }
    const failed = (error) => {
      warn(`the program cannot be started (${error.code})`);
      resolve({ code: 0, cancelled, ran: false });
    };
    try {
      child = spawn(binary, args, { stdio: 'inherit', env });
    } catch (error) {
      // Some faults come at once and not as an event.
      failed(error);
      return;
    }
    child.on('error', failed);
    child.on('exit', (code) => resolve({ code, cancelled, ran: true }));
  });
}

/** How the job went, evaluated anew for each phase. Whoever does not know it lets nothing grow older. */
function result(env) {
  const status = env['INPUT_JOB-STATUS'];
  if (status === 'cancelled') {
    console.log('rekindle: the job was cancelled; what it built is saved, in four minutes at most');
  }
  return ['success', 'failure', 'cancelled'].includes(status) ? status : 'failure';
}

function warn(text) {
  const escaped = text.replace(/%/g, '%25').replace(/\r/g, '%0D').replace(/\n/g, '%0A');
  console.log(`::warning title=Rekindle::${escaped}`);
}

/** 1 is a warning in strict mode, 2 a wrong input; anything else that is not 0 is our own fault and costs only the cache. */
function meaning({ code, cancelled }, failing) {
  if (failing.includes(code)) {
    return code;
  }
  // One that was told to end says so itself.
  if (cancelled && code > 128) {
    return 0;
  }
  if (cancelled) {
    console.log('rekindle: the job was cancelled');
  } else if (code !== 0) {
    warn(code === null ? 'the program was stopped' : `the program ended with code ${code}`);
  }
  return 0;
}

/** How this step ends: whatever else goes wrong in it costs the cache and never the job. */
function conclude(phase) {
  phase
    .catch((error) => {
      warn(`this step failed by itself (${error.code || error.name})`);
      return 0;
    })
    .then((code) => {
      process.exitCode = code;
    });
}

module.exports = { conclude, environment, meaning, result, run, warn, withToken };
