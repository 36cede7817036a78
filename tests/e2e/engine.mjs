// A real engine as a node: llama.cpp (by node-llama-cpp, prebuilt, on the processor) behind the OpenAI API, with a model
// that make_model.py writes. It answers GET /v1/models and POST /v1/chat/completions, whole and streamed; a final assistant
// message is continued. `generated` counts the tokens it made and `active` the answers it is at, so that a test can see it
// stop.
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { getLlama, LlamaCompletion } from 'node-llama-cpp';

const here = dirname(fileURLToPath(import.meta.url));

/** The prompt in the form the model was made for. */
function render(messages) {
  const turns = messages.map(({ role, content }) => `<|im_start|>${role}\n${content}`);
  const continues = messages.at(-1).role === 'assistant';
  return turns.join('<|im_end|>\n') + (continues ? '' : '<|im_end|>\n<|im_start|>assistant\n');
}

async function bodyOf(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return JSON.parse(Buffer.concat(parts).toString());
}

export async function startEngine() {
  const folder = await mkdtemp(join(tmpdir(), 'turnpike-engine-'));
  const modelPath = join(folder, 'story.gguf');
  await promisify(execFile)('python3', [join(here, 'make_model.py'), modelPath]);
  const { words } = JSON.parse(await readFile(`${modelPath}.json`, 'utf8'));
  const llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, progressLogs: false, logLevel: 'error' });
  const model = await llama.loadModel({ modelPath });
  const context = await model.createContext({ contextSize: 2048, sequences: 2, threads: 1 });
  const engine = { words, generated: 0, active: 0 };

  async function complete(body, response) {
    const gone = new AbortController();
    response.on('close', () => gone.abort());
    const sequence = context.getSequence();
    const completion = new LlamaCompletion({ contextSequence: sequence });
    const prompt = model.tokenize(render(body.messages), true);
    const head = { id: 'chatcmpl-engine', created: Math.floor(Date.now() / 1000), model: body.model };
    const chunk = (choices, usage) => {
      const object = { ...head, object: 'chat.completion.chunk', choices, ...(usage && { usage }) };
      response.write(`data: ${JSON.stringify(object)}\n\n`);
    };
    const delta = (content, reason = null) => chunk([{ index: 0, delta: content, finish_reason: reason }]);
    let completionTokens = 0;
    engine.active += 1;
    if (body.stream) {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      delta({ role: 'assistant', content: '' });
    }
    try {
      const { response: text, metadata } = await completion.generateCompletionWithMeta(prompt, {
        maxTokens: body.max_tokens ?? 512,
        temperature: 0,
        signal: gone.signal,
        stopOnAbortSignal: true,
        onToken: (tokens) => {
          engine.generated += tokens.length;
          completionTokens += tokens.length;
        },
        onTextChunk: (text) => body.stream && delta({ content: text }),
      });
      if (gone.signal.aborted) return;
      const usage = {
        prompt_tokens: prompt.length, completion_tokens: completionTokens, total_tokens: prompt.length + completionTokens,
      };
      const reason = metadata.stopReason === 'maxTokens' ? 'length' : 'stop';
      if (!body.stream) {
        const choices = [{ index: 0, message: { role: 'assistant', content: text }, finish_reason: reason }];
        response.writeHead(200, { 'content-type': 'application/json' });
        response.end(JSON.stringify({ ...head, object: 'chat.completion', choices, usage }));
        return;
      }
      delta({}, reason);
      if (body.stream_options?.include_usage) chunk([], usage);
      response.end('data: [DONE]\n\n');
    } finally {
      engine.active -= 1;
      completion.dispose();
      sequence.dispose();
    }
  }

  const server = createServer(async (request, response) => {
    try {
      if (request.method === 'GET') {
        response.writeHead(200, { 'content-type': 'application/json' });
        response.end(JSON.stringify({ object: 'list', data: [{ id: 'story', object: 'model' }] }));
        return;
      }
      await complete(await bodyOf(request), response);
    } catch (error) {
      if (!response.headersSent) response.writeHead(500, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ error: { message: String(error), type: 'server_error', code: null, param: null } }));
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  engine.origin = `http://127.0.0.1:${server.address().port}`;
  engine.stop = async () => {
    server.closeAllConnections();
    server.close();
    await llama.dispose();
    await rm(folder, { recursive: true, force: true });
  };
  return engine;
}
