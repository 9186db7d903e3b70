import { yieldToEventLoop } from '../common/event-loop.js';

// To halve 1,000 items down to a single one takes ten steps. Work that has failed more often than that and never succeeded fails for all.
const HOPELESS = 12;

/**
 * Calls `work` with all items at once. If it throws, the two halves follow, and so on, until the items for which it throws are found.
 *
 * @param fail gets the items for which `work` throws, and the error
 * @returns the last error, if `work` failed for all items
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
