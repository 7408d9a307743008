import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { anthropic } from './anthropic.js';
import { bedrock } from './bedrock.js';
import { gemini } from './gemini.js';
import { openAi } from './openai.js';
import type { Asked, JsonObject, Produced, StreamEvent } from './simulated-api.js';

/**
 * A simulated provider on this machine, in the shapes of OpenAI, Anthropic, Gemini and Amazon Bedrock: answers at once, costs nothing, and counts what it produced.
 * The path says which of them is asked.
 */
export interface SimulatedUpstream {
  readonly url: string;
  /** Tokens of all answers so far: as their usage says, and of streams that broke off the prompt's and the words that were sent. */
  readonly producedTokens: number;
  /** Answers so far; failures are none. */
  readonly answers: number;
  /** Streams whose client left before their end. */
  readonly abandonedStreams: number;
  /** How the next answers are made. */
  readonly behaviour: Behaviour;
  stop(): Promise<void>;
}

export interface Behaviour {
  /** Before the first byte, and before each chunk of a stream. */
  delayMs: number;
  /** Answers with this status and the provider's error shape. */
  failWith: number | undefined;
  /** So many times, then no more; undefined: always. */
  failTimes: number | undefined;
  /** Headers of failures, such as `retry-after`. */
  failHeaders: Readonly<Record<string, string>>;
  /** Breaks the connection after so many chunks of a stream. */
  breakAfterChunks: number | undefined;
  /** Waited for before each chunk of a stream; false breaks the connection in its place. */
  beforeChunk: ((chunk: ChunkToCome) => Promise<boolean>) | undefined;
  /** Says this usage instead of what the prompt amounts to. */
  usage: { promptTokens: number; completionTokens: number } | undefined;
}

/** Which chunk of which stream. */
export interface ChunkToCome {
  /** Of the request. */
  readonly headers: IncomingHttpHeaders;
  /** How many went before it. */
  readonly index: number;
  /** Tokens of the stream so far, the prompt's included. */
  readonly producedTokens: number;
}

const MOST_PROMPT_TOKENS = 200;
const MOST_COMPLETION_TOKENS = 100;
const CHARACTERS_PER_TOKEN = 4;
/** A key, or a signature. */
const AUTHORIZATION = /^(Bearer \S+|AWS4-HMAC-SHA256 .+)$/i;
/** With the space between them each is four characters, as the tokens are. */
const WORDS = ['The', 'key', 'was', 'cut', 'for', 'one', 'and', 'the', 'man', 'let', 'you', 'all', 'out'];

/** What all requests together amounted to. */
interface Tally {
  tokens: number;
  answers: number;
  abandoned: number;
}

