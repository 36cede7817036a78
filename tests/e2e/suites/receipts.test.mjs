// Receipts as somebody else checks them: the package canonicalize (RFC 8785) and node's own crypto, and the proofs by
// RFC 9162's algorithms written down here again.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash, createPublicKey, generateKeyPairSync, randomBytes, sign, verify } from 'node:crypto';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import canonicalize from 'canonicalize';
import { build, startHouse, stopAll } from '../harness.mjs';

let house;

before(async () => {
  house = await startHouse();
});

after(stopAll);

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest();
const leafHash = (text) => sha256(Buffer.from([0]), text);
const nodeHash = (left, right) => sha256(Buffer.from([1]), left, right);

async function get(path, key = house.key) {
  const response = await fetch(`${house.gateway.origin}${path}`, { headers: { Authorization: `Bearer ${key}` } });
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return { text, json: JSON.parse(text) };
}

/** Asks, and returns the job's id and the bytes that went out and came back. */
async function infer(content, stream = false) {
  const request = JSON.stringify({ model: 'm-1', stream, messages: [{ role: 'user', content }] });
  const response = await fetch(`${house.gateway.baseURL}/chat/completions`, {
    method: 'POST', headers: { Authorization: `Bearer ${house.key}`, 'Content-Type': 'application/json' }, body: request,
  });
  const answer = Buffer.from(await response.arrayBuffer());
  assert.equal(response.status, 200, answer.toString());
  return { job: response.headers.get('x-turnpike-job-id'), request, answer };
}

/** The public key of that id, as node takes it. */
async function publicKey(id) {
  const listed = (await get('/.well-known/turnpike')).json.receipt_keys.find((key) => key.key_id === id);
  assert.equal(listed.alg, 'Ed25519');
  const x = Buffer.from(listed.public_key, 'base64').toString('base64url');
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
}

async function assertSigned(statement, { key_id: id, signature }) {
  assert.ok(verify(null, Buffer.from(statement), await publicKey(id), Buffer.from(signature, 'base64')));
}

function assertIncluded(leaf, { leaf_index: leafIndex, tree_size: size, audit_path: path }, root) {
  let [index, last, hash] = [leafIndex, size - 1, leaf];
  for (const sibling of path.map((each) => Buffer.from(each, 'base64'))) {
    assert.notEqual(last, 0);
    if (index % 2 === 1 || index === last) {
      hash = nodeHash(sibling, hash);
      while (index % 2 === 0 && index !== 0) [index, last] = [index >> 1, last >> 1];
    } else {
      hash = nodeHash(hash, sibling);
    }
    [index, last] = [index >> 1, last >> 1];
  }
  assert.equal(last, 0);
  assert.deepEqual(hash, root);
}

test('a receipt is in its canonical form, signed, of the bytes that went over the wire', async () => {
  for (const stream of [false, true]) {
    const { job, request, answer } = await infer('hello "quoted" \u00e9 \u{1F642}', stream);
    const { text, json } = await get(`/v1/jobs/${job}/receipt`);
    const form = canonicalize(json.receipt);
    assert.ok(text.includes(form), 'it stands in the answer as it is signed');
    await assertSigned(form, json);
    assert.equal(json.receipt.request_sha256, sha256(request).toString('hex'));
    assert.equal(json.receipt.response_sha256, sha256(answer).toString('hex'));
    const { price_id: quoted } = (await get('/v1/models/m-1')).json.pricing;
    assert.equal(json.receipt.price.id, quoted);
  }
});

test('receipts are chained, and shown to be in a log that grows', async () => {
  const early = (await get('/v1/receipts/root')).json;
  let before;
  for (let i = 0; i < 5; i += 1) {
    const { job } = await infer(`number ${i}`, i % 2 === 0);
    const { receipt } = (await get(`/v1/jobs/${job}/receipt`)).json;
    const leaf = leafHash(canonicalize(receipt));
    if (before) assert.equal(receipt.previous, `sha256:${before.toString('hex')}`);
    before = leaf;
    const { json: root } = await get('/v1/receipts/root');
    const { key_id: _, signature: __, ...head } = root;
    await assertSigned(canonicalize(head), root);
    const { json: proof } = await get(`/v1/receipts/${job}/proof?tree_size=${root.tree_size}`);
    assert.equal(proof.leaf_hash, leaf.toString('base64'));
    assertIncluded(leaf, proof, Buffer.from(root.root_hash, 'base64'));
  }
  const late = (await get('/v1/receipts/root')).json;
  assert.equal(late.tree_size, early.tree_size + 5);
  const { proof } = (await get(`/v1/receipts/consistency?from=${early.tree_size}&to=${late.tree_size}`)).json;
  assert.ok(proof.length > 0);
});

/** Anything that JSON can say. */
function anything(depth = 0) {
  const pick = Math.floor(Math.random() * (depth > 3 ? 5 : 7));
  const text = () => randomBytes(6).toString('utf8') + String.fromCodePoint(
    [0x7f, 0x80, 0xf6, 0x20ac, 0xd7ff, 0xe000, 0xfb33, 0x10000, 0x1f600, 9, 13, 0x1f, 34, 92][Math.floor(Math.random() * 14)],
  ) + Math.random();
  if (pick === 0) return null;
  if (pick === 1) return Math.random() < 0.5;
  if (pick === 2) return text();
  if (pick === 3) {
    const number = randomBytes(8).readDoubleLE();
    return Number.isFinite(number) ? number : 0;
  }
  if (pick === 4) return Math.trunc((Math.random() - 0.5) * 10 ** Math.floor(Math.random() * 30));
  if (pick === 5) return Array.from({ length: 4 }, () => anything(depth + 1));
  return Object.fromEntries(Array.from({ length: 5 }, () => [text(), anything(depth + 1)]));
}

/** What `turnpike receipts verify` finds wrong with these documents, by that key. */
async function faultsOf(documents, key) {
  const file = join(await mkdtemp(join(tmpdir(), 'turnpike-e2e-')), 'documents.jsonl');
  await writeFile(file, documents.map((each) => JSON.stringify(each)).join('\n'));
  const hex = Buffer.from(key.export({ format: 'jwk' }).x, 'base64url').toString('hex');
  const { stdout } = await new Promise((done) => {
    execFile(join(build, 'turnpike'), ['receipts', 'verify', file, '--key', hex, '--json'], (error, out) => {
      done({ error, stdout: out });
    });
  });
  return JSON.parse(stdout).faults;
}

test('the gateway and the package canonicalize agree on the canonical form of anything', async () => {
  const pair = generateKeyPairSync('ed25519');
  const documents = Array.from({ length: 300 }, (_, i) => {
    const receipt = { job_id: `job_${i}`, captured_at: '2026-01-01T00:00:00.000Z', anything: anything() };
    return { receipt, key_id: 'rk_1', signature: sign(null, Buffer.from(canonicalize(receipt)), pair.privateKey).toString('base64') };
  });
  const faults = await faultsOf(documents, pair.publicKey);
  // They are no receipts; but what is wrong with them is not their signature.
  assert.equal(faults.length, documents.length);
  assert.deepEqual(faults.filter((fault) => !fault.endsWith('it has no member type')), []);
  documents[7].receipt.anything = 'something else';
  assert.ok((await faultsOf(documents, pair.publicKey)).includes('job_7: the signature is not of this text'));
});
