import { yieldToEventLoop } from '../common/event-loop.js';

// Halving 1,000 takes ten steps to the first single one: what has failed more often, and never done, is broken as a whole.
const HOPELESS = 12;

/**
 * Does work on all items at once; where it throws, on each half, until those are found that it throws at. Returns the last error
 * where nothing could be done at all.
 */
export async function inHalves<T>(
  items: readonly T[],
  work: (part: readonly T[]) => Promise<void>,
  fail: (part: readonly T[], error: unknown) => void,
): Promise<unknown> {
  const calls = { failed: 0, done: 0, error: undefined as unknown };
  const isHopeless = () => calls.done === 0 && calls.failed >= HOPELESS;
  const attempt = async (part: readonly T[]): Promise<void> => {
    if (isHopeless()) return fail(part, calls.error);
    await yieldToEventLoop();
    try {
      await work(part);
      calls.done++;
    } catch (error) {
      calls.failed++;
      calls.error = error;
      if (part.length === 1 || isHopeless()) return fail(part, error);
      const middle = Math.ceil(part.length / 2);
      await attempt(part.slice(0, middle));
      await attempt(part.slice(middle));
    }
  };
  if (items.length > 0) await attempt(items);
  return isHopeless() ? calls.error : undefined;
}
