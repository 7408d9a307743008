import { InvalidArgument } from '../errors.js';
import type { CallContent } from './call-content.js';
import { byCharacters, type Estimator, type OutputOptions } from './estimate.js';

/** Counts the tokens of a text. */
type Count = (text: string) => number;

/** What a chat format puts around each message, and before the answer: as OpenAI documents it for its models. */
const TOKENS_PER_MESSAGE = 4;
const TOKENS_BEFORE_ANSWER = 3;
/** Models before gpt-4o. All others, of other providers too, are counted as gpt-4o and what came after it are. */
const OLDER_MODELS = /^(?:gpt-3\.5|gpt-4(?![.\do])|text-embedding-)/;
/** Tokenizers take the square of the length of a text without spaces: they are given pieces of so many characters. */
const PIECE_CHARACTERS = 128;
/** Of longer prompts pieces are counted that lie evenly over the whole. */
const MOST_CHARACTERS_COUNTED = 32_768;

const ENCODINGS = {
  o200k_base: () => import('gpt-tokenizer/encoding/o200k_base').catch(missing),
  cl100k_base: () => import('gpt-tokenizer/encoding/cl100k_base').catch(missing),
};
type Encoding = keyof typeof ENCODINGS;

/**
 * As `byCharacters`, but the prompt's tokens are counted by the package `gpt-tokenizer`, which must be installed beside this one and is loaded with the
 * first call: exact for chats with OpenAI's models, an approximation for others. Seven tokens more for a message, four for each one after it. JSON stays
 * four characters a token. Of prompts above 32,768 characters a sample is counted. The resource is taken for the model. Rejects with
 * `InvalidArgument` where the package is not installed; a limited client then reports that once, and counts characters.
 */
export function byTokenizer(options: OutputOptions = {}): Estimator {
  const estimated = byCharacters(options);
  const loading = new Map<Encoding, Promise<Count>>();
  return async (content: CallContent, resource: string) => {
    const encoding = OLDER_MODELS.test(resource) ? 'cl100k_base' : 'o200k_base';
    const loaded = loading.get(encoding) ?? counter(encoding);
    loading.set(encoding, loaded);
    const count = await loaded;
    const { texts, messages } = content;
    const inTexts = sampled(texts, count);
    const around = messages === 0 ? 0 : messages * TOKENS_PER_MESSAGE + TOKENS_BEFORE_ANSWER;
    return estimated({ ...content, texts: [], knownTokens: content.knownTokens + inTexts + around });
  };
}

function missing(cause: unknown): never {
  const expected = 'a package that is installed beside headgate, for byTokenizer() counts with it';
  throw new InvalidArgument({ field: 'gpt-tokenizer', value: (cause as { readonly code?: unknown }).code, expected, cause });
}

async function counter(encoding: Encoding): Promise<Count> {
  const { countTokens } = await ENCODINGS[encoding]();
  // What looks like a special token is text, as the provider takes it.
  const asText = { disallowedSpecial: new Set<string>() };
  return (text) => countTokens(text, asText);
}

/** The tokens of these texts: all counted, or of so many pieces of them scaled to the whole. */
function sampled(texts: readonly string[], count: Count): number {
  const characters = texts.reduce((sum, text) => sum + text.length, 0);
  const step = Math.max(1, Math.ceil(characters / MOST_CHARACTERS_COUNTED));
  let [index, counted, tokens] = [0, 0, 0];
  for (const text of texts) {
    for (let start = 0; start < text.length; index += 1) {
      const end = pieceEnd(text, start);
      if (index % step === 0) {
        counted += end - start;
        tokens += count(text.slice(start, end));
      }
      start = end;
    }
  }
  return counted === 0 ? 0 : Math.ceil((tokens * characters) / counted);
}

/** Where a piece may end so that a count of its tokens is that of the whole: before a space, else anywhere but within a character. */
function pieceEnd(text: string, start: number): number {
  const end = start + PIECE_CHARACTERS;
  if (end >= text.length) return text.length;
  const space = text.slice(start, end + 1).lastIndexOf(' ');
  if (space > 0) return start + space;
  return isLowSurrogate(text.charCodeAt(end)) ? end - 1 : end;
}

const isLowSurrogate = (unit: number): boolean => unit >= 0xdc00 && unit <= 0xdfff;
