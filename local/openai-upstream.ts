import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A simulated OpenAI-compatible provider on this machine: answers at once, costs nothing, and counts what it produced. */
export interface OpenAiUpstream {
  readonly url: string;
  /** Tokens of all answers so far, as their usage says, those whose client left included. */
  readonly producedTokens: number;
  /** Streams whose client left before their end. */
  readonly abandonedStreams: number;
  /** How the next answers are made. */
  readonly behaviour: Behaviour;
  stop(): Promise<void>;
}

export interface Behaviour {
  /** Before the first byte, and before each chunk of a stream. */
  delayMs: number;
  /** Answers with this status and OpenAI's error shape. */
  failWith: number | undefined;
  /** Breaks the connection after so many chunks of a stream. */
  breakAfterChunks: number | undefined;
  /** Says this usage instead of what the prompt amounts to. */
  usage: { promptTokens: number; completionTokens: number } | undefined;
}

const MOST_PROMPT_TOKENS = 200;
const MOST_COMPLETION_TOKENS = 100;
const CHARACTERS_PER_TOKEN = 4;
const BEARER = /^Bearer \S+$/i;
const WORDS = ['The', 'gate', 'opens', 'when', 'the', 'level', 'allows,', 'and', 'closes', 'when', 'it', 'does', 'not.'];

interface ChatRequest {
  readonly model: string;
  readonly messages: readonly { readonly role: string; readonly content: unknown }[];
  readonly stream?: boolean;
  readonly stream_options?: { readonly include_usage?: boolean };
  readonly max_tokens?: number;
  readonly max_completion_tokens?: number;
}

/** What all requests together amounted to. */
interface Tally {
  tokens: number;
  answers: number;
  abandoned: number;
}

interface Answer {
  readonly id: string;
  readonly model: string;
  readonly words: readonly string[];
  readonly usage: { readonly prompt_tokens: number; readonly completion_tokens: number; readonly total_tokens: number };
}

export async function startOpenAiUpstream(): Promise<OpenAiUpstream> {
  const behaviour: Behaviour = { delayMs: 0, failWith: undefined, breakAfterChunks: undefined, usage: undefined };
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

async function handle(request: IncomingMessage, response: ServerResponse, behaviour: Behaviour, tally: Tally): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  if (request.method === 'GET' && request.url === '/v1/models') {
    return json(response, 200, { object: 'list', data: [{ id: 'gpt-4o-mini', object: 'model', owned_by: 'local' }] });
  }
  if (request.method !== 'POST' || request.url !== '/v1/chat/completions')
    return failed(response, 404, `Unknown request URL: ${request.method} ${request.url}`);
  await pause(behaviour.delayMs);
  if (behaviour.failWith !== undefined) return failed(response, behaviour.failWith, 'The simulated provider was told to fail');
  const { authorization } = request.headers;
  if (authorization !== undefined && !BEARER.test(authorization))
    return failed(response, 401, 'Expected an Authorization header of the form: Bearer KEY');
  const chat = chatRequest(Buffer.concat(chunks).toString());
  if (typeof chat === 'string') return failed(response, 400, chat);
  tally.answers += 1;
  const answer = answered(chat, behaviour, tally.answers);
  tally.tokens += answer.usage.total_tokens;
  if (chat.stream !== true) {
    return json(response, 200, {
      id: answer.id,
      object: 'chat.completion',
      created: 1_800_000_000,
      model: answer.model,
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: answer.words.join(' '), refusal: null },
          logprobs: null,
          finish_reason: 'stop',
        },
      ],
      usage: answer.usage,
    });
  }
  const whole = await streamed(response, answer, chat.stream_options?.include_usage === true, behaviour);
  if (!whole) tally.abandoned += 1;
}

