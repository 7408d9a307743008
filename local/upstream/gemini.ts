import {
  charactersOf,
  type Endpoint,
  isList,
  type JsonObject,
  mostOutputOf,
  type Produced,
  type SimulatedApi,
} from './simulated-api.js';

const STATUSES: Readonly<Record<number, string>> = {
  400: 'INVALID_ARGUMENT',
  401: 'UNAUTHENTICATED',
  404: 'NOT_FOUND',
  429: 'RESOURCE_EXHAUSTED',
};

/** Gemini's `generateContent`, `streamGenerateContent` and `countTokens`. */
export const gemini = (): SimulatedApi => ({
  endpoints: [generate, countTokens],
  failed: (status, message) => ({ error: { code: status, message, status: STATUSES[status] ?? 'UNAVAILABLE' } }),
});

const generate: Endpoint = {
  path: /^\/v1(?:beta|alpha)?\/models\/([^/:]+):(generateContent|streamGenerateContent)$/,
  asked({ contents, systemInstruction, generationConfig }, path) {
    const [, model = '', method] = generate.path.exec(path) ?? [];
    if (!isList(contents)) return 'Expected a JSON body with contents';
    const mostOutput = mostOutputOf({ maxOutputTokens: (generationConfig as JsonObject | undefined)?.maxOutputTokens });
    if (typeof mostOutput === 'string') return mostOutput;
    const characters = charactersOf([systemInstruction, ...contents.map(({ parts }) => parts)]);
    return { model: decodeURIComponent(model), characters, mostOutput, streams: method === 'streamGenerateContent' };
  },
  answer: (produced) => chunk(produced, produced.words.join(' '), produced.outputTokens, 'STOP'),
  events({ words, ...produced }) {
    const chunks = words.map((word, index) => {
      const isLast = index === words.length - 1;
      // Words are never more than tokens; what is left is told with the last.
      return chunk(
        { words, ...produced },
        index === 0 ? word : ` ${word}`,
        isLast ? produced.outputTokens : index + 1,
        isLast && 'STOP',
      );
    });
    return chunks.map((one) => ({ bytes: `data: ${JSON.stringify(one)}\r\n\r\n`, isWord: true }));
  },
};

/** It counts a prompt, and produces nothing. */
const countTokens: Endpoint = {
  path: /^\/v1(?:beta|alpha)?\/models\/([^/:]+):countTokens$/,
  asked({ contents }, path) {
    const [, model = ''] = countTokens.path.exec(path) ?? [];
    if (!isList(contents)) return 'Expected a JSON body with contents';
    return { model, characters: charactersOf(contents.map(({ parts }) => parts)), mostOutput: 0, streams: false };
  },
  answer: ({ promptTokens }) => ({ totalTokens: promptTokens }),
  events: () => [],
};

const chunk = ({ serial, model, promptTokens }: Produced, text: string, outputTokens: number, finishReason: string | false) => ({
  candidates: [{ content: { role: 'model', parts: [{ text }] }, index: 0, ...(finishReason && { finishReason }) }],
  usageMetadata: {
    promptTokenCount: promptTokens,
    candidatesTokenCount: outputTokens,
    totalTokenCount: promptTokens + outputTokens,
  },
  modelVersion: model,
  responseId: `local-${serial}`,
});
