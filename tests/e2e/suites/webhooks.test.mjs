// Webhooks as their receivers read them: the package standardwebhooks verifies what really arrives.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Webhook } from 'standardwebhooks';
import { startHouse, startReceiver, stopAll, until } from '../harness.mjs';

let house;
let receiver;

before(async () => {
  house = await startHouse({ webhooks: { allow_private_targets: true } });
  receiver = await startReceiver();
});

after(stopAll);

async function ask(method, path, body) {
  const response = await fetch(`${house.gateway.baseURL}/webhooks${path}`, {
    method,
    headers: { Authorization: `Bearer ${house.key}`, 'Content-Type': 'application/json' },
    ...(body && { body: JSON.stringify(body) }),
  });
  assert.ok(response.ok, await response.clone().text());
  return response.json();
}

const next = async () => {
  await until('a delivery', () => receiver.deliveries.length > 0);
  return receiver.deliveries.shift();
};

test('a delivery verifies by the secret that was shown, and by no other', async () => {
  const hook = await ask('POST', '', { url: receiver.url, events: ['credit.topup'] });
  const queued = await ask('POST', `/${hook.id}/test`);
  const { headers, body } = await next();
  assert.equal(headers['webhook-id'], queued.event_id);
  const event = new Webhook(hook.secret).verify(body, headers);
  assert.equal(event.type, 'webhook.test');
  assert.equal(event.data.webhook_id, hook.id);
  const other = `whsec_${Buffer.alloc(32).toString('base64')}`;
  assert.throws(() => new Webhook(other).verify(body, headers), /signature/i);
  assert.throws(() => new Webhook(hook.secret).verify(`${body} `, headers), /signature/i);
  await ask('DELETE', `/${hook.id}`);
});

test("a receiver's own secret signs, and after a rotation the old and the new one both verify", async () => {
  const own = `whsec_${Buffer.from('a secret of the receiver, 32 byte').toString('base64')}`;
  const hook = await ask('POST', '', { url: receiver.url, events: ['credit.topup'], secret: own });
  assert.equal(hook.secret, own);
  const rotated = await ask('POST', `/${hook.id}/rotate`);
  await ask('POST', `/${hook.id}/test`);
  const { headers, body } = await next();
  assert.equal(new Webhook(own).verify(body, headers).type, 'webhook.test');
  assert.equal(new Webhook(rotated.secret).verify(body, headers).type, 'webhook.test');
  await ask('DELETE', `/${hook.id}`);
});
