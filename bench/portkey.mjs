// Portkey 1.15 adds headers to what `fetch` returns, which Node does not allow: each stream is a 500.
// Loaded before it, so that it can be measured: a copy of the headers, in a few microseconds.
const original = globalThis.fetch;
const NativeResponse = globalThis.Response;
globalThis.fetch = async (...given) => {
  const answer = await original(...given);
  const { status, statusText, headers } = answer;
  return new NativeResponse(answer.body, { status, statusText, headers: new Headers(headers) });
};
