/** The public names of `headgate/manifest`. */
export type { Sources } from './compose.js';
export type { Manifest, ScopeSetting } from './manifest.js';
export { openManifest } from './open-manifest.js';
export { presetNames, presetText } from './presets.js';
export { type Problem, problemText } from './problem.js';
export { type ReadManifest, type ReadOptions, readManifest } from './read-manifest.js';
