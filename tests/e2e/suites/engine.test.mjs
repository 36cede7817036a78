// A real engine behind the gateway: llama.cpp on a model whose text is known, checked to the word.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import { startEngine } from '../engine.mjs';
import { model, startGateway, stopAll, until } from '../harness.mjs';

let engine;
let gateway;
let client;
const messages = [{ role: 'user', content: 'tell me the story' }];
const storyOf = (from, to) => engine.words.slice(from, to).join(' ');

before(async () => {
  engine = await startEngine();
  gateway = await startGateway({
    models: [model('story')],
    nodes: [{ id: 'engine', url: `${engine.origin}/v1`, models: ['story'], capacity: 2, engine: 'llama.cpp' }],
  });
  client = new OpenAI({ baseURL: gateway.baseURL, apiKey: await gateway.createKey(), maxRetries: 0 });
});

after(async () => {
  await stopAll();
  await engine?.stop();
});

test('an answer is the story, word by word', async () => {
  const answer = await client.chat.completions.create({ model: 'story', messages, max_tokens: 12 });
  assert.equal(answer.choices[0].message.content.trim(), storyOf(0, 12));
  assert.equal(answer.choices[0].finish_reason, 'length');
  assert.equal(answer.usage.completion_tokens, 12);
});

test('the whole story ends by itself', async () => {
  const answer = await client.chat.completions.create({ model: 'story', messages, max_tokens: 400 });
  assert.equal(answer.choices[0].message.content.trim(), storyOf(0));
  assert.equal(answer.choices[0].finish_reason, 'stop');
});

test('a stream is the story, with usage', async () => {
  const stream = await client.chat.completions.create({
    model: 'story', messages, max_tokens: 150, stream: true, stream_options: { include_usage: true },
  });
  let text = '';
  let usage = null;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta?.content ?? '';
    usage = chunk.usage ?? usage;
  }
  assert.equal(text.trim(), storyOf(0, 150));
  assert.equal(usage.completion_tokens, 150);
});

test('a final assistant message is continued', async () => {
  const begun = [...messages, { role: 'assistant', content: ` ${storyOf(0, 20)}` }];
  const answer = await client.chat.completions.create({ model: 'story', messages: begun, max_tokens: 10 });
  assert.equal(answer.choices[0].message.content.trim(), storyOf(20, 30));
});

test('two at once do not mix', async () => {
  const ask = (max_tokens) => client.chat.completions.create({ model: 'story', messages, max_tokens });
  const [one, other] = await Promise.all([ask(40), ask(60)]);
  assert.equal(one.choices[0].message.content.trim(), storyOf(0, 40));
  assert.equal(other.choices[0].message.content.trim(), storyOf(0, 60));
});

test('an abort stops the engine', async () => {
  const before = engine.generated;
  const stream = await client.chat.completions.create({ model: 'story', messages, max_tokens: 200, stream: true });
  let chunks = 0;
  for await (const _ of stream) {
    if (++chunks === 5) break;
  }
  stream.controller.abort();
  await until('the engine standing still', () => engine.active === 0);
  assert.ok(engine.generated - before < 200, `${engine.generated - before} tokens`);
});