export async function startUpstream(): Promise<SimulatedUpstream> {
  const behaviour: Behaviour = {
    delayMs: 0,
    failWith: undefined,
    failTimes: undefined,
    failHeaders: {},
    breakAfterChunks: undefined,
    beforeChunk: undefined,
    usage: undefined,
  };
  const tally: Tally = { tokens: 0, answers: 0, abandoned: 0 };
  const server = createServer((request, response) => {
    handle(request, response, behaviour, tally).catch((error: unknown) => {
      console.error(error);
      response.destroy();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    behaviour,
    get producedTokens() {
      return tally.tokens;
    },
    get answers() {
      return tally.answers;
    },
    get abandonedStreams() {
      return tally.abandoned;
    },
    async stop() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

const APIS = [openAi(), anthropic(), gemini(), bedrock()];

async function handle(request: IncomingMessage, response: ServerResponse, behaviour: Behaviour, tally: Tally): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  const path = new URL(request.url ?? '/', 'http://localhost').pathname;
  if (request.method === 'GET' && path === '/v1/models') {
    return json(response, 200, { object: 'list', data: [{ id: 'gpt-4o-mini', object: 'model', owned_by: 'local' }] });
  }
  const served = APIS.flatMap((api) => api.endpoints.map((endpoint) => ({ api, endpoint }))).find(({ endpoint }) =>
    endpoint.path.test(path),
  );
  const { api = APIS[0], endpoint } = served ?? {};
  const failed = (status: number, message: string) => json(response, status, api?.failed(status, message), behaviour.failHeaders);
  if (request.method !== 'POST' || endpoint === undefined)
    return failed(404, `Unknown request URL: ${request.method} ${request.url}`);
  await pause(behaviour.delayMs);
  if (behaviour.failWith !== undefined && behaviour.failTimes !== 0) {
    if (behaviour.failTimes !== undefined) behaviour.failTimes -= 1;
    return failed(behaviour.failWith, 'The simulated provider was told to fail');
  }
  const { authorization } = request.headers;
  if (authorization !== undefined && !AUTHORIZATION.test(authorization))
    return failed(401, 'Expected an Authorization header of the form: Bearer KEY');
  const body = jsonObject(Buffer.concat(chunks).toString());
  if (body === undefined) return failed(400, 'Expected a JSON body');
  const asked = endpoint.asked(body, path);
  if (typeof asked === 'string') return failed(400, asked);
  tally.answers += 1;
  const produced = producedFor(asked, behaviour, tally.answers);
  if (!asked.streams) {
    if (!COUNTS_ONLY.test(path)) tally.tokens += produced.promptTokens + produced.outputTokens;
    return json(response, 200, endpoint.answer(produced, body));
  }
  const { contentType = 'text/event-stream; charset=utf-8' } = endpoint;
  const stream = { headers: request.headers, contentType, events: endpoint.events(produced, body), produced };
  const whole = await streamed(response, stream, behaviour, tally);
  if (!whole) tally.abandoned += 1;
}

const COUNTS_ONLY = /(\/count[_-]tokens|:countTokens)$/;

interface Stream {
  readonly headers: IncomingHttpHeaders;
  readonly contentType: string;
  readonly events: readonly StreamEvent[];
  readonly produced: Produced;
}

/** False when the client left before the end. What was produced is counted as it is written. */
async function streamed(
  response: ServerResponse,
  { headers, contentType, events, produced }: Stream,
  behaviour: Behaviour,
  tally: Tally,
): Promise<boolean> {
  const left = new Promise<boolean>((resolve) => response.on('close', () => resolve(true)));
  let words = 0;
  tally.tokens += produced.promptTokens;
  response.writeHead(200, { 'Content-Type': contentType, 'Cache-Control': 'no-cache' });
  for (const [index, { bytes, isWord }] of events.entries()) {
    if (index > 0) await pause(behaviour.delayMs);
    const coming = behaviour.beforeChunk?.({ headers, index, producedTokens: produced.promptTokens + words });
    const goesOn = index !== behaviour.breakAfterChunks && (coming === undefined || (await Promise.race([coming, left])));
    if (response.destroyed) return false;
    if (!goesOn) {
      response.destroy();
      return true;
    }
    if (isWord) {
      words += 1;
      tally.tokens += 1;
    }
    response.write(bytes);
  }
  tally.tokens += produced.outputTokens - words;
  response.end();
  return true;
}

/** The same prompt, the same answer: a fourth of its characters, some words by its length, never more than was asked for. */
function producedFor({ model, characters, mostOutput }: Asked, behaviour: Behaviour, serial: number): Produced {
  const promptTokens =
    behaviour.usage?.promptTokens ?? Math.min(MOST_PROMPT_TOKENS, 3 + Math.ceil(characters / CHARACTERS_PER_TOKEN));
  const outputTokens = behaviour.usage?.completionTokens ?? Math.min(mostOutput, MOST_COMPLETION_TOKENS, 5 + (characters % 46));
  const shown = Math.min(outputTokens, MOST_COMPLETION_TOKENS);
  const words = Array.from({ length: shown }, (_, index) => WORDS[index % WORDS.length] ?? '');
  return { serial, model, words, promptTokens, outputTokens };
}

function jsonObject(text: string): JsonObject | undefined {
  try {
    return Object(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function json(response: ServerResponse, status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): void {
  response.writeHead(status, { ...(status >= 400 && headers), 'Content-Type': 'application/json' });
  response.end(JSON.stringify(body));
}

const pause = (ms: number): Promise<void> => (ms > 0 ? new Promise((resolve) => setTimeout(resolve, ms)) : Promise.resolve());
