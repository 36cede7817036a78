// Access tokens as others see them: jose checks them by the gateway's public key, the openai client sends them.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createRemoteJWKSet, decodeProtectedHeader, errors, generateKeyPair, jwtVerify, SignJWT } from 'jose';
import OpenAI from 'openai';
import { startHouse, stopAll } from '../harness.mjs';

let house;
let publicKeys;
const terms = {
  issuer: 'http://localhost:7545', audience: 'http://localhost:7545', typ: 'at+jwt', algorithms: ['EdDSA'],
  requiredClaims: ['sub', 'client_id', 'scope', 'jti', 'iat', 'nbf', 'exp'],
};

before(async () => {
  house = await startHouse();
  publicKeys = createRemoteJWKSet(new URL(`${house.gateway.origin}/.well-known/jwks.json`));
});

after(stopAll);

async function exchange(body) {
  const response = await fetch(`${house.gateway.baseURL}/auth/token`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Accept: 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
}

const ask = (apiKey) => new OpenAI({ baseURL: house.gateway.baseURL, apiKey, maxRetries: 0 })
  .chat.completions.create({ model: 'm-1', messages: [{ role: 'user', content: 'hello' }] });

test('jose verifies a token by the keys at /.well-known/jwks.json', async () => {
  const { status, body } = await exchange({ api_key: house.key, expires_in: 600, scope: 'chat:write models:read' });
  assert.equal(status, 200, JSON.stringify(body));
  assert.deepEqual({ ...body, access_token: '' }, {
    access_token: '', token_type: 'Bearer', expires_in: 600, scope: 'chat:write models:read',
  });
  const { payload, protectedHeader } = await jwtVerify(body.access_token, publicKeys, terms);
  assert.equal(protectedHeader.alg, 'EdDSA');
  assert.equal(payload.scope, 'chat:write models:read');
  assert.match(payload.sub, /^acct_/);
  assert.match(payload.client_id, /^key_/);
  assert.equal(payload.exp - payload.iat, 600);

  const answer = await ask(body.access_token);
  assert.equal(answer.choices[0].message.role, 'assistant');
});

test('a token that was changed, or that somebody else signed, is refused by jose and by the gateway', async () => {
  const { body: { access_token: token } } = await exchange({ api_key: house.key });
  const [head, payload, signature] = token.split('.');
  const claims = JSON.parse(Buffer.from(payload, 'base64url'));
  const wider = Buffer.from(JSON.stringify({ ...claims, exp: claims.exp + 1 })).toString('base64url');
  const changed = `${head}.${wider}.${signature}`;
  await assert.rejects(jwtVerify(changed, publicKeys, terms), errors.JWSSignatureVerificationFailed);
  await assert.rejects(ask(changed), { status: 401 });

  const { privateKey } = await generateKeyPair('EdDSA');
  const forged = await new SignJWT(claims).setProtectedHeader(decodeProtectedHeader(token)).sign(privateKey);
  await assert.rejects(jwtVerify(forged, publicKeys, terms), errors.JWSSignatureVerificationFailed);
  await assert.rejects(ask(forged), { status: 401 });

  assert.ok(await ask(token));
});

test('revoking the key ends its tokens', async () => {
  const made = await (await fetch(`${house.gateway.baseURL}/keys`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${house.key}`, 'Content-Type': 'application/json' },
    body: '{"scopes":"chat:write"}',
  })).json();
  const { body: { access_token: token } } = await exchange({ api_key: made.api_key });
  assert.ok(await ask(token));
  const revoked = await fetch(`${house.gateway.baseURL}/keys/${made.id}`, {
    method: 'DELETE', headers: { Authorization: `Bearer ${house.key}` },
  });
  assert.equal(revoked.status, 200);
  await assert.rejects(ask(token), { status: 401 });
  await jwtVerify(token, publicKeys, terms);  // to others it is good until it expires
});
