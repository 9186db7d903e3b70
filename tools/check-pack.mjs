// Fails where what users install lacks something, or has something that is only for tests.
import { execFileSync } from 'node:child_process';
import { resolve } from 'node:path';

const NEEDED_BY_ALL = [
  'README.md',
  'LICENSE',
  'CHANGELOG.md',
  'UPGRADING.md',
  'ARCHITECTURE.md',
  'CONTRIBUTING.md',
  'docs/getting-started.md',
  'package.json',
  'dist/index.js',
  'dist/index.d.ts',
  'src/index.ts',
];
const NEEDED = {
  'libs/spark': [
    'docs/grafana-spark.json',
    'dist/cli/main.js',
    'dist/testing/index.js',
    'dist/testing/index.d.ts',
    'dist/otel/index.js',
    'dist/otel/index.d.ts',
    'dist/terminus/index.js',
    'dist/terminus/index.d.ts',
    'dist/microservices/index.js',
    'dist/microservices/index.d.ts',
    'dist/schematics/nest-add.js',
    'dist/schematics/source.js',
    'dist/schematics/handler.js',
    'src/schematics/collection.json',
    'src/schematics/nest-add.schema.json',
    'src/schematics/source.schema.json',
    'src/schematics/handler.schema.json',
  ],
  'libs/spark-dashboard': ['docs/dashboard.md'],
  'libs/spark-bullmq': ['docs/bullmq.md'],
};

for (const [library, needed] of Object.entries(NEEDED)) {
  const cwd = resolve(import.meta.dirname, '..', library);
  const [{ files }] = JSON.parse(execFileSync('npm', ['pack', '--dry-run', '--json'], { cwd, encoding: 'utf8' }));
  const paths = files.map(({ path }) => path);
  const missing = [...NEEDED_BY_ALL, ...needed].filter((path) => !paths.includes(path));
  const superfluous = paths.filter((path) => /\.spec\.|tsbuildinfo/.test(path));
  if (missing.length > 0) console.error(`The package ${library} lacks ${missing.join(', ')}.`);
  if (superfluous.length > 0)
    console.error(`The package ${library} holds ${superfluous.join(', ')}, which is for tests only.`);
  if (missing.length + superfluous.length > 0) process.exitCode = 1;
  else
    console.log(`The package ${library} holds ${paths.length} files, README.md, LICENSE and CHANGELOG.md among them.`);
}
