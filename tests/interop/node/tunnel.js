'use strict';
// Node's client by CONNECT through a proxy: over one tunnel, fetch each of `paths`
// and print status and body of each as JSON; or print what the proxy answered instead.
// Settings as JSON in argv[2]: proxy (port), target (host:port), paths, ca (PEM, for TLS).

const http = require('http');
const tls = require('tls');

const settings = JSON.parse(process.argv[2]);

const fetch = (agent, path) => new Promise((resolve, reject) => {
  http.get({ agent, path, host: settings.target }, (response) => {
    let body = '';
    response.on('data', (chunk) => { body += chunk; });
    response.on('end', () => resolve({ status: response.statusCode, body }));
  }).on('error', reject);
});

const secure = (socket) => new Promise((resolve, reject) => {
  if (!settings.ca) {
    resolve(socket);
    return;
  }
  const over = tls.connect({ socket, ca: settings.ca, host: '127.0.0.1' });
  over.on('secureConnect', () => resolve(over)).on('error', reject);
});

http.request({
  host: '127.0.0.1', port: settings.proxy, method: 'CONNECT', path: settings.target,
}).on('connect', async (response, socket, head) => {
  if (response.statusCode !== 200) {
    console.log(JSON.stringify({ refused: response.statusCode }));
    process.exit(0);
  }
  const stream = await secure(socket);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  agent.createConnection = () => stream;
  const told = [];
  for (const path of settings.paths) told.push(await fetch(agent, path));
  console.log(JSON.stringify({ told, early: head.length }));
  process.exit(0);
}).end();
