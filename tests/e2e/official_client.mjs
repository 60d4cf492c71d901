// Runs one call of the official cache client and prints its answer as a line of JSON, after the client's own log lines.
//
// node official_client.mjs NODE_MODULES save|restore|lookup KEY PATH [RESTORE_KEY...]
// The service comes from the variables that the runner gives to an action.
import dns from 'node:dns';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

// The client reads in ranges only from Azure's own hosts: here they all are this machine.
const lookup = dns.lookup;
dns.lookup = (host, options, callback) =>
  lookup(host.endsWith('.blob.core.windows.net') ? '127.0.0.1' : host, options, callback);

const [modules, command, key, folder, ...restoreKeys] = process.argv.slice(2);
const library = path.join(modules, '@actions', 'cache', 'lib', 'cache.js');
const cache = await import(pathToFileURL(library).href);

const calls = {
  save: async () => ({ id: await cache.saveCache([folder], key) }),
  restore: async () => ({ key: (await cache.restoreCache([folder], key, restoreKeys)) ?? null }),
  lookup: async () => ({ key: (await cache.restoreCache([folder], key, restoreKeys, { lookupOnly: true })) ?? null }),
};
const answer = await calls[command]().catch((error) => ({ error: error.name, message: error.message }));
console.log(JSON.stringify(answer));
