/** The public names of `headgate/llm`: limits around the clients of LLM providers. */
export type { CallContent } from '../llm/call-content.js';
export { byCharacters, byTokens, type Estimator, fixed, type OutputOptions, type TokenEstimate } from '../llm/estimate.js';
export { type LearnedOptions, learned } from '../llm/learned-estimate.js';
export { byTokenizer } from '../llm/tokenizer-estimate.js';
export type { CallLimitsOptions } from './call-limits.js';
export { type LimitedBedrock, limitedBedrock } from './limited-bedrock.js';
export { type LimitedFetchOptions, limitedFetch } from './limited-fetch.js';
export { type LimitedModel, limitedModel } from './limited-model.js';
