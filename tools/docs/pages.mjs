import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';

export const ROOT = resolve(import.meta.dirname, '../..');

const inFolder = (folder) =>
  readdirSync(join(ROOT, folder)).flatMap((name) => (name.endsWith('.md') ? [join(folder, name)] : []));

/** The pages of the documents, by their paths from the root. */
export const pages = [
  ...inFolder('.'),
  ...inFolder('docs'),
  'libs/spark-dashboard/README.md',
  'libs/spark-bullmq/README.md',
];
