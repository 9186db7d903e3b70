// Holds the layers of the library: a folder imports from layers below its own, types included.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';

const ROOT = resolve(import.meta.dirname, '../libs/spark/src');

/** From the lowest to the highest. What lies beside the folders is the top. */
const LAYERS = [
  'error',
  'common',
  'config',
  'event',
  'database',
  'entity',
  'source',
  'handler',
  'interceptor',
  'store',
  'record',
  'deliver',
  'capture',
  'recheck',
  'sweep',
  'notifier',
  'inspect',
  'alert',
  'runtime',
];
/** They see all of the library, and nothing of it sees them. */
const ABOVE = ['testing', 'cli', 'otel', 'terminus'];
/** They see only the public names, and what all layers share. */
const OUTSIDE = ['otel', 'terminus'];

const IMPORT = /(?:from|import)\s*\(?\s*'(\.[^']+)'/g;

const folderOf = (path) => (path.includes(sep) ? path.split(sep)[0] : '.');

function layerOf(folder) {
  if (folder === '.') return LAYERS.length;
  if (ABOVE.includes(folder)) return LAYERS.length + 1;
  const layer = LAYERS.indexOf(folder);
  if (layer < 0) throw new Error(`${folder}/ has no layer. Name it in tools/check-layers.mjs.`);
  return layer;
}

const wrong = [];
const files = readdirSync(ROOT, { recursive: true }).filter((file) => file.endsWith('.ts'));
for (const file of files.toSorted()) {
  const from = folderOf(file);
  for (const [, path] of readFileSync(join(ROOT, file), 'utf8').matchAll(IMPORT)) {
    const to = folderOf(relative(ROOT, resolve(ROOT, dirname(file), path)));
    if (from !== to && layerOf(from) <= layerOf(to)) wrong.push(`${file} imports ${path}: ${from} lies below ${to}`);
    if (from !== to && OUTSIDE.includes(from) && path !== '../index.js' && to !== 'common')
      wrong.push(`${file} imports ${path}: ${from} sees only ../index.js and common/`);
  }
}
for (const line of wrong) console.error(line);
console.log(
  `${LAYERS.length} layers: ${wrong.length === 0 ? 'each imports from below' : `${wrong.length} imports from above`}`,
);
process.exitCode = wrong.length === 0 ? 0 : 1;
