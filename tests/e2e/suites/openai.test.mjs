// openai, by base URL and key alone.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI, { APIUserAbortError, AuthenticationError, InternalServerError, NotFoundError, RateLimitError } from 'openai';
import { cancellation, startHouse, steadyUs, stopAll, until } from '../harness.mjs';
import { embedding, promptTokens, speech } from '../speech.mjs';

let house;
let client;
const user = (content) => [{ role: 'user', content }];
const clientWith = (apiKey) => new OpenAI({ baseURL: house.gateway.baseURL, apiKey, maxRetries: 0 });

/** The error of a request that must fail. */
async function failure(promise) {
  return promise.then(() => assert.fail('it did not fail'), (error) => error);
}

before(async () => {
  house = await startHouse();
  client = clientWith(house.key);
});

after(stopAll);

test('a chat answer is the node\'s, with usage and the gateway\'s id', async () => {
  const answer = await client.chat.completions.create({ model: 'm-1', messages: user('hello') });
  assert.equal(answer.choices[0].message.content, speech('hello'));
  assert.equal(answer.choices[0].finish_reason, 'stop');
  assert.match(answer.id, /^gen-/);
  assert.equal(answer.model, 'm-1');
  assert.deepEqual(answer.usage, {
    prompt_tokens: promptTokens('hello'), completion_tokens: 16, total_tokens: promptTokens('hello') + 16,
  });
  assert.equal(answer.metadata.node_id, 'node-1');
});

test('max_tokens reaches the node', async () => {
  const answer = await client.chat.completions.create({ model: 'm-1', messages: user('short'), max_tokens: 4 });
  assert.equal(answer.choices[0].message.content, speech('short', 4));
  assert.equal(answer.choices[0].finish_reason, 'length');
});

test('a stream carries every token once, and usage when asked', async () => {
  const stream = await client.chat.completions.create({
    model: 'm-1', messages: user('stream [[sim tokens=80]]'), stream: true, stream_options: { include_usage: true },
  });
  let text = '';
  let usage = null;
  const ids = new Set();
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta?.content ?? '';
    usage = chunk.usage ?? usage;
    ids.add(chunk.id);
  }
  assert.equal(text, speech('stream [[sim tokens=80]]', 80));
  assert.equal(usage.completion_tokens, 80);
  assert.equal(ids.size, 1);
  assert.match([...ids][0], /^gen-/);
});

test('a stream without include_usage shows no usage', async () => {
  const stream = await client.chat.completions.create({ model: 'm-1', messages: user('plain'), stream: true });
  for await (const chunk of stream) {
    assert.equal(chunk.usage ?? null, null);
    assert.notEqual(chunk.choices.length, 0);
  }
});

test('a stream whose packets are cut anywhere arrives whole', async () => {
  const prompt = 'cut [[sim tokens=64 split=3]]';
  const stream = await client.chat.completions.create({ model: 'm-1', messages: user(prompt), stream: true });
  let text = '';
  for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? '';
  assert.equal(text, speech(prompt, 64));
});

test('a stream that its node cuts ends in an error, never as if complete', async () => {
  const stream = await client.chat.completions.create({ model: 'm-1', messages: user('[[sim die_after=3]]'), stream: true });
  const error = await failure((async () => {
    for await (const chunk of stream) assert.equal(chunk.choices[0]?.finish_reason ?? null, null);
  })());
  assert.ok(error instanceof Error);
});

test('an abort during a stream reaches the node within 100 ms', async () => {
  const seen = await house.node.stats();
  const stream = await client.chat.completions.create({
    model: 'm-1', messages: user('[[sim endless=1 interval_ms=5]]'), stream: true, max_tokens: 4000,
  });
  let chunks = 0;
  let leftAt = 0;
  for await (const _ of stream) {
    if (++chunks < 5) continue;
    leftAt = steadyUs();
    stream.controller.abort();
    break;
  }
  const noticed = await cancellation(house.node, seen);
  assert.ok(noticed.steady_us - leftAt < 100_000, `${noticed.steady_us - leftAt} us`);
});

