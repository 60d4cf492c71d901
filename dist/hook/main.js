// Before the job's own steps: restore.
'use strict';

const { execFileSync } = require('node:child_process');
const { appendFileSync, existsSync } = require('node:fs');
const { join } = require('node:path');
const { environment, meaning, run } = require('./run.js');

/** The bash that comes with git; the first one on a Windows path may be that of a subsystem. */
function bash() {
  const git = 'C:\\Program Files\\Git\\bin\\bash.exe';
  return process.platform === 'win32' && existsSync(git) ? git : 'bash';
}

/** Where the program is; used on its own, this action has to install it first. */
function locate() {
  const given = (process.env.INPUT_BINARY || '').trim();
  if (given) {
    return given;
  }
  const script = join(__dirname, '..', 'install.sh');
  const env = { ...process.env, GITHUB_OUTPUT: '' };
  try {
    const said = execFileSync(bash(), [script], { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
    const lines = said.replace(/\r?\n$/, '').split(/\r?\n/);
    lines.slice(0, -1).forEach((line) => console.log(line));
    return lines[lines.length - 1];
  } catch (error) {
    console.log(`::warning title=Rekindle::the program cannot be installed (${error.code || error.status})`);
    return '';
  }
}

async function main() {
  const binary = locate();
  if (!binary) {
    return 0;
  }
  if (process.env.GITHUB_STATE) {
    appendFileSync(process.env.GITHUB_STATE, `binary=${binary}\n`);
  }
  return meaning(await run(binary, ['restore'], environment(process.env)), [1, 2]);
}

main().then((code) => process.exit(code));
