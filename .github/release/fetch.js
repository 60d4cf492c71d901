// Fetches and unpacks every target's program as the hook of this commit does, with its checks. REKINDLE_RELEASE_URL is obeyed.
'use strict';

const { join } = require('node:path');
const action = join(__dirname, '..', '..');
const { download } = require(join(action, 'dist', 'hook', 'install.js'));
const { targets } = require(join(action, 'dist', 'release.json'));

async function main() {
  for (const [target, asset] of Object.entries(targets)) {
    const program = await download(asset, process.env, new AbortController().signal);
    console.log(`${target}: ${program.length} bytes, as released`);
  }
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
