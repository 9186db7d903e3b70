// What belongs to every package is kept once, in the root: `npm pack` takes a copy of it along, which is gone afterwards.
import { cpSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '..');

const DOCUMENTS = [
  'README.md',
  'LICENSE',
  'CHANGELOG.md',
  'UPGRADING.md',
  'ARCHITECTURE.md',
  'CONTRIBUTING.md',
  'docs',
];

for (const name of DOCUMENTS) {
  if (process.argv[2] === 'remove') rmSync(name, { recursive: true, force: true });
  else cpSync(join(ROOT, name), name, { recursive: true, filter: (path) => !path.endsWith('api') });
}
