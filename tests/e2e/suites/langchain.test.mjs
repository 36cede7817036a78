// @langchain/openai, by base URL and key alone.
import { ChatOpenAI, OpenAIEmbeddings } from '@langchain/openai';
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { cancellation, startHouse, steadyUs, stopAll } from '../harness.mjs';
import { embedding, promptTokens, speech } from '../speech.mjs';

let house;
const chat = (apiKey, model = 'm-1', more = {}) =>
  new ChatOpenAI({ model, apiKey, maxRetries: 0, configuration: { baseURL: house.gateway.baseURL }, ...more });

before(async () => {
  house = await startHouse();
});

after(stopAll);

async function failure(promise) {
  return promise.then(() => assert.fail('it did not fail'), (error) => error);
}

test('a chat answer with usage', async () => {
  const answer = await chat(house.key).invoke('hello');
  assert.equal(answer.content, speech('hello'));
  assert.equal(answer.usage_metadata.input_tokens, promptTokens('hello'));
  assert.equal(answer.usage_metadata.output_tokens, 16);
});

test('an object of a schema', async () => {
  const schema = { title: 'place', type: 'object', properties: { city: { type: 'string', minLength: 3 } }, required: ['city'] };
  const place = chat(house.key).withStructuredOutput(schema, { method: 'jsonSchema' });
  assert.deepEqual(await place.invoke('where'), { city: 'aaa' });
});

test('a stream with usage', async () => {
  const prompt = 'stream [[sim tokens=50]]';
  let text = '';
  let usage = null;
  for await (const chunk of await chat(house.key, 'm-1', { streamUsage: true }).stream(prompt)) {
    text += chunk.content;
    usage = chunk.usage_metadata ?? usage;
  }
  assert.equal(text, speech(prompt, 50));
  assert.equal(usage.output_tokens, 50);
});

test('an abort reaches the node within 100 ms', async () => {
  const seen = await house.node.stats();
  const controller = new AbortController();
  let leftAt = 0;
  await failure((async () => {
    const stream = await chat(house.key, 'm-1', { maxTokens: 4000 }).stream(
      '[[sim endless=1 interval_ms=5]]', { signal: controller.signal });
    let chunks = 0;
    for await (const _ of stream) {
      if (++chunks !== 5) continue;
      leftAt = steadyUs();
      controller.abort();
    }
  })());
  const noticed = await cancellation(house.node, seen);
  assert.ok(noticed.steady_us - leftAt < 100_000, `${noticed.steady_us - leftAt} us`);
});

test('embeddings', async () => {
  const made = new OpenAIEmbeddings({ model: 'm-embed', apiKey: house.key, maxRetries: 0, configuration: { baseURL: house.gateway.baseURL } });
  const vectors = await made.embedDocuments(['one', 'two']);
  for (const [i, text] of ['one', 'two'].entries()) {
    vectors[i].forEach((value, j) => assert.ok(Math.abs(value - embedding(text)[j]) < 1e-6));
  }
});

test('typed errors', async () => {
  const poor = await house.gateway.createKey({ credits: '0' });
  const cases = [['dkn_live_00000000000000000000000000000000', 'm-1', 401], [poor, 'm-1', 402], [house.key, 'm-none', 404], [house.key, 'm-dead', 503]];
  for (const [key, model, status] of cases) {
    assert.equal((await failure(chat(key, model).invoke('hello'))).status, status);
  }
});

test('429 on a tier of three requests a minute', async (t) => {
  const limited = chat(await house.gateway.createKey({ tier: 'free' }));
  const probe = await fetch(`${house.gateway.baseURL}/chat/completions`, {
    method: 'POST', headers: { 'content-type': 'application/json', authorization: `Bearer ${limited.apiKey}` },
    body: JSON.stringify({ model: 'm-1', messages: [{ role: 'user', content: 'hello' }] }),
  });
  if (!probe.headers.has('x-ratelimit-limit-requests')) {
    t.skip('this gateway does not report limits');
    return;
  }
  await limited.invoke('hello');
  await limited.invoke('hello');
  assert.equal((await failure(limited.invoke('hello'))).status, 429);
});
