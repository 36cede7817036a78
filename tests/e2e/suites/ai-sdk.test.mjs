// ai, with @ai-sdk/openai and @ai-sdk/openai-compatible, by base URL and key alone.
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, embedMany, generateObject, generateText, jsonSchema, streamText } from 'ai';
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { cancellation, startHouse, steadyUs, stopAll } from '../harness.mjs';
import { embedding, promptTokens, speech } from '../speech.mjs';

let house;

const providers = {
  openai: (apiKey) => {
    const made = createOpenAI({ baseURL: house.gateway.baseURL, apiKey });
    return { chat: made.chat, completion: made.completion, embedding: made.embedding };
  },
  'openai-compatible': (apiKey) => {
    const made = createOpenAICompatible({ name: 'turnpike', baseURL: house.gateway.baseURL, apiKey, includeUsage: true });
    return { chat: made.chatModel, completion: made.completionModel, embedding: made.embeddingModel };
  },
};

before(async () => {
  house = await startHouse();
});

after(stopAll);

async function failure(promise) {
  return promise.then(() => assert.fail('it did not fail'), (error) => error);
}

test('openai: an object of a schema', async () => {
  const schema = jsonSchema({ type: 'object', properties: { city: { type: 'string', minLength: 3 } }, required: ['city'] });
  const { object } = await generateObject({ model: providers.openai(house.key).chat('m-1'), schema, prompt: 'where' });
  assert.deepEqual(object, { city: 'aaa' });
});

for (const [name, provider] of Object.entries(providers)) {
  test(`${name}: a chat answer`, async () => {
    const answer = await generateText({ model: provider(house.key).chat('m-1'), prompt: 'hello', maxRetries: 0 });
    assert.equal(answer.text, speech('hello'));
    assert.equal(answer.usage.inputTokens, promptTokens('hello'));
    assert.equal(answer.usage.outputTokens, 16);
    assert.equal(answer.finishReason, 'stop');
  });

  test(`${name}: a stream with usage`, async () => {
    const prompt = 'stream [[sim tokens=50]]';
    const answer = streamText({ model: provider(house.key).chat('m-1'), prompt, maxRetries: 0 });
    let text = '';
    for await (const piece of answer.textStream) text += piece;
    assert.equal(text, speech(prompt, 50));
    assert.equal((await answer.usage).outputTokens, 50);
  });

  test(`${name}: an abort reaches the node within 100 ms`, async () => {
    const seen = await house.node.stats();
    const controller = new AbortController();
    const answer = streamText({
      model: provider(house.key).chat('m-1'), prompt: '[[sim endless=1 interval_ms=5]]', maxOutputTokens: 4000,
      abortSignal: controller.signal, maxRetries: 0, onError: () => {},
    });
    let pieces = 0;
    let leftAt = 0;
    for await (const _ of answer.textStream) {
      if (++pieces !== 5) continue;
      leftAt = steadyUs();
      controller.abort();
    }
    const noticed = await cancellation(house.node, seen);
    assert.ok(noticed.steady_us - leftAt < 100_000, `${noticed.steady_us - leftAt} us`);
  });

  test(`${name}: a legacy completion`, async () => {
    const answer = await generateText({ model: provider(house.key).completion('m-1'), prompt: 'once', maxRetries: 0 });
    assert.equal(answer.text.split(' ').length, 16);
  });

  test(`${name}: embeddings`, async () => {
    const { embeddings } = await embedMany({ model: provider(house.key).embedding('m-embed'), values: ['one', 'two'], maxRetries: 0 });
    for (const [i, text] of ['one', 'two'].entries()) {
      embeddings[i].forEach((value, j) => assert.ok(Math.abs(value - embedding(text)[j]) < 1e-6));
    }
  });

  test(`${name}: typed errors`, async () => {
    const poor = await house.gateway.createKey({ credits: '0' });
    const wrong = 'dkn_live_00000000000000000000000000000000';
    const cases = [[wrong, 'm-1', 401, false], [poor, 'm-1', 402, false], [house.key, 'm-none', 404, false], [house.key, 'm-dead', 503, true]];
    for (const [key, model, status, retryable] of cases) {
      const error = await failure(generateText({ model: provider(key).chat(model), prompt: 'hello', maxRetries: 0 }));
      assert.ok(APICallError.isInstance(error), String(error));
      assert.equal(error.statusCode, status);
      assert.equal(error.isRetryable, retryable);
      // It does not ask for JSON by name: in the dria dialect the message comes as text.
      assert.match(error.responseBody, /^\w/);
    }
    const poorElsewhere = await house.gateway.createKey({ credits: '0', dialect: 'one-adn' });
    const error = await failure(generateText({ model: provider(poorElsewhere).chat('m-1'), prompt: 'hello', maxRetries: 0 }));
    assert.equal(error.statusCode, 403);
    assert.equal(JSON.parse(error.responseBody).error.code, 'insufficient_quota');
  });

  test(`${name}: a limit is a retryable error`, async (t) => {
    const key = await house.gateway.createKey({ tier: 'free' });
    const ask = () => generateText({ model: provider(key).chat('m-1'), prompt: 'hello', maxRetries: 0 });
    const first = await ask();
    if (!first.response.headers['x-ratelimit-limit-requests']) {
      t.skip('this gateway does not report limits');
      return;
    }
    await ask();
    await ask();
    const error = await failure(ask());
    assert.equal(error.statusCode, 429);
    assert.equal(error.isRetryable, true);
  });
}
