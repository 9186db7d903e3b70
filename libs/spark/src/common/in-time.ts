/** Runs work, and rejects with `late` if it takes longer than `limit` milliseconds. How it ends later is ignored. */
export async function inTime<T>(work: () => T, limit: number, late: () => Error): Promise<Awaited<T>> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), limit);
  });
  try {
    // The work may throw before it returns a promise, and its promise may reject after the time.
    return await Promise.race([(async () => work())(), over]);
  } finally {
    clearTimeout(timer);
  }
}
