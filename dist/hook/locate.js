// Where the program is: the one that an input names, or the installed one.
'use strict';

const { join } = require('node:path');
const { Failure } = require('./fetch.js');
const { install, say } = require('./install.js');
const { warn } = require('./run.js');

/** Where the program is, or nothing, with a reason. */
async function locate() {
  const given = (process.env.INPUT_BINARY || '').trim();
  if (given) {
    return given;
  }
  const cancel = new AbortController();
  const stop = () => cancel.abort();
  process.on('SIGINT', stop).on('SIGTERM', stop);
  try {
    return await install(join(__dirname, '..', '..'), process.env, cancel.signal);
  } catch (error) {
    if (cancel.signal.aborted) {
      say('the job was cancelled before the program was installed');
    } else {
      const reason = error instanceof Failure ? error.message : error.code || error.name;
      warn(`the program could not be installed: ${reason}; the job goes on without a cache`);
    }
    return '';
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop);
  }
}

module.exports = { locate };
