// Who this job is, for a bucket that asks: GitHub's token, exchanged or written to a file for as long as the program runs. Only where
// the job may have one (`permissions: id-token: write`), a bucket is the store, and its variables ask for it.
'use strict';

const fs = require('node:fs');
const os = require('node:os');
const { join } = require('node:path');
const { warn } = require('./run.js');

/** A service that does not answer costs that much and not more. */
const PATIENCE = 10000;

const EXCHANGE = 'https://sts.googleapis.com/v1/token';

/** What each kind of bucket wants: an audience, and how the token reaches the program. */
function wish(env) {
  const store = (env.REKINDLE_STORE || '').trim();
  const kind = /(?:^|,)\s*(s3|gs|az):\/\//.exec(store)?.[1];
  const file = (name) => ({ file: name });
  if (kind === 's3' && env.AWS_ROLE_ARN && !env.AWS_WEB_IDENTITY_TOKEN_FILE && !env.AWS_ACCESS_KEY_ID) {
    return { audience: 'sts.amazonaws.com', ...file('AWS_WEB_IDENTITY_TOKEN_FILE') };
  }
  if (kind === 'az' && env.AZURE_CLIENT_ID && env.AZURE_TENANT_ID && !env.AZURE_FEDERATED_TOKEN_FILE) {
    return { audience: 'api://AzureADTokenExchange', ...file('AZURE_FEDERATED_TOKEN_FILE') };
  }
  if (kind === 'gs' && env.GOOGLE_WORKLOAD_IDENTITY_PROVIDER && !env.GOOGLE_OAUTH_ACCESS_TOKEN) {
    return { audience: `//iam.googleapis.com/${env.GOOGLE_WORKLOAD_IDENTITY_PROVIDER.replace(/^\/+/, '')}`, exchange: true };
  }
  return null;
}

async function ask(url, options) {
  const answer = await fetch(url, { ...options, redirect: 'error', signal: AbortSignal.timeout(PATIENCE) });
  if (!answer.ok) {
    throw new Error(`status ${answer.status}`);
  }
  return answer.json();
}

/** It is printed nowhere; a runner that is told hides it all the same. */
function hidden(token) {
  if (typeof token !== 'string' || !/^[\w.~+/=-]{8,}$/.test(token)) {
    throw new Error('the answer holds no token');
  }
  console.log(`::add-mask::${token}`);
  return token;
}

async function token(env, audience) {
  const url = new URL(env.ACTIONS_ID_TOKEN_REQUEST_URL);
  url.searchParams.set('audience', audience);
  const { value } = await ask(url, { headers: { authorization: `Bearer ${env.ACTIONS_ID_TOKEN_REQUEST_TOKEN}` } });
  return hidden(value);
}

/** Google gives no rights to GitHub's token itself. */
async function exchange(env, audience, subject) {
  const body = new URLSearchParams({
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    audience,
    scope: 'https://www.googleapis.com/auth/devstorage.read_write',
    requested_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    subject_token: subject,
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
  });
  const { access_token: access } = await ask(env.REKINDLE_GOOGLE_EXCHANGE || EXCHANGE, { method: 'POST', body });
  return hidden(access);
}

/** Gives `work` the variables that say who it is, and leaves nothing of them behind. */
async function identified(env, work) {
  const wanted = wish(env);
  if (!wanted || !env.ACTIONS_ID_TOKEN_REQUEST_URL || !env.ACTIONS_ID_TOKEN_REQUEST_TOKEN) {
    return work({});
  }
  let more = {};
  let folder = null;
  try {
    const value = await token(env, wanted.audience);
    if (wanted.exchange) {
      more = { GOOGLE_OAUTH_ACCESS_TOKEN: await exchange(env, wanted.audience, value) };
    } else {
      folder = fs.mkdtempSync(join(env.RUNNER_TEMP || os.tmpdir(), 'rekindle-identity-'));
      const path = join(folder, 'token');
      fs.writeFileSync(path, value, { mode: 0o600, flag: 'wx' });
      more = { [wanted.file]: path };
    }
  } catch (error) {
    warn(`no identity token for the bucket: ${error.code || error.name}, ${error.message.replace(/\S+:\/\/\S+/g, '(url)')}`);
  }
  try {
    return await work(more);
  } finally {
    if (folder) {
      fs.rmSync(folder, { recursive: true, force: true });
    }
  }
}

module.exports = { identified };
