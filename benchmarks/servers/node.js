// Node's own server, one process.
"use strict";
const http = require("node:http");

const server = http.createServer((request, response) => {
  response.writeHead(200, { "Content-Type": "text/plain" }).end("Hello, world!");
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
