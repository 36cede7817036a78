// Signed requests as others make them: http-message-signatures signs (RFC 9421), node's OpenSSL makes the keys, and the
// openai client sends them by a fetch of its own.
import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { createSigner, httpbis } from 'http-message-signatures';
import OpenAI from 'openai';
import { startHouse, stopAll } from '../harness.mjs';

let house;

before(async () => {
  house = await startHouse();
});

after(stopAll);

const pairs = {
  ed25519: () => generateKeyPairSync('ed25519'),
  'ecdsa-p256-sha256': () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
};

/** A key of the house's account whose requests must be signed, and what signs them. */
async function makeKey(algorithm) {
  const { privateKey, publicKey } = pairs[algorithm]();
  const response = await fetch(`${house.gateway.baseURL}/keys`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${house.key}`, 'Content-Type': 'application/json' },
    body: JSON.stringify({
      public_key: publicKey.export({ type: 'spki', format: 'pem' }), require_signature: true,
    }),
  });
  assert.equal(response.status, 201, await response.clone().text());
  const { api_key: apiKey } = await response.json();
  return { apiKey, signer: createSigner(privateKey, algorithm, 'my-key') };
}

/** The request with Content-Digest, Signature-Input and Signature. */
async function sign(signer, url, init, paramValues = {}) {
  const headers = Object.fromEntries(new Headers(init.headers));
  const fields = ['@method', '@target-uri', 'authorization'];
  if (init.body) {
    headers['content-digest'] = `sha-256=:${createHash('sha256').update(init.body).digest('base64')}:`;
    fields.push('content-digest');
  }
  const message = { method: init.method ?? 'GET', url: String(url), headers };
  const signed = await httpbis.signMessage({
    key: signer, fields, params: ['created', 'nonce', 'keyid', 'alg'], paramValues: { nonce: randomUUID(), ...paramValues },
  }, message);
  return { ...init, headers: signed.headers };
}

const client = (apiKey, signer) => new OpenAI({
  baseURL: house.gateway.baseURL,
  apiKey,
  maxRetries: 0,
  fetch: async (url, init) => fetch(url, signer ? await sign(signer, url, init) : init),
});
const question = { model: 'm-1', messages: [{ role: 'user', content: 'hello' }] };

for (const algorithm of Object.keys(pairs)) {
  test(`a client that signs by ${algorithm} is answered, whole and in a stream`, async () => {
    const { apiKey, signer } = await makeKey(algorithm);
    const openai = client(apiKey, signer);
    const answer = await openai.chat.completions.create(question);
    assert.equal(answer.choices[0].message.role, 'assistant');
    let text = '';
    for await (const chunk of await openai.chat.completions.create({ ...question, stream: true })) {
      text += chunk.choices[0]?.delta?.content ?? '';
    }
    assert.notEqual(text, '');
    assert.equal((await openai.models.list()).data.some(({ id }) => id === 'm-1'), true);
  });

  test(`without its signature by ${algorithm}, or with another's, a key is worth nothing`, async () => {
    const { apiKey } = await makeKey(algorithm);
    const { signer: other } = await makeKey(algorithm);
    for (const signer of [undefined, other]) {
      await assert.rejects(client(apiKey, signer).chat.completions.create(question),
        { status: 401, code: 'invalid_signature' });
    }
  });

  test(`a request that was signed by ${algorithm} is good once, now, and as it is`, async () => {
    const { apiKey, signer } = await makeKey(algorithm);
    const url = `${house.gateway.baseURL}/keys`;
    const init = {
      method: 'POST', body: '{"scopes":"usage:read"}',
      headers: { Authorization: `Bearer ${apiKey}`, 'Content-Type': 'application/json', Accept: 'application/json' },
    };
    const refused = async (request) => {
      const response = await fetch(url, request);
      assert.equal(response.status, 401);
      const { error } = await response.json();
      assert.equal(error.code, 'invalid_signature');
      return error.param;
    };
    const signed = await sign(signer, url, init);
    assert.equal(await refused({ ...signed, body: '{"scopes":"chat:write"}' }), 'content-digest');
    assert.equal(await refused(await sign(signer, `${url}?x`, init)), 'signature');
    const old = { created: new Date(Date.now() - 301_000) };
    assert.equal(await refused(await sign(signer, url, init, old)), 'created');
    assert.equal((await fetch(url, signed)).status, 201);
    assert.equal(await refused(signed), 'nonce');
  });
}
