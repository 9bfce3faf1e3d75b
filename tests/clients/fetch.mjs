// `fetch` as Node has it.
const [base, name] = process.argv.slice(2);
const json = '{"n":1}';

const ask = async (method, path, body) => {
  const streams = body instanceof ReadableStream ? { duplex: 'half' } : {};
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(base + path, { method, body, headers, ...streams, signal: AbortSignal.timeout(20_000) });
  console.log(method, path, response.status, response.headers.get('x-cache') ?? '-', await response.text());
};

await ask('GET', `/hot/${name}`);
await ask('GET', `/hot/${name}`);
await ask('GET', `/cold/${name}`);
await ask('POST', `/echo/${name}`, json);
await ask('POST', `/echo/${name}`, new Blob([json]).stream());
await ask('POST', `/read/${name}`, json);
await ask('POST', `/read/${name}`, new Blob([json]).stream());
await ask('HEAD', `/hot/${name}`);