test('an abort before the first byte reaches the node within 100 ms, and costs nothing', async () => {
  const own = clientWith(await house.gateway.createKey({ credits: '10' }));
  const seen = await house.node.stats();
  const controller = new AbortController();
  const asked = own.chat.completions.create(
    { model: 'm-1', messages: user('[[sim stall_before=1]]') }, { signal: controller.signal });
  const failed = failure(asked);
  await until('the request at the node', async () => (await house.node.stats()).prompts > seen.prompts);
  const leftAt = steadyUs();
  controller.abort();
  assert.ok((await failed) instanceof APIUserAbortError);
  const noticed = await cancellation(house.node, seen);
  assert.ok(noticed.steady_us - leftAt < 100_000, `${noticed.steady_us - leftAt} us`);
  const balance = await own.get('/credits/balance');
  assert.equal(balance.balance_usdc, '0.10');
});

test('vision parts and unknown members reach the node unchanged', async () => {
  const content = [
    { type: 'text', text: 'what is this?' },
    { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=' } },
  ];
  const answer = await client.chat.completions.create({
    model: 'm-1', messages: [{ role: 'user', content }], seed: 7, x_unknown: { a: [1, 2] },
  });
  assert.equal(answer.choices[0].message.content, speech('what is this?'));
  const { body } = await house.node.last();
  assert.deepEqual(body.messages, [{ role: 'user', content }]);
  assert.equal(body.seed, 7);
  assert.deepEqual(body.x_unknown, { a: [1, 2] });
});

test('tools pass through, and the call comes back', async () => {
  const tools = [{ type: 'function', function: { name: 'get_weather', parameters: { type: 'object', properties: {} } } }];
  const answer = await client.chat.completions.create({ model: 'm-1', messages: user('[[sim tool_call=1]]'), tools });
  assert.equal(answer.choices[0].finish_reason, 'tool_calls');
  assert.equal(answer.choices[0].message.tool_calls[0].function.name, 'get_weather');
  assert.deepEqual((await house.node.last()).body.tools, tools);
});

test('response_format passes through', async () => {
  const answer = await client.chat.completions.create({
    model: 'm-1', messages: user('[[sim text=%7B%22city%22:%22Oslo%22%7D]]'), response_format: { type: 'json_object' },
  });
  assert.deepEqual(JSON.parse(answer.choices[0].message.content), { city: 'Oslo' });
  assert.deepEqual((await house.node.last()).body.response_format, { type: 'json_object' });
});

test('an answer fits the schema that was asked for, or is an error', async () => {
  const schema = {
    type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false,
  };
  const ask = (content) => client.chat.completions.parse({
    model: 'm-1', messages: user(content),
    response_format: { type: 'json_schema', json_schema: { name: 'place', strict: true, schema } },
  });
  const answer = await ask('[[sim text=%7B%22city%22:%22Oslo%22%7D]]');
  assert.deepEqual(answer.choices[0].message.parsed, { city: 'Oslo' });
  const error = await failure(ask('[[sim text=%7B%22city%22:7%7D]]'));
  assert.ok(error instanceof InternalServerError);
  assert.equal(error.status, 502);
  assert.equal(error.code, 'invalid_node_output');
});

test('legacy completions, whole and streamed', async () => {
  const whole = await client.completions.create({ model: 'm-1', prompt: 'once upon', max_tokens: 5 });
  assert.equal(whole.object, 'text_completion');
  assert.equal(whole.choices[0].text, speech('once upon', 5));
  let text = '';
  const stream = await client.completions.create({ model: 'm-1', prompt: 'once upon', max_tokens: 5, stream: true });
  for await (const chunk of stream) text += chunk.choices[0]?.text ?? '';
  assert.equal(text, speech('once upon', 5));
});

test('embeddings of one text and of many', async () => {
  const answer = await client.embeddings.create({ model: 'm-embed', input: ['one', 'two'] });
  assert.equal(answer.data.length, 2);
  for (const [i, text] of ['one', 'two'].entries()) {
    assert.equal(answer.data[i].index, i);
    answer.data[i].embedding.forEach((value, j) => assert.ok(Math.abs(value - embedding(text)[j]) < 1e-6));
  }
  const one = await client.embeddings.create({ model: 'm-embed', input: 'one', encoding_format: 'float' });
  assert.ok(Math.abs(one.data[0].embedding[0] - embedding('one')[0]) < 1e-6);
  assert.equal(one.usage.prompt_tokens, 1);
});

test('models are those that a live node serves', async () => {
  const ids = [];
  for await (const one of client.models.list()) ids.push(one.id);
  assert.deepEqual(ids.sort(), ['m-1', 'm-embed']);
  assert.equal((await client.models.retrieve('m-1')).id, 'm-1');
  assert.ok((await failure(client.models.retrieve('m-none'))) instanceof NotFoundError);
});

test('401: a key that is not one', async () => {
  const error = await failure(clientWith('dkn_live_00000000000000000000000000000000').chat.completions.create(
    { model: 'm-1', messages: user('hello') }));
  assert.ok(error instanceof AuthenticationError);
  assert.equal(error.code, 'invalid_api_key');
  assert.equal(error.type, 'invalid_request_error');
});

test('400: the member at fault is named', async () => {
  const error = await failure(client.chat.completions.create({ model: 'm-1', messages: user('hello'), temperature: 9 }));
  assert.equal(error.status, 400);
  assert.equal(error.code, 'invalid_request');
  assert.equal(error.param, 'temperature');
});

test('402: a balance that does not cover the request, before a node is asked', async () => {
  const seen = await house.node.stats();
  const error = await failure(clientWith(await house.gateway.createKey({ credits: '0' })).chat.completions.create(
    { model: 'm-1', messages: user('hello') }));
  assert.equal(error.status, 402);
  assert.equal(error.code, 'insufficient_credits');
  assert.equal(error.type, 'payment_error');
  assert.equal((await house.node.stats()).prompts, seen.prompts);
});

test('403: the same in the one-adn dialect', async () => {
  const key = await house.gateway.createKey({ credits: '0', dialect: 'one-adn' });
  const error = await failure(clientWith(key).chat.completions.create({ model: 'm-1', messages: user('hello') }));
  assert.equal(error.status, 403);
  assert.equal(error.code, 'insufficient_quota');
});

test('404: a model that is not in the catalogue', async () => {
  const error = await failure(client.chat.completions.create({ model: 'm-none', messages: user('hello') }));
  assert.ok(error instanceof NotFoundError);
  assert.equal(error.code, 'model_not_found');
});

test('429: the fourth request in a minute on a tier of three', async (t) => {
  const limited = clientWith(await house.gateway.createKey({ tier: 'free' }));
  const ask = () => limited.chat.completions.create({ model: 'm-1', messages: user('hello') });
  const { response } = await ask().withResponse();
  if (!response.headers.has('x-ratelimit-limit-requests')) {
    t.skip('this gateway does not report limits');
    return;
  }
  assert.equal(response.headers.get('x-ratelimit-limit-requests'), '3');
  await ask();
  await ask();
  const error = await failure(ask());
  assert.ok(error instanceof RateLimitError);
  assert.equal(error.code, 'rate_limit_exceeded');
  assert.equal(error.type, 'rate_limit_error');
  assert.match(error.headers.get('retry-after'), /^\d+$/);
  assert.equal(error.headers.get('x-ratelimit-remaining-requests'), '0');
});

test('503: a model without a live node, with a time to come back', async () => {
  const error = await failure(client.chat.completions.create({ model: 'm-dead', messages: user('hello') }));
  assert.ok(error instanceof InternalServerError);
  assert.equal(error.status, 503);
  assert.equal(error.code, 'service_unavailable');
  assert.match(error.headers.get('retry-after'), /^\d+$/);
});

test('502: a node that fails every time', async () => {
  const error = await failure(client.chat.completions.create({ model: 'm-1', messages: user('[[sim status=500]]') }));
  assert.equal(error.status, 502);
  assert.equal(error.code, 'node_error');
});

for (const [dialect, prefix, id] of [
  ['dria', /^dkn_live_/, /^gen-/], ['drm3', /^inf_/, /^[0-9a-f-]{36}$/],
  ['one-adn', /^sk_live_/, /^chatcmpl-/], ['decentral', /^dcntrl_live_/, /^job_/],
]) {
  test(`a key of ${dialect} works by base URL and key`, async () => {
    const key = await house.gateway.createKey({ dialect });
    assert.match(key, prefix);
    // One of them queues what does not prefer to wait; to the others this says nothing.
    const answer = await clientWith(key).chat.completions.create(
      { model: 'm-1', messages: user('hello') }, { headers: { Prefer: 'wait=20' } });
    assert.match(answer.id, id);
    assert.equal(answer.choices[0].message.content, speech('hello'));
  });
}
