// What belongs to every package is kept once, in the root: `npm pack` takes a copy of it along, which is gone afterwards.
import { copyFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '..');

for (const name of ['README.md', 'LICENSE', 'CHANGELOG.md']) {
  if (process.argv[2] === 'remove') rmSync(name, { force: true });
  else copyFileSync(join(ROOT, name), name);
}
