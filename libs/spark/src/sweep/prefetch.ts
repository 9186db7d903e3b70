import { yieldToEventLoop } from '../common/event-loop.js';

/** Works on the next items ahead of the consumer, on `atOnce` of them at the same time. Yields the results in the order of the items. */
export async function* prefetch<T, R>(
  items: AsyncGenerator<T>,
  work: (item: T) => R | Promise<R>,
  atOnce = 1,
): AsyncGenerator<R> {
  const begun: Promise<{ result: R } | undefined>[] = [];
  const begin = () => {
    const next = items.next().then(async ({ done, value }) => (done ? undefined : { result: await work(value) }));
    // The consumer gets the error when it awaits this item. Until then, it must not count as unhandled.
    next.catch(() => undefined);
    begun.push(next);
  };
  try {
    for (;;) {
      while (begun.length < atOnce) begin();
      const ended = await begun.shift();
      if (!ended) return;
      begin();
      await yieldToEventLoop();
      yield ended.result;
    }
  } finally {
    await Promise.allSettled(begun);
    await items.return(undefined);
  }
}
