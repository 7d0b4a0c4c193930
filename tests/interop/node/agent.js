'use strict';
// Node's client with a keep-alive agent: run a list of requests, one after another or
// all together, and print what came of them and of the agent's sockets as JSON.
// Settings as JSON in argv[2]: port, agent (options), together, requests (method,
// path, headers, body, times).

const http = require('http');

const settings = JSON.parse(process.argv[2]);
const agent = new http.Agent({ keepAlive: true, ...settings.agent });

const fetch = (wanted) => new Promise((resolve) => {
  const told = { informational: [] };
  const request = http.request({
    host: '127.0.0.1', port: settings.port, agent, ...wanted,
  });
  const fail = (error) => resolve({ ...told, error: error.code || error.message });
  request.on('error', fail);
  request.on('information', ({ statusCode }) => told.informational.push(statusCode));
  request.on('response', (response) => {
    let body = '';
    response.setEncoding('latin1');
    response.on('data', (chunk) => { body += chunk; });
    response.on('error', fail);
    response.on('end', () => resolve({
      ...told,
      status: response.statusCode,
      body: body.length > 1000 ? body.length : body,
      trailers: response.trailers,
      reused: request.reusedSocket,
      port: request.socket.localPort,
    }));
  });
  if (wanted.expect) {
    request.setHeader('Expect', '100-continue');
    request.on('continue', () => request.end(wanted.body));
    request.flushHeaders();
  } else if (wanted.pieces) {
    for (let piece = 0; piece < wanted.pieces; piece += 1) request.write(wanted.body);
    request.end();
  } else {
    request.end(wanted.body);
  }
});

const run = async () => {
  const requests = settings.requests.flatMap(
    ({ times = 1, ...wanted }) => Array.from({ length: times }, () => wanted));
  if (settings.together) return Promise.all(requests.map(fetch));
  const told = [];
  for (const wanted of requests) {
    told.push(await fetch(wanted));
    // The socket is free on the next turn.
    await new Promise(setImmediate);
  }
  return told;
};

run().then((told) => {
  console.log(JSON.stringify(told));
  process.exit(0);
});
