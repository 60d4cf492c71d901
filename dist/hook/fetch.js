// Fetches one file: redirects, the proxy that the environment names, time limits, several tries. Only node's own modules.
//
// Sends no token and prints no address, because a redirect leads to a signed one. Knows nothing of the content: whoever calls it
// checks every byte, so that neither a server nor a proxy has to be trusted.
'use strict';

const http = require('node:http');
const https = require('node:https');
const tls = require('node:tls');
const { setTimeout: pause } = require('node:timers/promises');
const { urlToHttpOptions } = require('node:url');

const TRIES = 3;
const REDIRECTS = 5;
/** Seconds in which a server has to say something, and in which everything has to be there. */
const SILENCE = 15;
const WHOLE = 120;

/** Why there is no file, as a fragment that fits behind a colon. `again` if another try could help. */
class Failure extends Error {
  constructor(text, again = false) {
    super(text);
    this.again = again;
  }
}

/** The bytes at `address`, at most `most` of them. */
async function fetch(address, most, env, cancelled) {
  const seconds = Number(env.REKINDLE_DOWNLOAD_LIMIT) || WHOLE;
  const limit = AbortSignal.timeout(seconds * 1000);
  const signal = AbortSignal.any([limit, cancelled]);
  let last = null;
  for (let tries = 1; ; tries++) {
    try {
      return await follow(new URL(address), most, { env, signal, silence: Math.min(SILENCE, seconds) * 1000 });
    } catch (error) {
      if (cancelled.aborted) {
        throw new Failure('the job was cancelled');
      }
      if (limit.aborted) {
        throw last || new Failure(`it took longer than ${seconds} s`);
      }
      // What has no words of its own comes from the network.
      last = error instanceof Failure ? error : new Failure(`no connection (${error.code || error.name})`, true);
      if (!last.again || tries === TRIES) {
        throw last;
      }
    }
    await pause(500 * 3 ** tries, undefined, { signal }).catch(() => {});
  }
}

async function follow(url, most, way) {
  for (let redirects = 0; redirects <= REDIRECTS; redirects++) {
    const response = await ask(url, way);
    if ([301, 302, 303, 307, 308].includes(response.statusCode) && response.headers.location) {
      response.destroy();
      const next = new URL(response.headers.location, url);
      if (url.protocol === 'https:' && next.protocol !== 'https:') {
        throw new Failure('a redirect leads away from https');
      }
      url = next;
    } else if (response.statusCode === 200) {
      return collect(response, most);
    } else {
      response.destroy();
      const status = response.statusCode;
      throw new Failure(`the server answered ${status}`, status === 408 || status === 429 || status >= 500);
    }
  }
  throw new Failure('too many redirects');
}

async function collect(response, most) {
  const chunks = [];
  let size = 0;
  try {
    for await (const chunk of response) {
      size += chunk.length;
      if (size > most) {
        throw new Failure('it is larger than what was released');
      }
      chunks.push(chunk);
    }
  } catch (error) {
    throw error instanceof Failure ? error : new Failure('the download broke off', true);
  }
  return Buffer.concat(chunks, size);
}

/** The head of the answer; its body is still to come. */
async function ask(url, way) {
  const proxy = proxyFor(url, way.env);
  const through = proxy ? await tunnel(proxy, url, way) : null;
  const connection = through ? { createConnection: () => secured(through, url) } : { agent: false };
  return exchange(url, { headers: { 'user-agent': 'rekindle' }, ...connection }, way, 'response');
}

function secured(socket, url) {
  return url.protocol === 'https:' ? tls.connect({ socket, servername: url.hostname, ALPNProtocols: ['http/1.1'] }) : socket;
}

/** A connection to the server, made by the proxy. */
async function tunnel(proxy, url, way) {
  const to = `${url.hostname}:${url.port || (url.protocol === 'https:' ? 443 : 80)}`;
  const headers = { host: to };
  if (proxy.username) {
    const [name, word] = [proxy.username, proxy.password].map(decodeURIComponent);
    headers['proxy-authorization'] = `Basic ${Buffer.from(`${name}:${word}`).toString('base64')}`;
  }
  const options = { method: 'CONNECT', path: to, headers, auth: null, agent: false };
  const [response, socket] = await exchange(proxy, options, way, 'connect', (...both) => both);
  if (response.statusCode !== 200) {
    socket.destroy();
    throw new Failure(`the proxy answered ${response.statusCode}`);
  }
  return socket;
}

/** Sends a request without a body, and waits for this event. */
function exchange(url, options, { signal, silence }, event, taken = (first) => first) {
  return new Promise((resolve, reject) => {
    const { request } = { 'http:': http, 'https:': https }[url.protocol] || {};
    if (!request) {
      throw new Failure(`${url.protocol} is not spoken here`);
    }
    const sent = request({ ...urlToHttpOptions(url), ...options, signal });
    sent.setTimeout(silence, () => sent.destroy(new Failure('no answer in time', true)));
    sent.on(event, (...values) => resolve(taken(...values)));
    sent.on('error', reject);
    sent.end();
  });
}

/** The proxy for this address, by the variables that curl reads, too. */
function proxyFor(url, env) {
  const named = (name) => env[name] || env[name.toUpperCase()] || '';
  const value = named(`${url.protocol.slice(0, -1)}_proxy`) || named('all_proxy');
  if (!value || isDirect(url.hostname, named('no_proxy'))) {
    return null;
  }
  return new URL(value.includes('://') ? value : `http://${value}`);
}

function isDirect(host, exceptions) {
  return exceptions.toLowerCase().split(/[\s,]+/).filter(Boolean).some((entry) => {
    const name = entry.replace(/^\*?\./, '');
    return entry === '*' || host === name || host.endsWith(`.${name}`);
  });
}

module.exports = { Failure, fetch };
