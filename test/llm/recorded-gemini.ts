import { asData, inLines, type RecordedAnswer, type RecordedStream } from './recorded.js';

const text = (count: number) => [{ modality: 'TEXT', tokenCount: count }];
const said = (parts: readonly object[], more: object = {}) => ({
  candidates: [{ content: { parts, role: 'model' }, finishReason: 'STOP', index: 0, ...more }],
});
const version = { modelVersion: 'gemini-2.5-flash', responseId: 'mXy5aLzK' };

export const GEMINI_ANSWERS: readonly RecordedAnswer[] = [
  inLines(
    'an answer without a thought',
    {
      ...said([{ text: 'Gates swing. 🌍' }], { avgLogprobs: -0.21 }),
      usageMetadata: {
        promptTokenCount: 8,
        candidatesTokenCount: 20,
        totalTokenCount: 28,
        promptTokensDetails: text(8),
        candidatesTokensDetails: text(20),
      },
      ...version,
    },
    [8, 0, 20, 28],
  ),
  inLines(
    'an answer after thoughts, of a picture and a cached text',
    {
      ...said([{ text: 'A gate.', thoughtSignature: 'CuUB' }]),
      usageMetadata: {
        promptTokenCount: 4354,
        cachedContentTokenCount: 4090,
        candidatesTokenCount: 41,
        totalTokenCount: 5087,
        promptTokensDetails: [...text(4096), { modality: 'IMAGE', tokenCount: 258 }],
        cacheTokensDetails: text(4090),
        candidatesTokensDetails: text(41),
        thoughtsTokenCount: 692,
        trafficType: 'ON_DEMAND',
      },
      ...version,
    },
    [4354, 4090, 733, 5087],
  ),
  inLines(
    'an answer whose tools read pages for it',
    {
      ...said([{ text: 'It says so.' }], { groundingMetadata: { webSearchQueries: ['usageMetadata'] } }),
      usageMetadata: {
        promptTokenCount: 151,
        candidatesTokenCount: 1089,
        totalTokenCount: 20689,
        promptTokensDetails: text(151),
        toolUsePromptTokenCount: 18329,
        toolUsePromptTokensDetails: text(18329),
        thoughtsTokenCount: 1120,
      },
      ...version,
    },
    [18480, 0, 2209, 20689],
  ),
  inLines(
    'an answer that was nothing but thoughts when its tokens ran out',
    {
      candidates: [{ content: { role: 'model' }, finishReason: 'MAX_TOKENS', index: 0 }],
      usageMetadata: { promptTokenCount: 12, totalTokenCount: 111, promptTokensDetails: text(12), thoughtsTokenCount: 99 },
      ...version,
    },
    [12, 0, 99, 111],
  ),
  inLines(
    'an answer that counts its thoughts among its candidates',
    {
      ...said([{ text: 'Yes.' }]),
      usageMetadata: { promptTokenCount: 30, candidatesTokenCount: 120, totalTokenCount: 150, thoughtsTokenCount: 80 },
      ...version,
    },
    [30, 0, 120, 150],
  ),
  inLines(
    'an answer that counts its thoughts among its candidates beside what tools read',
    {
      ...said([{ text: 'Yes.' }]),
      usageMetadata: {
        promptTokenCount: 30,
        toolUsePromptTokenCount: 70,
        candidatesTokenCount: 120,
        totalTokenCount: 220,
        thoughtsTokenCount: 80,
      },
      ...version,
    },
    [100, 0, 120, 220],
  ),
  inLines(
    'a prompt that was blocked',
    {
      promptFeedback: { blockReason: 'PROHIBITED_CONTENT' },
      usageMetadata: { promptTokenCount: 6, totalTokenCount: 6, promptTokensDetails: text(6) },
      ...version,
    },
    [6, 0, 0, 6],
  ),
  inLines(
    'a call of a function, by two candidates',
    {
      candidates: [0, 1].map((index) => ({
        content: { parts: [{ functionCall: { name: 'open_gate', args: { gate: 'nörd' } } }], role: 'model' },
        finishReason: 'STOP',
        index,
      })),
      usageMetadata: { promptTokenCount: 70, candidatesTokenCount: 36, totalTokenCount: 106 },
      ...version,
    },
    [70, 0, 36, 106],
  ),
  inLines(
    'a stream that came as a list, for nobody asked for events',
    [
      {
        ...said([{ text: 'Gates' }]),
        usageMetadata: { promptTokenCount: 8, candidatesTokenCount: 1, totalTokenCount: 9 },
        ...version,
      },
      {
        ...said([{ text: ' swing.' }]),
        usageMetadata: { promptTokenCount: 8, candidatesTokenCount: 3, totalTokenCount: 11 },
        ...version,
      },
    ],
    [8, 0, 3, 11],
  ),
  inLines('vectors, which tell no usage', { embedding: { values: [0.013168517, -0.00871193, -0.046782672] } }, undefined),
];

const part = (word: string, usageMetadata: object, more: object = {}) => ({
  candidates: [{ content: { parts: [{ text: word, ...more }], role: 'model' }, index: 0 }],
  usageMetadata,
  ...version,
});
const prompt = { promptTokenCount: 11, promptTokensDetails: text(11) };

/** Every chunk tells what was used so far: one that breaks off is settled by the last that came. */
export const GEMINI_STREAMS: readonly RecordedStream[] = [
  asData(
    'an answer after thoughts',
    [
      [part('**Gates**', { ...prompt, totalTokenCount: 75, thoughtsTokenCount: 64 }, { thought: true }), [11, 0, 64, 75]],
      [part('Gr', { ...prompt, candidatesTokenCount: 2, totalTokenCount: 163, thoughtsTokenCount: 150 }), [11, 0, 152, 163]],
      [
        part('üße 世界', { ...prompt, candidatesTokenCount: 9, totalTokenCount: 170, thoughtsTokenCount: 150 }),
        [11, 0, 159, 170],
      ],
      [
        {
          ...said([{ text: '' }]),
          usageMetadata: { ...prompt, candidatesTokenCount: 12, totalTokenCount: 173, thoughtsTokenCount: 150 },
          ...version,
        },
        [11, 0, 162, 173],
      ],
    ],
    '\r\n',
  ),
  asData(
    'an answer of Vertex, whose first chunks tell no counts',
    [
      [part('"usageMetadata":', { trafficType: 'ON_DEMAND' }), undefined],
      [part(' {}', { trafficType: 'ON_DEMAND' }), undefined],
      [
        {
          ...said([{ text: '.' }]),
          usageMetadata: {
            promptTokenCount: 5,
            candidatesTokenCount: 6,
            totalTokenCount: 11,
            trafficType: 'ON_DEMAND',
            promptTokensDetails: text(5),
          },
          ...version,
        },
        [5, 0, 6, 11],
      ],
    ],
    '\r\n',
  ),
  asData(
    'an answer that ends in an error',
    [
      [part('Hel', { ...prompt, candidatesTokenCount: 1, totalTokenCount: 12 }), [11, 0, 1, 12]],
      [{ error: { code: 503, message: 'The model is overloaded.', status: 'UNAVAILABLE' } }, [11, 0, 1, 12]],
    ],
    '\r\n',
  ),
  asData(
    'an answer whose last chunk tells no usage',
    [
      [part('Hello', { ...prompt, cachedContentTokenCount: 4, candidatesTokenCount: 3, totalTokenCount: 14 }), [11, 4, 3, 14]],
      [{ ...said([{ text: '!' }]), ...version }, [11, 4, 3, 14]],
    ],
    '\r\n',
  ),
];
