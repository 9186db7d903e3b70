// Holds the layers of the libraries: a folder imports from layers below its own, types included.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';

/**
 * The layers of each library, from the lowest to the highest. What lies beside the folders is the top. Folders `above` see all of the library,
 * and nothing of it sees them; those `outside` see only the public names and `common/`. Those `apart` run in Nest's CLI and see nothing of
 * it.
 */
const LIBRARIES = [
  {
    root: 'libs/spark/src',
    layers: [
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
    ],
    above: ['testing', 'cli', 'otel', 'terminus', 'microservices', 'schematics'],
    outside: ['otel', 'terminus', 'microservices'],
    apart: ['schematics'],
  },
  {
    root: 'libs/spark-dashboard/src',
    layers: ['client', 'html', 'texts', 'access', 'redact', 'options', 'view', 'acts', 'pages', 'live', 'http'],
    above: [],
    outside: [],
    apart: [],
  },
  {
    root: 'libs/spark-bullmq/src',
    layers: ['options', 'redis', 'queue'],
    above: [],
    outside: [],
    apart: [],
  },
];
/** What only folders `apart` import: an application has it for development only. */
const TOOLS = /^(?:typescript$|@nestjs\/schematics|@angular-devkit\/)/;

const IMPORT = /(?:from|import)\s*\(?\s*'([^']+)'/g;

const folderOf = (path) => (path.includes(sep) ? path.split(sep)[0] : '.');

function layerOf({ layers, above }, folder) {
  if (folder === '.') return layers.length;
  if (above.includes(folder)) return layers.length + 1;
  const layer = layers.indexOf(folder);
  if (layer < 0) throw new Error(`${folder}/ has no layer. Name it in tools/check-layers.mjs.`);
  return layer;
}

function wrongIn(library) {
  const root = resolve(import.meta.dirname, '..', library.root);
  const wrong = [];
  const files = readdirSync(root, { recursive: true }).filter((file) => file.endsWith('.ts'));
  for (const file of files.toSorted()) {
    const from = folderOf(file);
    const refuse = (path, why) => wrong.push(`${library.root}/${file} imports ${path}: ${why}`);
    for (const [, path] of readFileSync(join(root, file), 'utf8').matchAll(IMPORT)) {
      if (TOOLS.test(path) && !library.apart.includes(from)) refuse(path, 'only schematics may do so');
      if (!path.startsWith('.')) continue;
      const to = folderOf(relative(root, resolve(root, dirname(file), path)));
      if (from === to) continue;
      if (layerOf(library, from) <= layerOf(library, to)) refuse(path, `${from} lies below ${to}`);
      if (library.outside.includes(from) && path !== '../index.js' && to !== 'common')
        refuse(path, `${from} sees only ../index.js and common/`);
      if (library.apart.includes(from)) refuse(path, `${from} sees nothing of the library`);
    }
  }
  return wrong;
}

for (const library of LIBRARIES) {
  const wrong = wrongIn(library);
  for (const line of wrong) console.error(line);
  const verdict = wrong.length === 0 ? 'each imports from below' : `${wrong.length} imports from above`;
  console.log(`${library.root}: ${library.layers.length} layers: ${verdict}`);
  if (wrong.length > 0) process.exitCode = 1;
}
