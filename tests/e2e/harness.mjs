// Children of a suite: simulated nodes and a gateway on ports the system chose. Every suite ends with `after(stopAll)`.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const here = dirname(fileURLToPath(import.meta.url));
export const build = resolve(process.env.TURNPIKE_BUILD ?? join(here, '../../build'));
const deadlineMs = 20_000;
const endings = [];

/** Ends what was started, the last first. */
export async function stopAll() {
  while (endings.length > 0) await endings.pop()();
}

/** Polls `check` until it gives something true; fails when it does not within the deadline. */
export async function until(what, check) {
  const end = Date.now() + deadlineMs;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (Date.now() > end) throw new Error(`${what} did not come`);
    await new Promise((done) => setTimeout(done, 10));
  }
}

/** `end` is called by stopAll(). */
export const onStop = (end) => endings.push(end);

/** Starts a program of the build folder. */
export function startProgram(program, args) {
  const path = join(build, program);
  if (!existsSync(path)) throw new Error(`${path} is missing: build first, or set TURNPIKE_BUILD`);
  return startChild(path, args);
}

/** Starts any program; `output()` is what it has printed to both streams so far. */
export function startChild(path, args) {
  const child = spawn(path, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const parts = [];
  child.stdout.on('data', (bytes) => parts.push(bytes));
  child.stderr.on('data', (bytes) => parts.push(bytes));
  const ended = () => child.exitCode !== null || child.signalCode !== null;
  endings.push(async () => {
    if (ended()) return;
    const gone = new Promise((done) => child.once('exit', done));
    child.kill('SIGTERM');
    await gone;
  });
  return { ended, output: () => Buffer.concat(parts).toString(), exitCode: () => child.exitCode };
}

/** A simulated node; `origin` has its routes, `stats()` and `last()` what it saw. */
export async function startNode({ models = ['m-1'], args = [] } = {}) {
  const program = startProgram('turnpike-simnode', ['--models', models.join(','), ...args]);
  const [, address] = await until('the simulated node', () => {
    if (program.ended()) throw new Error(program.output());
    return program.output().match(/^listening on (\S+)\n/);
  });
  const origin = `http://${address}`;
  const get = async (path) => (await fetch(origin + path)).json();
  return {
    origin,
    stats: () => get('/sim/stats'),
    last: async () => {
      const { body_base64: body, ...rest } = await get('/sim/last');
      return { ...rest, body: JSON.parse(Buffer.from(body, 'base64').toString()) };
    },
  };
}

const pricing = { prompt_per_million_usd: '1.00', completion_per_million_usd: '2.00' };

/** One entry of `models` in the gateway's configuration. */
export const model = (id, capabilities) => ({ id, context_window: 4096, pricing, ...(capabilities && { capabilities }) });

/**
 * `turnpike serve` with these models and nodes. `createKey({credits, tier, dialect})` gives a key; `baseURL` is what an
 * SDK takes.
 */
export async function startGateway(settings) {
  const folder = await mkdtemp(join(tmpdir(), 'turnpike-e2e-'));
  const config = join(folder, 'turnpike.json');
  const data = join(folder, 'data');
  await writeFile(config, JSON.stringify({
    listen: '127.0.0.1:0', admin: { listen: '127.0.0.1:0' }, data_dir: data, ...settings,
  }));
  endings.push(() => rm(folder, { recursive: true, force: true }));
  const program = startProgram('turnpike', ['serve', '--config', config, '--data-dir', data]);
  const { listen } = await until('the gateway', async () => {
    if (program.ended()) throw new Error(`turnpike serve ended:\n${program.output()}`);
    try {
      return JSON.parse(await readFile(join(data, 'listening.json'), 'utf8'));
    } catch {
      return null;
    }
  });
  const origin = `http://${listen}`;
  const createKey = async ({ credits = '1000', tier, dialect } = {}) => {
    const args = ['keys', 'create', '--config', config, '--credits', credits, '--json'];
    if (tier) args.push('--tier', tier);
    if (dialect) args.push('--dialect', dialect);
    const { stdout } = await promisify(execFile)(join(build, 'turnpike'), args);
    return JSON.parse(stdout.split('\n')[0]).api_key;
  };
  const command = async (...args) => {
    const { stdout } = await promisify(execFile)(join(build, 'turnpike'), [...args, '--config', config, '--json']);
    return stdout.split('\n').filter(Boolean).map((line) => JSON.parse(line));
  };
  const gateway = { origin, baseURL: `${origin}/v1`, createKey, command, log: program.output };
  await until('a live node', async () => (await (await fetch(`${origin}/health`)).json()).nodes.live > 0);
  return gateway;
}

/** The house that most suites live in: one node, models for chat and embeddings, and one model whose node is dead. */
export async function startHouse(settings = {}) {
  const node = await startNode({ models: ['m-1', 'm-embed'] });
  const gateway = await startGateway({
    models: [
      model('m-1', ['chat', 'completion', 'vision', 'structured_output']),
      model('m-embed', ['embeddings']),
      model('m-dead'),
    ],
    nodes: [
      { id: 'node-1', url: `${node.origin}/v1`, models: ['m-1', 'm-embed'], capacity: 8 },
      { id: 'node-dead', url: 'http://127.0.0.1:9/v1', models: ['m-dead'], capacity: 1 },
    ],
    tiers: { free: { requests_per_minute: 3 } },
    ...settings,
  });
  return { node, gateway, key: await gateway.createKey() };
}

/** Microseconds of the clock by which a simulated node says when it noticed that a client went away. */
export const steadyUs = () => Number(process.hrtime.bigint() / 1000n);

/** Waits until the node has noticed one more client leave than `before` says; returns when, in microseconds. */
export async function cancellation(node, before) {
  const stats = await until('the node noticing that the client left', async () => {
    const now = await node.stats();
    return now.cancelled > before.cancelled ? now : null;
  });
  return stats.cancellations.at(-1);
}

/** A server that webhooks are delivered to; `deliveries` is what it was sent, as bytes. */
export async function startReceiver() {
  const deliveries = [];
  const server = createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    deliveries.push({ headers: request.headers, body: Buffer.concat(parts).toString() });
    response.writeHead(204).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onStop(() => new Promise((done) => server.close(done)));
  return { url: `http://127.0.0.1:${server.address().port}/hooks`, deliveries };
}
