// What belongs to every package is kept once, in the root, and what differs in the package: `npm pack` takes a copy of it along, which is gone afterwards.
import { cpSync, rmSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';

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
/** What a package has of its own, by its folder. */
const OWN = { 'spark-dashboard': ['README.md'], 'spark-bullmq': ['README.md'] };

const own = OWN[basename(process.cwd())] ?? [];
for (const name of DOCUMENTS.filter((one) => !own.includes(one))) {
  if (process.argv[2] === 'remove') rmSync(name, { recursive: true, force: true });
  else cpSync(join(ROOT, name), name, { recursive: true, filter: (path) => !path.endsWith('api') });
}
