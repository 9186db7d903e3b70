// Makes a release of the libraries: `npm run release -- minor` says what it would do, and does nothing; with `--go` it does it.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';

const ROOT = resolve(import.meta.dirname, '..');
const LIBRARY = 'libs/spark/package.json';
/** The libraries that are released with it. */
const OTHERS = ['spark-dashboard', 'spark-bullmq'];
const LIBRARIES = [LIBRARY, ...OTHERS.map((name) => `libs/${name}/package.json`)];
const DEPENDENTS = ['apps/challenges/package.json', ...LIBRARIES.slice(1)];
const KINDS = ['major', 'minor', 'patch'];

const { values, positionals } = parseArgs({
  options: { go: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const [kind] = positionals;
if (positionals.length !== 1 || !KINDS.includes(kind)) fail(`Say which kind of release: ${KINDS.join(', ')}.`);

const read = (path) => readFileSync(resolve(ROOT, path), 'utf8');
const write = (path, text) => writeFileSync(resolve(ROOT, path), text);
const output = (command, ...args) => execFileSync(command, args, { cwd: ROOT, encoding: 'utf8' }).trim();
const show = (command, ...args) => execFileSync(command, args, { cwd: ROOT, stdio: 'inherit' });

const { version } = JSON.parse(read(LIBRARY));
const next = nextOf(version, kind);
const changes = /^## \[Unreleased\]\n([^]*?)(?=^## \[|$(?![^]))/m.exec(read('CHANGELOG.md'))?.[1]?.trim();

if (output('git', 'status', '--porcelain')) fail('The work tree has changes. Commit them first.');
if (output('git', 'branch', '--show-current') !== 'main') fail('Releases are made of the branch main.');
if (!changes) fail('CHANGELOG.md has nothing under [Unreleased].');

const steps = [
  { words: 'run all checks: npm run ci', work: () => show('npm', 'run', 'ci') },
  { words: `say ${next} in ${LIBRARY}, ${DEPENDENTS.join(', ')} and package-lock.json`, work: bump },
  { words: `date the changes of ${next} in CHANGELOG.md (${changes.split('\n').length} lines)`, work: dateChanges },
  { words: 'check what is packed: npm run check:package', work: () => show('npm', 'run', 'check:package') },
  { words: `commit, and tag v${next}`, work: commit },
  {
    words: 'pack them: npm pack',
    work: () => show('npm', 'pack', ...LIBRARIES.flatMap((path) => ['--workspace', dirname(path)])),
  },
];
for (const { words, work } of steps) {
  console.log(`${values.go ? 'now' : 'would'}: ${words}`);
  if (values.go) work();
}
console.log(
  values.go
    ? `Version ${next} is ready: ${['git push --follow-tags', ...['spark', ...OTHERS].map((name) => `npm publish nestjs-${name}-${next}.tgz`)].join(' && ')}`
    : 'Nothing was done. Add --go to do it.',
);

function nextOf(from, step) {
  const parts = from.split('.').map(Number);
  const at = KINDS.indexOf(step);
  return parts.map((part, i) => (i < at ? part : i === at ? part + 1 : 0)).join('.');
}

function bump() {
  for (const library of LIBRARIES)
    write(library, read(library).replace(`"version": "${version}"`, `"version": "${next}"`));
  for (const dependent of DEPENDENTS)
    write(dependent, read(dependent).replace(/("nestjs-spark(?:-dashboard|-bullmq)?": )"[^"]*"/g, `$1"^${next}"`));
  show('npm', 'install', '--package-lock-only', '--ignore-scripts');
}

function dateChanges() {
  const today = new Date().toISOString().slice(0, 10);
  write(
    'CHANGELOG.md',
    read('CHANGELOG.md').replace('## [Unreleased]\n', `## [Unreleased]\n\n## [${next}] - ${today}\n`),
  );
}

function commit() {
  show('git', 'commit', '--all', '--message', `Version ${next}`);
  show('git', 'tag', '--annotate', `v${next}`, '--message', `Version ${next}`);
}

function fail(reason) {
  console.error(reason);
  process.exit(1);
}
