// `turnpike dev`: the curl line that it prints streams an answer as it stands.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { startProgram, stopAll, until } from '../harness.mjs';

after(stopAll);

/** The first command that starts with curl, with the lines it continues on. */
function curlLine(text) {
  const lines = text.split('\n');
  const first = lines.findIndex((line) => /^\s*curl /.test(line));
  if (first < 0) return null;
  let last = first;
  while (lines[last].endsWith('\\')) ++last;
  // The line after it shows that the last one is whole.
  return last + 1 < lines.length ? lines.slice(first, last + 1).join('\n') : null;
}

test('the curl line of turnpike dev streams an answer', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'turnpike-dev-'));
  try {
    const dev = startProgram('turnpike', ['dev', '--listen', '127.0.0.1:0', '--data-dir', join(folder, 'data')]);
    const command = await until('the curl line', () => {
      if (dev.ended()) throw new Error(dev.output());
      return curlLine(dev.output());
    });
    const { stdout } = await promisify(execFile)('sh', ['-c', command], { timeout: 20_000 });
    assert.match(stdout, /"object":"chat.completion.chunk"/);
    assert.match(stdout, /data: \[DONE\]\s*$/);
    await stopAll();
    assert.equal(dev.exitCode(), 0);
  } finally {
    await stopAll();
    await rm(folder, { recursive: true, force: true });
  }
});