/** False when the client left before the end. */
async function streamed(response: ServerResponse, answer: Answer, withUsage: boolean, behaviour: Behaviour): Promise<boolean> {
  const chunk = (choices: unknown[], usage?: unknown) =>
    `data: ${JSON.stringify({
      id: answer.id,
      object: 'chat.completion.chunk',
      created: 1_800_000_000,
      model: answer.model,
      choices,
      ...(withUsage && { usage: usage ?? null }),
    })}\n\n`;
  const choice = (delta: unknown, finish: string | null) => [{ index: 0, delta, logprobs: null, finish_reason: finish }];
  const parts = [
    chunk(choice({ role: 'assistant', content: '' }, null)),
    ...answer.words.map((word, index) => chunk(choice({ content: index === 0 ? word : ` ${word}` }, null))),
    chunk(choice({}, 'stop')),
    ...(withUsage ? [chunk([], answer.usage)] : []),
    'data: [DONE]\n\n',
  ];
  response.writeHead(200, { 'Content-Type': 'text/event-stream; charset=utf-8', 'Cache-Control': 'no-cache' });
  for (const [index, part] of parts.entries()) {
    if (index === behaviour.breakAfterChunks) {
      response.destroy();
      return true;
    }
    if (response.destroyed) return false;
    response.write(part);
    if (index + 1 < parts.length) await pause(behaviour.delayMs);
  }
  response.end();
  return true;
}

/** The same prompt, the same answer: a fourth of its characters, some words by its length, never more than was asked for. */
function answered(chat: ChatRequest, behaviour: Behaviour, serial: number): Answer {
  const characters = chat.messages.reduce(
    (sum, { content }) => sum + (typeof content === 'string' ? content : JSON.stringify(content ?? '')).length,
    0,
  );
  const promptTokens =
    behaviour.usage?.promptTokens ?? Math.min(MOST_PROMPT_TOKENS, 3 + Math.ceil(characters / CHARACTERS_PER_TOKEN));
  const asked = Math.min(chat.max_tokens ?? Number.POSITIVE_INFINITY, chat.max_completion_tokens ?? Number.POSITIVE_INFINITY);
  const completionTokens = behaviour.usage?.completionTokens ?? Math.min(asked, MOST_COMPLETION_TOKENS, 5 + (characters % 46));
  const shownWords = Math.min(completionTokens, MOST_COMPLETION_TOKENS);
  return {
    id: `chatcmpl-local-${serial}`,
    model: chat.model,
    words: Array.from({ length: shownWords }, (_, index) => WORDS[index % WORDS.length] ?? ''),
    usage: { prompt_tokens: promptTokens, completion_tokens: completionTokens, total_tokens: promptTokens + completionTokens },
  };
}

/** The request, or what is wrong with it. */
function chatRequest(body: string): ChatRequest | string {
  let chat: Partial<ChatRequest> | null;
  try {
    chat = JSON.parse(body);
  } catch {
    return 'Expected a JSON body';
  }
  if (typeof chat?.model !== 'string' || !Array.isArray(chat.messages) || chat.messages.length === 0)
    return 'Expected a JSON body with model and messages';
  if (!chat.messages.every((message) => typeof message === 'object' && message !== null && typeof message.role === 'string'))
    return 'Expected every message to be an object with a role';
  for (const field of ['max_tokens', 'max_completion_tokens'] as const) {
    const most = chat[field] ?? 1;
    if (!Number.isInteger(most) || most < 1)
      return `Expected ${field} to be an integer of at least 1, got ${JSON.stringify(most)}`;
  }
  return chat as ChatRequest;
}

function failed(response: ServerResponse, status: number, message: string): void {
  json(response, status, {
    error: { message, type: status >= 500 ? 'server_error' : 'invalid_request_error', param: null, code: null },
  });
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'Content-Type': 'application/json' });
  response.end(JSON.stringify(body));
}

const pause = (ms: number): Promise<void> => (ms > 0 ? new Promise((resolve) => setTimeout(resolve, ms)) : Promise.resolve());
