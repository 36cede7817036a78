// A chain of a suite's own: anvil, a token that knows EIP-3009, and a facilitator made of the public packages.
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { x402Facilitator } from '@x402/core/facilitator';
import { toFacilitatorEvmSigner } from '@x402/evm';
import { ExactEvmScheme } from '@x402/evm/exact/facilitator';
import { createWalletClient, http, publicActions } from 'viem';
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts';
import { baseSepolia } from 'viem/chains';
import { settle, verify } from 'x402/facilitator';
import { PaymentPayloadSchema, PaymentRequirementsSchema } from 'x402/types';
import { onStop, startChild, until } from './harness.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const anvil = join(here, 'node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil');
// The chain id that version 1 knows as base-sepolia.
export const chainId = 84532;

async function compileToken() {
  const solc = createRequire(import.meta.url)('solc');
  const input = {
    language: 'Solidity',
    sources: { 'Dollar.sol': { content: await readFile(join(here, 'contracts/Dollar.sol'), 'utf8') } },
    settings: {
      viaIR: true, optimizer: { enabled: true },
      outputSelection: { '*': { '*': ['abi', 'evm.bytecode.object'] } },
    },
  };
  const { contracts, errors = [] } = JSON.parse(solc.compile(JSON.stringify(input)));
  const faults = errors.filter(({ severity }) => severity === 'error');
  if (faults.length > 0) throw new Error(faults[0].formattedMessage);
  const { abi, evm } = contracts['Dollar.sol'].Dollar;
  return { abi, bytecode: `0x${evm.bytecode.object}` };
}

/** A chain with the token on it. `minted(dollars)` is a new wallet's account with that much; `balance(address)` in units. */
export async function startChain() {
  const child = startChild(anvil, ['--port', '0', '--chain-id', String(chainId), '--accounts', '1']);
  const [, address] = await until('anvil', () => {
    if (child.ended()) throw new Error(child.output());
    return child.output().match(/Listening on (\S+)/);
  });
  const url = `http://${address}`;
  // The key that anvil prints.
  const operator = privateKeyToAccount(child.output().match(/\(0\) (0x[0-9a-f]{64})/)[1]);
  const chain = { ...baseSepolia, rpcUrls: { default: { http: [url] } } };
  const wallet = createWalletClient({ account: operator, chain, transport: http(url), pollingInterval: 20 }).extend(publicActions);
  const { abi, bytecode } = await compileToken();
  const mined = async (hash) => wallet.waitForTransactionReceipt({ hash });
  const { contractAddress: token } = await mined(await wallet.deployContract({ abi, bytecode }));
  return {
    url, wallet, operator, token,
    minted: async (dollars) => {
      const account = privateKeyToAccount(generatePrivateKey());
      const args = [account.address, BigInt(dollars) * 1_000_000n];
      await mined(await wallet.writeContract({ address: token, abi, functionName: 'mint', args }));
      return account;
    },
    balance: (of) => wallet.readContract({ address: token, abi, functionName: 'balanceOf', args: [of] }),
    transfers: async (to) =>
      (await wallet.getLogs({ address: token, fromBlock: 0n, event: abi.find(({ name }) => name === 'Transfer'), args: { to } })),
  };
}

/**
 * A facilitator for both versions, on the code of `x402` and `@x402/evm`. `faults.settle(said)` may change what /settle
 * answers after it settled: it gives [status, body]. `answers` are what it said itself.
 */
export async function startFacilitator(chain) {
  const signer = toFacilitatorEvmSigner({ ...chain.wallet, address: chain.operator.address });
  const second = new x402Facilitator().register(`eip155:${chainId}`, new ExactEvmScheme(signer));
  const facilitator = { faults: {}, answers: [] };
  const first = (work) => (payload, requirements) =>
    work(chain.wallet, PaymentPayloadSchema.parse(payload), PaymentRequirementsSchema.parse(requirements));
  const work = {
    '/verify': { 1: first(verify), 2: (payload, wanted) => second.verify(payload, wanted) },
    '/settle': { 1: first(settle), 2: (payload, wanted) => second.settle(payload, wanted) },
  };
  const server = createServer(async (request, response) => {
    let status = 200;
    let said;
    try {
      const parts = [];
      for await (const part of request) parts.push(part);
      const { x402Version, paymentPayload, paymentRequirements } = JSON.parse(Buffer.concat(parts).toString());
      said = await work[request.url][x402Version](paymentPayload, paymentRequirements);
    } catch (error) {
      status = 500;
      said = { error: String(error).slice(0, 200) };
    }
    facilitator.answers.push({ path: request.url, status, said });
    if (request.url === '/settle' && facilitator.faults.settle) [status, said] = facilitator.faults.settle(status, said);
    response.writeHead(status, { 'Content-Type': 'application/json' });
    response.end(JSON.stringify(said, (_, value) => (typeof value === 'bigint' ? String(value) : value)));
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  onStop(() => new Promise((done) => server.close(done)));
  facilitator.url = `http://127.0.0.1:${server.address().port}`;
  return facilitator;
}

/** The gateway's `payments`, for this chain. With `rpc` it asks the chain itself. */
export const paymentSettings = (chain, facilitator, payTo, { rpc = false } = {}) => ({
  pay_to: payTo,
  facilitator: facilitator.url,
  networks: [{
    name: 'base-sepolia', chain_id: chainId, asset: chain.token, asset_name: 'Test Dollar', asset_version: '2',
    ...(rpc && { rpc_url: chain.url }),
  }],
  first_retry_ms: 100,
  max_retry_ms: 1000,
});
