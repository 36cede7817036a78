// Wallets as their owners use them: viem for Ethereum, Ed25519 of node:crypto for Solana.
import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts';
import { createSiweMessage, parseSiweMessage } from 'viem/siwe';
import { startHouse, stopAll } from '../harness.mjs';

let house;

before(async () => {
  house = await startHouse();
});

after(stopAll);

async function post(path, body) {
  const response = await fetch(house.gateway.baseURL + path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Accept: 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
}

async function challenge(address, chain) {
  const { status, body } = await post('/auth/challenge', { address, chain });
  assert.equal(status, 200, JSON.stringify(body));
  return body;
}

async function balance(key) {
  const response = await fetch(`${house.gateway.baseURL}/credits/balance`, { headers: { Authorization: `Bearer ${key}` } });
  return { status: response.status, body: await response.json() };
}

/** The bytes in Bitcoin's base58, as Solana's libraries write addresses and signatures. */
function base58(bytes) {
  const alphabet = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
  let number = BigInt(`0x${Buffer.from(bytes).toString('hex')}`);
  let text = '';
  for (; number > 0n; number /= 58n) text = alphabet[Number(number % 58n)] + text;
  for (const byte of bytes) {
    if (byte !== 0) break;
    text = `1${text}`;
  }
  return text;
}

function solanaWallet() {
  const { privateKey } = generateKeyPairSync('ed25519');
  const { x } = createPublicKey(privateKey).export({ format: 'jwk' });
  return {
    address: base58(Buffer.from(x, 'base64url')),
    signMessage: (message) => base58(sign(null, Buffer.from(message), privateKey)),
  };
}

test('viem signs the challenge, and the key it gets answers for its balance', async () => {
  const account = privateKeyToAccount(generatePrivateKey());
  const { message, nonce, expires_at: expiresAt } = await challenge(account.address, 'eip155:8453');
  const fields = parseSiweMessage(message);
  assert.equal(fields.address, account.address);
  assert.equal(fields.domain, 'localhost:7545');
  assert.equal(fields.uri, 'http://localhost:7545');
  assert.equal(fields.chainId, 8453);
  assert.equal(fields.nonce, nonce);
  assert.equal(fields.expirationTime.toISOString(), expiresAt);

  const signature = await account.signMessage({ message });
  const { status, body } = await post('/auth/wallet', { message, signature });
  assert.equal(status, 201, JSON.stringify(body));
  assert.match(body.api_key, /^dkn_live_[0-9A-Za-z]{32}$/);
  assert.equal(body.address, account.address);
  assert.deepEqual(await balance(body.api_key), { status: 200, body: { balance: 0, balance_usdc: '0.00' } });

  const client = new OpenAI({ baseURL: house.gateway.baseURL, apiKey: body.api_key, maxRetries: 0 });
  const request = { model: 'm-1', messages: [{ role: 'user', content: 'hello' }] };
  await assert.rejects(client.chat.completions.create(request), { status: 402 });

  assert.equal((await post('/auth/wallet', { message, signature })).status, 401, 'a nonce is good once');
});

test('a message that viem writes around the nonce is as good', async () => {
  const account = privateKeyToAccount(generatePrivateKey());
  const { nonce } = await challenge(account.address, 'eip155:1');
  const message = createSiweMessage({
    address: account.address, chainId: 1, domain: 'localhost:7545', nonce, uri: 'http://localhost:7545', version: '1',
    requestId: 'mine', resources: ['https://example.com/terms'],
  });
  const { status, body } = await post('/auth/wallet', { message, signature: await account.signMessage({ message }) });
  assert.equal(status, 201, JSON.stringify(body));
});

test('a wallet is one account in every dialect', async () => {
  const account = privateKeyToAccount(generatePrivateKey());
  const accounts = new Set();
  for (const [dialect, prefix] of [['dria', 'dkn_live_'], ['drm3', 'inf_'], ['one-adn', 'sk_live_'], ['decentral', 'dcntrl_live_']]) {
    const { message } = await challenge(account.address, 'eip155:8453');
    const { body } = await post('/auth/wallet', { message, signature: await account.signMessage({ message }), dialect });
    assert.ok(body.api_key.startsWith(prefix), JSON.stringify(body));
    accounts.add(body.account_id);
  }
  assert.equal(accounts.size, 1);
});

test('a Solana wallet logs in by Ed25519', async () => {
  const wallet = solanaWallet();
  const { message } = await challenge(wallet.address, 'solana');
  assert.ok(message.startsWith(`localhost:7545 wants you to sign in with your Solana account:\n${wallet.address}\n`));
  const signature = wallet.signMessage(message);
  const { status, body } = await post('/auth/wallet', { message, signature });
  assert.equal(status, 201, JSON.stringify(body));
  assert.equal(body.address, wallet.address);
  assert.equal((await balance(body.api_key)).status, 200);
  assert.equal((await post('/auth/wallet', { message, signature })).status, 401);
});

test('a signature of another wallet, or over other words, is refused', async () => {
  const account = privateKeyToAccount(generatePrivateKey());
  const other = privateKeyToAccount(generatePrivateKey());
  const { message } = await challenge(account.address, 'eip155:8453');
  assert.equal((await post('/auth/wallet', { message, signature: await other.signMessage({ message }) })).status, 401);
  const elsewhere = message.replace('localhost:7545', 'evil.example');
  const fooled = await account.signMessage({ message: elsewhere });
  assert.equal((await post('/auth/wallet', { message: elsewhere, signature: fooled })).status, 401);
  assert.equal((await post('/auth/wallet', { message, signature: fooled })).status, 401);
});
