'use strict';
// Fetch /0 ... /count-1 from a scripted server, each on a connection of its own,
// and print what came of each as one JSON array.
// Settings as JSON in argv[2]: port, count, upgrades (indices), options (for all).

const http = require('http');

const settings = JSON.parse(process.argv[2]);
const upgrades = new Set(settings.upgrades || []);

const pairs = (flat) => {
  const found = [];
  for (let at = 0; at < flat.length; at += 2) found.push(flat.slice(at, at + 2));
  return found;
};

const tell = (response, chunks, error) => ({
  status: response.statusCode,
  reason: response.statusMessage,
  version: response.httpVersion,
  headers: pairs(response.rawHeaders),
  body: Buffer.concat(chunks).toString('base64'),
  trailers: pairs(response.rawTrailers),
  error: error ? error.code || error.message : '',
});

const fetch = (index) => new Promise((resolve) => {
  const request = http.request({
    host: '127.0.0.1',
    port: settings.port,
    path: `/${index}`,
    agent: false,
    ...settings.options,
    ...(settings.each || {})[index],
  });
  request.on('error', (error) => resolve({ error: error.code || error.message }));
  // Without an error and without a response, as for a 101 that nobody asked for.
  request.on('close', () => setImmediate(resolve, { error: 'closed' }));
  if (upgrades.has(index)) {
    request.setHeader('Connection', 'Upgrade');
    request.setHeader('Upgrade', 'h2c');
    request.on('upgrade', (response, socket, head) => {
      socket.on('error', () => {});
      socket.destroy();
      resolve(tell(response, [head]));
    });
  }
  request.on('response', (response) => {
    const chunks = [];
    response.on('data', (chunk) => chunks.push(chunk));
    response.on('error', (error) => resolve(tell(response, chunks, error)));
    response.on('end', () => resolve(tell(response, chunks)));
  });
  request.end((settings.bodies || {})[index]);
});

Promise.all(Array.from({ length: settings.count }, (_, index) => fetch(index)))
  .then((told) => {
    console.log(JSON.stringify(told));
    process.exit(0);
  });
