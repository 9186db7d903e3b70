import 'reflect-metadata';
import { contestant } from './contestant.js';

// Saves orders, so many at a time, until all of them are handled; says how long that took, in ms.
const [name, url, count, concurrency] = process.argv.slice(2) as [string, string, string, string];
const WARM_UP = 2_000;

let handled = 0;
let awaited: { count: number; resolve: () => void } | undefined;
const app = await contestant(name, url, true, () => {
  if (++handled === awaited?.count) awaited.resolve();
});

async function round(saves: number): Promise<number> {
  const began = performance.now();
  const done = new Promise<void>((resolve) => (awaited = { count: handled + saves, resolve }));
  let left = saves;
  const lane = async () => {
    while (left-- > 0) await app.save();
  };
  await Promise.all(Array.from({ length: Number(concurrency) }, lane));
  await done;
  return performance.now() - began;
}

await round(WARM_UP);
process.send!(await round(Number(count)));
await app.close();
process.exit();
