// Node's `http`, where a header that is sent before the body makes chunks of it, even of an empty one.
import http from 'node:http';

const [base, name] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true });
const json = '{"n":1}';

const ask = (method, path, body, chunked) => new Promise((resolve, reject) => {
  const headers = { 'content-type': 'application/json' };
  if (chunked) headers['transfer-encoding'] = 'chunked';
  const request = http.request(base + path, { method, headers, agent, timeout: 20_000 }, (response) => {
    let text = '';
    response.setEncoding('utf8').on('data', (piece) => { text += piece; }).on('end', () => {
      console.log(method, path, response.statusCode, response.headers['x-cache'] ?? '-', text);
      resolve();
    });
  });
  request.on('error', reject).on('timeout', () => request.destroy(new Error('no response in time')));
  if (chunked) request.flushHeaders();
  request.end(body);
});

await ask('GET', `/hot/${name}`);
await ask('GET', `/hot/${name}`, '', true);
await ask('GET', `/cold/${name}`, '', true);
await ask('POST', `/echo/${name}`, json);
await ask('POST', `/echo/${name}`, json, true);
await ask('POST', `/read/${name}`, json);
await ask('POST', `/read/${name}`, json, true);
await ask('HEAD', `/hot/${name}`);
agent.destroy();
