// Fails where what users install lacks something, or has something that is only for tests.
import { execFileSync } from 'node:child_process';
import { resolve } from 'node:path';

const NEEDED = [
  'README.md',
  'LICENSE',
  'CHANGELOG.md',
  'UPGRADING.md',
  'ARCHITECTURE.md',
  'CONTRIBUTING.md',
  'docs/getting-started.md',
  'docs/grafana-spark.json',
  'package.json',
  'dist/index.js',
  'dist/index.d.ts',
  'dist/cli/main.js',
  'dist/testing/index.js',
  'dist/testing/index.d.ts',
  'dist/otel/index.js',
  'dist/otel/index.d.ts',
  'dist/terminus/index.js',
  'dist/terminus/index.d.ts',
  'dist/schematics/nest-add.js',
  'dist/schematics/source.js',
  'dist/schematics/handler.js',
  'src/schematics/collection.json',
  'src/schematics/nest-add.schema.json',
  'src/schematics/source.schema.json',
  'src/schematics/handler.schema.json',
  'src/index.ts',
];

const cwd = resolve(import.meta.dirname, '../libs/spark');
const [{ files }] = JSON.parse(execFileSync('npm', ['pack', '--dry-run', '--json'], { cwd, encoding: 'utf8' }));
const paths = files.map(({ path }) => path);
const missing = NEEDED.filter((path) => !paths.includes(path));
const superfluous = paths.filter((path) => /\.spec\.|tsbuildinfo/.test(path));
if (missing.length > 0) console.error(`The package lacks ${missing.join(', ')}.`);
if (superfluous.length > 0) console.error(`The package holds ${superfluous.join(', ')}, which is for tests only.`);
if (missing.length + superfluous.length > 0) process.exit(1);
console.log(`The package holds ${paths.length} files, README.md, LICENSE and CHANGELOG.md among them.`);
