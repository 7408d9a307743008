/** The public names of `headgate/manifest`. */
export type { ApplyResult, Progress } from './apply.js';
export type { Sources } from './compose.js';
export { type Conflict, conflictText } from './conflict.js';
export type { Drift } from './drift.js';
export type { Manifest, ScopeSetting } from './manifest.js';
export { ManifestAdmin, type ManifestAdminOptions } from './manifest-admin.js';
export { openManifest, updatedManifest } from './open-manifest.js';
export { countsOf, type Plan, type PlanCounts, type Step } from './plan.js';
export { parsePlan } from './plan-file.js';
export { type PresetHead, presetHead, presetNames, presetText } from './presets.js';
export { type Problem, problemText } from './problem.js';
export { type ReadManifest, type ReadOptions, readManifest } from './read-manifest.js';
export { type Thing, thingText } from './thing.js';
export { type UpdatedManifest, updateManifestText } from './update-manifest.js';
export { manifestJson, manifestText, type WriteOptions } from './write-manifest.js';
