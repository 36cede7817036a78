// Top-ups as public clients make them, on a chain of the suite's own.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ExactEvmScheme } from '@x402/evm';
import { decodePaymentResponseHeader, wrapFetchWithPaymentFromConfig } from '@x402/fetch';
import OpenAI from 'openai';
import { getAddress } from 'viem';
import { decodeXPaymentResponse, wrapFetchWithPayment } from 'x402-fetch';
import { chainId, paymentSettings, startChain, startFacilitator } from '../chain.mjs';
import { startHouse, stopAll, until } from '../harness.mjs';

const payTo = getAddress(`0x${'22'.repeat(20)}`);
let chain;
let facilitator;
let house; // trusts its facilitator
let careful; // asks the chain too

before(async () => {
  chain = await startChain();
  facilitator = await startFacilitator(chain);
  house = await startHouse({ payments: paymentSettings(chain, facilitator, payTo) });
  careful = await startHouse({ payments: paymentSettings(chain, facilitator, payTo, { rpc: true }) });
});

after(stopAll);

/** An account made by nothing but a wallet; its key. */
async function logIn(gateway, account) {
  const post = async (path, body) => {
    const response = await fetch(gateway.baseURL + path, {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body),
    });
    return response.json();
  };
  const { message } = await post('/auth/challenge', { address: account.address, chain: `eip155:${chainId}` });
  return (await post('/auth/wallet', { message, signature: await account.signMessage({ message }) })).api_key;
}

const v1 = (account) => (inner) => wrapFetchWithPayment(inner, account, 1_000_000_000n);
const v2 = (account) => (inner) => wrapFetchWithPaymentFromConfig(inner, {
  schemes: [{ network: `eip155:${chainId}`, client: new ExactEvmScheme(account) }], spendControls: false,
});

/** One top-up by a public client; `sent` are the payment headers that it sent, or would have. */
async function topUp(gateway, key, client, { deliver = true } = {}) {
  const sent = [];
  const seen = async (input, init) => {
    const headers = input instanceof Request ? input.headers : new Headers(init.headers);
    const payment = ['X-PAYMENT', 'PAYMENT-SIGNATURE'].find((name) => headers.has(name));
    if (payment) sent.push([payment, headers.get(payment)]);
    return payment && !deliver ? Response.json({}) : fetch(input, init);
  };
  const response = await client(seen)(`${gateway.baseURL}/credits/topup`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Accept: 'application/json', Authorization: `Bearer ${key}` },
    body: JSON.stringify({ amount: '10' }),
  });
  return { status: response.status, headers: response.headers, body: await response.json(), sent };
}

/** The same payment again, by hand. */
async function again(gateway, key, [name, value]) {
  const response = await fetch(`${gateway.baseURL}/credits/topup`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Accept: 'application/json', Authorization: `Bearer ${key}`, [name]: value },
    body: JSON.stringify({ amount: '10' }),
  });
  return { status: response.status, body: await response.json() };
}

async function balance(gateway, key) {
  const response = await fetch(`${gateway.baseURL}/credits/balance`, { headers: { Authorization: `Bearer ${key}` } });
  return (await response.json()).balance_usdc;
}

