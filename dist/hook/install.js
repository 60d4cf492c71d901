// Puts the program in place. In this order: the runner's tool cache; the release's asset that dist/release.json names; where it
// names none, a build of this action's own source by dist/install.sh.
//
// Nothing of a release runs, or is unpacked, before it has the SHA-256 that stands in the commit of this action; that holds for
// what lies in the tool cache, too, which every job of a machine can write. Fails with a `Failure` only.
'use strict';

const { spawn, spawnSync } = require('node:child_process');
const { createHash, randomBytes } = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const { join } = require('node:path');
const { gunzipSync } = require('node:zlib');
const { Failure, fetch } = require('./fetch.js');

const NAME = process.platform === 'win32' ? 'rekindle.exe' : 'rekindle';
/** Seconds for a build from source. */
const BUILD = 900;

function say(text) {
  console.log(`rekindle: ${text}`);
}

/** The program's path. */
async function install(action, env, cancelled) {
  const began = Date.now();
  const release = JSON.parse(fs.readFileSync(join(action, 'dist', 'release.json'), 'utf8'));
  const asset = release.targets[target()];
  const version = asset ? release.version : `${declared(action, 'version')}-source.${sourceId(action)}`;
  const places = roots(env).map((root) => join(root, 'rekindle', version, process.arch));
  const is = asset ? (path) => isReleased(path, asset) : runs;
  const found = places.find((place) => fs.existsSync(`${place}.complete`) && is(join(place, NAME)));
  if (found) {
    return join(found, NAME);
  }
  const program = asset ? await download(asset, env, cancelled) : await build(action, env, cancelled);
  const path = keep(program, places, is);
  say(`installed ${version} in ${((Date.now() - began) / 1000).toFixed(1)} s`);
  return path;
}

/** The release's name for this machine. One static program serves every Linux, whatever its libc. */
function target() {
  const machine = { x64: 'x86_64', arm64: 'aarch64' }[process.arch];
  const system = { linux: 'unknown-linux-musl', darwin: 'apple-darwin', win32: 'pc-windows-msvc' }[process.platform];
  return `${machine}-${system}`;
}

/** Folders to look into and to write to, as `@actions/tool-cache` uses the first one. */
function roots(env) {
  const named = [env.RUNNER_TOOL_CACHE, env.RUNNER_TEMP].filter(Boolean);
  return named.length ? named : [fs.mkdtempSync(join(os.tmpdir(), 'rekindle-'))];
}

function sha256(bytes) {
  return createHash('sha256').update(bytes).digest('hex');
}

function isReleased(path, asset) {
  try {
    return fs.statSync(path).size === asset.program_size && sha256(fs.readFileSync(path)) === asset.program_sha256;
  } catch {
    return false;
  }
}

function runs(path) {
  return spawnSync(path, ['--version'], { env: modest(process.env), stdio: 'ignore', timeout: 20000 }).status === 0;
}

async function download(asset, env, cancelled) {
  const { size, sha256: expected, program_size: most, program_sha256: inside } = asset;
  // A mirror can hold it back, and cannot change it.
  const mirror = (env.REKINDLE_RELEASE_URL || '').trim().replace(/\/+$/, '');
  const url = mirror ? `${mirror}/${asset.url.split('/').slice(-2).join('/')}` : asset.url;
  say(`downloading ${asset.url.split('/').pop()}${mirror ? ' from REKINDLE_RELEASE_URL' : ''}`);
  const packed = await fetch(url, size, env, cancelled);
  if (packed.length !== size || sha256(packed) !== expected) {
    throw new Failure('what was downloaded is not what dist/release.json names');
  }
  const program = gunzipSync(packed, { maxOutputLength: most });
  if (sha256(program) !== inside) {
    throw new Failure('what was unpacked is not what dist/release.json names');
  }
  return program;
}

/** In the first place where it can be written and started, whole or not at all: another job may be looking for it right now. */
function keep(program, places, is) {
  let last;
  for (const place of places) {
    const path = join(place, NAME);
    const draft = join(place, `${process.pid}-${randomBytes(4).toString('hex')}-${NAME}`);
    try {
      fs.mkdirSync(place, { recursive: true });
      fs.writeFileSync(draft, program, { flag: 'wx', mode: 0o755 });
      fs.chmodSync(draft, 0o755); // whatever the umask says
      if (!runs(draft)) {
        last = 'it does not run there';
        continue;
      }
      replace(draft, path, is);
      fs.writeFileSync(`${place}.complete`, '');
      return path;
    } catch (error) {
      last = error.code;
    } finally {
      discard(draft);
    }
  }
  throw new Failure(`${places[places.length - 1]} cannot hold it (${last})`);
}

/** Where nothing can be written, there is nothing to take away, either. */
function discard(path) {
  try {
    fs.rmSync(path, { force: true });
  } catch {
    // A file stands where the folder would be.
  }
}

