'use strict';
// Node's server with the handlers of handlers.py, under the same names.
// Settings as JSON in argv[2]: handler (a name, or route), options for createServer,
// attributes of the server; or servers, several of those by name.
// The ports are the first line on standard output.

const http = require('http');

const settings = JSON.parse(process.argv[2] || '{}');

const pairs = (flat) => {
  const found = [];
  for (let at = 0; at < flat.length; at += 2) found.push(flat.slice(at, at + 2));
  return found;
};

const read = (request, done) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => done(Buffer.concat(chunks)));
};

const last = (request) => Number(request.url.slice(request.url.lastIndexOf('/') + 1));

const big = Buffer.alloc(65536, 'x');

const handlers = {
  echo(request, response) {
    read(request, (body) => response.end(JSON.stringify({
      method: request.method,
      url: request.url,
      version: request.httpVersion,
      headers: pairs(request.rawHeaders),
      body: body.toString('base64'),
      trailers: pairs(request.rawTrailers),
    })));
  },
  hello(request, response) {
    response.end('hello');
  },
  body(request, response) {
    read(request, (body) => response.end(body));
  },
  joined(request, response) {
    response.end(JSON.stringify(request.headers));
  },
  distinct(request, response) {
    response.end(JSON.stringify(request.headersDistinct));
  },
  empty(request, response) {
    response.end();
  },
  chunks(request, response) {
    response.write('one');
    response.write('');
    response.write('three');
    response.end();
  },
  explicit(request, response) {
    response.writeHead(200, { 'Content-Type': 'text/plain' });
    response.end();
  },
  explicit_body(request, response) {
    response.writeHead(200, { 'Content-Type': 'text/plain' });
    response.end('hello');
  },
  sized(request, response) {
    response.setHeader('Content-Length', 5);
    response.write('he');
    response.end('llo');
  },
  status(request, response) {
    response.statusCode = last(request);
    response.end('text');
  },
  written_status(request, response) {
    response.writeHead(last(request));
    response.end('text');
  },
  chunked_status(request, response) {
    response.setHeader('Transfer-Encoding', 'chunked');
    response.statusCode = last(request);
    response.end();
  },
  not_modified(request, response) {
    response.writeHead(304, { 'Content-Length': '11' });
    response.end();
  },
  trailers(request, response) {
    response.write('hello');
    response.addTrailers({ 'x-foo': 'bar' });
    response.end();
  },
  announced(request, response) {
    response.setHeader('Trailer', 'x-foo');
    response.addTrailers([['x-foo', 'bar'], ['x-foo', 'baz']]);
    response.end('hello');
  },
  reason(request, response) {
    response.statusMessage = 'Custom Message';
    response.end();
  },
  cases(request, response) {
    response.setHeader('X-CaSe', 'One');
    response.setHeader('set-cookie', ['a=1', 'b=2']);
    response.setHeader('x-case', 'Two');
    response.appendHeader('X-More', '1');
    response.appendHeader('X-More', '2');
    response.end('hello');
  },
  overridden(request, response) {
    response.setHeader('test', '1');
    response.setHeader('x-first', 'kept');
    response.writeHead(200, { Test: '2' });
    response.end('hello');
  },
  flat(request, response) {
    response.setHeader('x-first', 'kept');
    response.writeHead(200, ['foo', '1', 'foo', '2']);
    response.end('hello');
  },
  lookalikes(request, response) {
    response.setHeader('X-Date', 'foo');
    response.setHeader('X-Connection', 'bar');
    response.setHeader('X-Content-Length', 'baz');
    response.end();
  },
  undated(request, response) {
    response.sendDate = false;
    response.end('hello');
  },
  removed(request, response) {
    response.removeHeader('connection');
    response.removeHeader('transfer-encoding');
    response.removeHeader('content-length');
    response.removeHeader('date');
    response.setHeader('date', 'coffee o clock');
    response.end('beep boop\n');
  },
  unconnected(request, response) {
    response.removeHeader('connection');
    response.end('hello');
  },
  closing(request, response) {
    response.setHeader('Connection', 'close');
    response.end('hello');
  },
  kept(request, response) {
    response.writeHead(200, { 'Connection': 'keep-alive' });
    response.write('hello ');
    response.end('world\n');
  },
  kept_sized(request, response) {
    response.writeHead(200, { 'Connection': 'keep-alive', 'Content-Length': '6' });
    response.end('hello\n');
  },
  kept_chunked(request, response) {
    response.writeHead(200, {
      'Connection': 'keep-alive', 'Transfer-Encoding': 'chunked',
    });
    response.end('hello\n');
  },
  hinted(request, response) {
    response.setHeader('Keep-Alive', 'timeout=50');
    response.end('hello');
  },
  own_chunks(request, response) {
    response.setHeader('transfer-ENCODING', 'CHUNKED');
    response.end('hello');
  },
  latin(request, response) {
    response.setHeader('X-Latin', 'D\xfcsseldorf');
    // Text would pull the head into its own encoding.
    response.end(Buffer.from('hello'));
  },
  processing(request, response) {
    response.writeProcessing();
    response.writeProcessing();
    response.end('hello');
  },
  hints(request, response) {
    response.writeEarlyHints({
      'link': ['</a.css>; rel=preload; as=style', '</b.js>; rel=preload; as=script'],
      'x-trace-id': 'id',
    });
    response.end('hello');
  },
  no_hints(request, response) {
    response.writeEarlyHints({});
    response.writeEarlyHints({ link: [] });
    response.end('hello');
  },
  sink(request, response) {
    let size = 0;
    request.on('data', (chunk) => { size += chunk.length; });
    request.on('end', () => response.end(String(size)));
  },
  stream(request, response) {
    let left = last(request);
    const more = () => {
      while (left > 0) {
        left -= 1;
        if (!response.write(big)) {
          response.once('drain', more);
          return;
        }
      }
      response.end();
    };
    more();
  },
};

const route = (request, response) => {
  const found = /^(?:\w+:\/\/[^/]*)?\/(\w*)/.exec(request.url);
  const handler = handlers[found ? found[1] : 'echo'];
  if (handler) {
    handler(request, response);
  } else {
    response.statusCode = 404;
    response.end('no such handler');
  }
};

const start = ({ handler, options = {}, attributes = {} }) => new Promise((resolve) => {
  const server = http.createServer(options, handlers[handler] || route);
  Object.assign(server, attributes);
  // A client that half-closes after its request still gets its answer.
  server.httpAllowHalfOpen = true;
  server.listen(0, '127.0.0.1', () => resolve(server.address().port));
});

const main = async () => {
  const ports = {};
  for (const [name, one] of Object.entries(settings.servers || { only: settings })) {
    ports[name] = await start(one);
  }
  console.log(JSON.stringify({ ports }));
};

main();
process.stdin.on('end', () => process.exit(0)).resume();