for (const [version, client, decode, header] of [
  [1, v1, decodeXPaymentResponse, 'x-payment-response'],
  [2, v2, decodePaymentResponseHeader, 'payment-response'],
]) {
  for (const which of ['trusting', 'careful']) {
    test(`a stranger with a wallet pays by version ${version} and gets an answer (${which})`, async () => {
      const { gateway } = which === 'careful' ? careful : house;
      const account = await chain.minted(25);
      const before = await chain.balance(payTo);
      const key = await logIn(gateway, account);
      const { status, headers, body, sent } = await topUp(gateway, key, client(account));
      assert.equal(status, 200, JSON.stringify(body));
      assert.equal(body.credits_added, 1000);
      assert.equal(body.balance_usdc, '10.00');

      assert.equal(await chain.balance(payTo), before + 10_000_000n);
      assert.equal(await chain.balance(account.address), 15_000_000n);
      const settlement = decode(headers.get(header));
      assert.equal(settlement.success, true);
      assert.equal(settlement.transaction, body.txHash);
      assert.equal(settlement.payer, account.address);
      assert.equal(settlement.network, version === 1 ? 'base-sepolia' : `eip155:${chainId}`);
      const [transfer] = (await chain.transfers(payTo)).filter(({ transactionHash }) => transactionHash === body.txHash);
      assert.equal(transfer.args.value, 10_000_000n);

      const openai = new OpenAI({ baseURL: gateway.baseURL, apiKey: key, maxRetries: 0 });
      const answer = await openai.chat.completions.create({ model: 'm-1', messages: [{ role: 'user', content: 'hello' }] });
      assert.ok(answer.choices[0].message.content);

      const replays = await Promise.all(Array.from({ length: 10 }, () => again(gateway, key, sent[0])));
      for (const replay of replays) {
        assert.equal(replay.status, 200);
        assert.equal(replay.body.txHash, body.txHash);
      }
      assert.equal(await chain.balance(payTo), before + 10_000_000n);
      assert.ok(Number(await balance(gateway, key)) < 10);
    });
  }

  test(`ten at once by version ${version} are one, on the chain and in the books`, async () => {
    const { gateway } = careful;
    const account = await chain.minted(25);
    const key = await gateway.createKey({ credits: '0' });
    const { sent } = await topUp(gateway, key, client(account), { deliver: false });
    const before = await chain.balance(payTo);
    const all = await Promise.all(Array.from({ length: 10 }, () => again(gateway, key, sent[0])));
    for (const { status, body } of all) assert.equal(status, 200, JSON.stringify(body));
    assert.equal(await balance(gateway, key), '10.00');
    assert.equal(await chain.balance(payTo), before + 10_000_000n);
  });

  test(`an empty wallet is refused by version ${version}, and nothing is credited`, async () => {
    const account = await chain.minted(9);
    const key = await house.gateway.createKey({ credits: '0' });
    const { status, body } = await topUp(house.gateway, key, client(account));
    assert.equal(status, 402, JSON.stringify(body));
    // Version 2's package tries the transfer, and can name its reason only where it finds the Multicall3 contract.
    assert.match(body.error, /insufficient_funds|transaction_simulation_failed/);
    assert.equal(await balance(house.gateway, key), '0.00');
  });

  test(`a settlement whose answer is lost is found on the chain, by version ${version}`, async () => {
    const account = await chain.minted(25);
    const key = await careful.gateway.createKey({ credits: '0' });
    const before = await chain.balance(payTo);
    facilitator.faults.settle = () => [500, {}];
    try {
      const { status, body } = await topUp(careful.gateway, key, client(account));
      assert.equal(status, 200, JSON.stringify(body));
      assert.match(body.txHash, /^0x[0-9a-f]{64}$/);
      assert.equal(body.balance_usdc, '10.00');
    } finally {
      delete facilitator.faults.settle;
    }
    assert.equal(await chain.balance(payTo), before + 10_000_000n);
  });

  test(`a facilitator that claims more than it did is not believed by version ${version}`, async () => {
    const account = await chain.minted(25);
    const key = await careful.gateway.createKey({ credits: '0' });
    const truth = facilitator.answers.length;
    facilitator.faults.settle = (status, said) => [200, { ...said, success: true, transaction: `0x${'ab'.repeat(32)}` }];
    try {
      const { status, body } = await topUp(careful.gateway, key, client(account));
      assert.equal(status, 200, JSON.stringify(body));
      const said = facilitator.answers.slice(truth).find(({ path }) => path === '/settle').said;
      assert.equal(body.txHash, said.transaction, 'the transaction is the one on the chain');
      assert.equal(await balance(careful.gateway, key), '10.00');
    } finally {
      delete facilitator.faults.settle;
    }
  });

  test(`without a chain to ask, a lost settlement by version ${version} is left to the operator`, async () => {
    const account = await chain.minted(25);
    const key = await house.gateway.createKey({ credits: '0' });
    facilitator.faults.settle = () => [500, {}];
    const from = facilitator.answers.length;
    let first;
    try {
      first = await topUp(house.gateway, key, client(account));
    } finally {
      delete facilitator.faults.settle;
    }
    assert.equal(first.status, 503, JSON.stringify(first.body));
    assert.equal(await balance(house.gateway, key), '0.00');
    // Asked again, the facilitators can only say that the authorization is used, not by what.
    await until('a second settlement', () => facilitator.answers.slice(from).filter(({ path }) => path === '/settle').length > 1);
    const [settled, repeated] = facilitator.answers.slice(from).filter(({ path }) => path === '/settle');
    assert.equal(settled.said.success, true);
    assert.notEqual(repeated.said.success, true);
    const waiting = await house.gateway.command('payments', 'list');
    const payment = waiting.find(({ payer }) => payer === account.address);
    assert.equal(payment.state, 'pending');
    assert.equal(payment.amount_usdc, '10.00');
    const [closed] = await house.gateway.command('payments', 'resolve', payment.payment_id, '--tx', settled.said.transaction);
    assert.equal(closed.state, 'credited');
    assert.equal(await balance(house.gateway, key), '10.00');
    const { status, body } = await again(house.gateway, key, first.sent[0]);
    assert.equal(status, 200, JSON.stringify(body));
    assert.equal(body.balance_usdc, '10.00');
  });
}
