'use strict';
// The `ws` package on either side. Settings as JSON in argv[2]: `modules` is where
// it is installed. Without `url` it serves echoes and prints its port; with one it
// sends each of `messages`, waits for its echo, closes with `code` and prints what
// came back, as JSON.

const path = require('path');

const settings = JSON.parse(process.argv[2]);
const { WebSocket, WebSocketServer } = require(path.join(settings.modules, 'ws'));

const echo = () => {
  const options = { host: '127.0.0.1', port: 0, perMessageDeflate: true };
  const server = new WebSocketServer({ ...options, maxPayload: 2 ** 25 });
  server.on('connection', (socket) => {
    socket.on('error', () => {});
    socket.on('message', (data, binary) => {
      if (!binary && data.toString() === 'close me') socket.close(4001, 'as asked');
      else if (!binary && data.toString() === 'terminate me') socket.terminate();
      else socket.send(data, { binary });
    });
    socket.on('pong', (data) => socket.send(`pong ${data}`));
    socket.ping('from ws');
  });
  server.on('listening', () => {
    console.log(JSON.stringify({ ports: { only: server.address().port } }));
  });
  process.stdin.resume();
  process.stdin.on('end', () => process.exit(0));
};

const ask = () => {
  const socket = new WebSocket(settings.url, settings.protocols || []);
  const got = [];
  const next = () => {
    if (got.length < settings.messages.length) socket.send(settings.messages[got.length]);
    else socket.ping('from ws');
  };
  socket.on('open', next);
  socket.on('message', (data, binary) => {
    got.push({ binary, data: data.toString() });
    next();
  });
  socket.on('pong', (data) => {
    got.push({ pong: data.toString() });
    socket.close(settings.code, 'from ws');
  });
  socket.on('error', (error) => got.push({ error: error.message }));
  socket.on('close', (code, reason) => {
    const { protocol, extensions } = socket;
    const told = { got, code, reason: reason.toString(), protocol, extensions };
    console.log(JSON.stringify(told));
  });
};

if (settings.url) ask();
else echo();
