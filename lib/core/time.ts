/** Femtoseconds of a millisecond: instants and spans are femtoseconds in bigint, since the Unix epoch. */
export const FS_PER_MS = 1_000_000_000_000n;
