/** What a session need not be fed again. */

/**
 * How many ids of `prompt` a session holds already, from the start on; all but the last of either at most: the session's may not have
 * been fed, and the prompt's is what the answer follows.
 */
export function sharedPrefix(held: readonly number[], prompt: ArrayLike<number>): number {
  const most = Math.min(held.length, prompt.length) - 1;
  let shared = 0;
  while (shared < most && held[shared] === prompt[shared]) shared++;
  return Math.max(0, shared);
}
