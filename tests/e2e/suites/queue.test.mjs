// The job queue as clients use it: the OpenAI SDK on a key whose requests are queued, and whoever polls or is told.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import { Webhook } from 'standardwebhooks';
import { startHouse, startReceiver, stopAll, until } from '../harness.mjs';
import { speech } from '../speech.mjs';

let house;
let key;
const user = (content) => [{ role: 'user', content }];

before(async () => {
  house = await startHouse({ webhooks: { allow_private_targets: true }, queue: { first_retry_ms: 50, max_retry_ms: 50, tries: 2 } });
  key = await house.gateway.createKey({ dialect: 'drm3', tier: 'metered' });
});

after(stopAll);

async function ask(method, path, { body, headers } = {}) {
  const response = await fetch(house.gateway.baseURL + path, {
    method,
    headers: { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json', ...headers },
    ...(body && { body: JSON.stringify(body) }),
  });
  return { status: response.status, headers: response.headers, body: await response.json() };
}

const ended = (id) => until('the end of the job', async () => {
  const { body } = await ask('GET', `/results/${id}`);
  return ['complete', 'dead', 'cancelled'].includes(body.status) && body;
});

test('the OpenAI SDK works on a queue key that prefers to wait', async () => {
  const client = new OpenAI({ baseURL: house.gateway.baseURL, apiKey: key, maxRetries: 0, defaultHeaders: { Prefer: 'wait=20' } });
  const answer = await client.chat.completions.create({ model: 'm-1', messages: user('hello') });
  assert.equal(answer.object, 'chat.completion');
  assert.equal(answer.choices[0].message.content, speech('hello'));
  const stream = await client.chat.completions.create({ model: 'm-1', messages: user('hello'), stream: true });
  let text = '';
  for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? '';
  assert.equal(text, speech('hello'));
  await assert.rejects(client.chat.completions.create({ model: 'm-none', messages: user('hello') }), OpenAI.NotFoundError);
});

test('a job is polled until it is complete, and is what a live request would have got', async () => {
  const queued = await ask('POST', '/chat/completions', { body: { model: 'm-1', messages: user('hello') } });
  assert.equal(queued.status, 202);
  assert.deepEqual(queued.body, { id: queued.body.id, status: 'queued', poll: `/v1/results/${queued.body.id}` });
  const done = await ended(queued.body.id);
  assert.equal(done.status, 'complete');
  assert.equal(done.result.id, queued.body.id);
  assert.equal(done.result.choices[0].message.content, speech('hello'));
});

test('an endpoint is told of the way of a job, by deliveries that standardwebhooks verifies', async () => {
  const { url, deliveries } = await startReceiver();
  const events = ['job.submitted', 'job.processing', 'job.completed', 'job.failed', 'job.timeout', 'job.dead'];
  const { body: hook } = await ask('POST', '/webhooks', { body: { url, events } });
  const types = async (prompt, expected) => {
    const { body: job } = await ask('POST', '/chat/completions', { body: { model: 'm-1', messages: user(prompt) } });
    await until('all deliveries', () => deliveries.length >= expected.length);
    const told = deliveries.splice(0).map(({ headers, body }) => new Webhook(hook.secret).verify(body, headers));
    assert.deepEqual(told.map((event) => event.type), expected);
    for (const event of told) assert.equal(event.data.job_id, job.id);
    return told;
  };
  await types('hello', ['job.submitted', 'job.processing', 'job.completed']);
  const failed = await types('[[sim status=400]] x', ['job.submitted', 'job.processing', 'job.failed']);
  assert.equal(failed.at(-1).data.error.code, 'invalid_request');
  const dead = await types('[[sim status=500]] x', ['job.submitted', 'job.processing', 'job.processing', 'job.dead']);
  assert.equal(dead.at(-1).data.retries, 2);
});