/** Windows replaces no program that another job runs; then that one has to do. */
function replace(draft, path, is) {
  try {
    fs.renameSync(draft, path);
  } catch (error) {
    if (!is(path)) {
      throw error;
    }
  }
}

function declared(action, name) {
  return new RegExp(`^${name} = "(.*)"`, 'm').exec(fs.readFileSync(join(action, 'Cargo.toml'), 'utf8'))[1];
}

/** The same source gives the same program: its digest names it. */
function sourceId(action) {
  const files = ['Cargo.toml', 'Cargo.lock'];
  for (const entry of fs.readdirSync(join(action, 'src'), { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) {
      const folder = entry.parentPath || entry.path; // of node 24, and of node 20
      files.push(join(folder, entry.name).slice(action.length + 1).replace(/\\/g, '/'));
    }
  }
  const lines = files.sort().map((file) => `${file} ${sha256(fs.readFileSync(join(action, file)))}\n`);
  return sha256(lines.join('')).slice(0, 16);
}

/** What a build from source needs to know of its machine. No token, no secret and no setting of the job is among it. */
const NEEDED = new RegExp(`^(${[
  'PATH|HOME|USER|LOGNAME|LANG|LC_\\w+|TERM|TMPDIR|TMP|TEMP|LD_LIBRARY_PATH|NIX_(?!CONFIG)\\w+|SDKROOT|DEVELOPER_DIR',
  'RUSTUP_(?!TOOLCHAIN)\\w+|CARGO_(HTTP|NET)_\\w+|SSL_CERT_(FILE|DIR)|(HTTPS?|ALL|NO)_PROXY',
  'SYSTEM(ROOT|DRIVE)|WINDIR|COMSPEC|PATHEXT|OS|USERPROFILE|HOME(DRIVE|PATH)|(LOCAL)?APPDATA|PROCESSOR_\\w+|NUMBER_OF_PROCESSORS',
  'PROGRAM(DATA|FILES|W6432)(\\(X86\\))?|COMMONPROGRAM(FILES|W6432)(\\(X86\\))?|VS\\w+|VC\\w+|WINDOWSSDK\\w+|INCLUDE|LIB|LIBPATH',
].join('|')})$`, 'i');

function modest(env) {
  const secret = /TOKEN|SECRET|PASSWORD|CREDENTIAL/i;
  return Object.fromEntries(Object.entries(env).filter(([name]) => NEEDED.test(name) && !secret.test(name)));
}

/** The bash that comes with git; the first one on a Windows path may be that of a subsystem. */
function bash() {
  const git = 'C:\\Program Files\\Git\\bin\\bash.exe';
  return process.platform === 'win32' && fs.existsSync(git) ? git : 'bash';
}

async function build(action, env, cancelled) {
  const work = fs.mkdtempSync(join(env.RUNNER_TEMP || os.tmpdir(), 'rekindle-build-'));
  console.log('::group::Rekindle: building from source, once for this machine');
  try {
    // A bash reads `C:/` and `C:\` alike, its commands do not.
    const words = [join(action, 'dist', 'install.sh'), work].map((path) => path.replace(/\\/g, '/'));
    await compile(words, work, env, cancelled);
    return fs.readFileSync(join(work, 'target', 'release', NAME));
  } finally {
    console.log('::endgroup::');
    fs.rmSync(work, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** With a process group of its own, so that no compiler outlives its cargo. */
function compile(words, work, env, cancelled) {
  const seconds = Number(env.REKINDLE_BUILD_LIMIT) || BUILD;
  return new Promise((resolve, reject) => {
    const options = { cwd: work, env: modest(env), stdio: ['ignore', 'inherit', 'inherit'], detached: process.platform !== 'win32' };
    const child = spawn(bash(), words, options);
    let why = null;
    const stop = (text) => {
      why = why || text;
      end(child);
    };
    const clock = setTimeout(() => stop(`the build took longer than ${seconds} s`), seconds * 1000);
    const cancel = () => stop('the job was cancelled');
    cancelled.addEventListener('abort', cancel);
    const over = (text) => {
      clearTimeout(clock);
      cancelled.removeEventListener('abort', cancel);
      if (text) {
        reject(new Failure(text));
      } else {
        resolve();
      }
    };
    child.on('error', (error) => over(`it has to be built from source, and bash cannot be started (${error.code})`));
    child.on('exit', (code) => over(why || (code === 0 ? null : 'the build from source failed')));
  });
}

function end(child) {
  if (process.platform === 'win32') {
    spawnSync('taskkill', ['/pid', String(child.pid), '/t', '/f'], { stdio: 'ignore' });
    return;
  }
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // It is over already.
  }
}

module.exports = { download, install, say };
