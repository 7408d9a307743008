import { expect, it, vi } from 'vitest';
import { freshKeys } from '../../lambda/fresh-keys.js';
import { FakeClock } from '../../lib/clock.js';
import { leaseTokens } from '../../lib/http/lease-token.js';
import { START_MS } from '../support/stores.js';

const [OLD, NEW] = ['the old signing key of these tests', 'the new signing key of these tests'];
const lease = { id: 'l-1', entity: 'key-123', resource: 'gpt-4', grants: [] };

/** A function that has read the secret, and runs on while it is rotated. */
function running(secret: { keys: string[] }) {
  const clock = new FakeClock(START_MS);
  let reads = 0;
  const tokens = freshKeys(
    async () => {
      reads += 1;
      if (secret.keys.length === 0) throw new Error('no answer');
      return secret.keys;
    },
    (keys) => leaseTokens(keys, 'default'),
    clock,
  );
  return { clock, tokens, reads: () => reads };
}

const signedWith = (key: string) => leaseTokens([key], 'default').sign(lease, START_MS);

it('a key that was put first is known to a function that runs, a minute later, and one that was retired is refused', async () => {
  const secret = { keys: [OLD] };
  const { clock, tokens } = running(secret);
  await tokens();
  secret.keys = [NEW, OLD];
  const verify = async (key: string) => (await tokens()).verify(signedWith(key), START_MS).id;
  await expect(verify(NEW)).rejects.toThrow('a lease token that this API issued');
  clock.advance(60_000);
  expect([await verify(NEW), await verify(OLD)]).toEqual(['l-1', 'l-1']);
  secret.keys = [NEW];
  clock.advance(60_000);
  await expect(verify(OLD)).rejects.toThrow('a lease token that this API issued');
});

it('the secret is read once a minute, however many ask at the same time', async () => {
  const { clock, tokens, reads } = running({ keys: [OLD] });
  await Promise.all([tokens(), tokens(), tokens()]);
  clock.advance(59_999);
  await tokens();
  expect(reads()).toBe(1);
  clock.advance(1);
  await Promise.all([tokens(), tokens()]);
  expect(reads()).toBe(2);
});

it('what was read last stands while the secret cannot be read, and is tried again after seconds; without it there is nothing', async () => {
  const error = vi.spyOn(console, 'error').mockImplementation(() => {});
  const secret = { keys: [] as string[] };
  const { clock, tokens } = running(secret);
  await expect(tokens()).rejects.toThrow('no answer');
  secret.keys = [OLD];
  await tokens();
  secret.keys = [];
  clock.advance(60_000);
  expect((await tokens()).verify(signedWith(OLD), START_MS).id).toBe('l-1');
  expect(error).toHaveBeenCalledTimes(1);
  secret.keys = [NEW];
  clock.advance(5_000);
  expect((await tokens()).verify(signedWith(NEW), START_MS).id).toBe('l-1');
});
