// Takes out the guards of the library, one at a time, and runs the tests that should see it: npm run guards -- --help
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { flawOf } from './break.mjs';
import { guards } from './list.mjs';

const ROOT = resolve(import.meta.dirname, '../..');
const VITEST = join(ROOT, 'node_modules/vitest/vitest.mjs');
// A run that takes longer hangs.
const LONGEST = 10 * 60_000;
const HELP = `npm run guards                      all of them
npm run guards -- --sample          the fixed part that runs in CI
npm run guards -- --only <text>     those whose name holds the text; may be repeated
npm run guards -- --shard 1/4       every fourth, from the first
npm run guards -- --jobs 2          so many at once
npm run guards -- --trusting        without running the tests as the library is, first
npm run guards -- --list            their names, without running anything`;

const { values: options } = parseArgs({
  options: {
    help: { type: 'boolean' },
    list: { type: 'boolean' },
    sample: { type: 'boolean' },
    only: { type: 'string', multiple: true },
    shard: { type: 'string' },
    trusting: { type: 'boolean' },
    jobs: { type: 'string', default: '1' },
  },
});

/** The guards that are asked for. */
function chosen() {
  const { only, sample, shard } = options;
  const [part, parts] = (shard ?? '1/1').split('/').map(Number);
  return guards
    .filter(({ name }) => !only || only.some((text) => name.includes(text)))
    .filter((guard) => !sample || guard.sample)
    .filter((_, at) => at % parts === part - 1);
}

/** What the names of a guard's tests look like, with those of the databases that they are to run on. */
function patternOf({ databases, tests: { name = '' } }) {
  return databases ? `on '?(${databases.join('|')})'?.*${name}` : name;
}

/** Runs tests, with a guard taken out if one is given. Returns each test's file, full name and state, and what else went wrong. */
async function run({ files, pattern, guard }) {
  const folder = mkdtempSync(join(tmpdir(), 'spark-guards-'));
  const report = join(folder, 'report.json');
  const args = [
    VITEST,
    'run',
    ...files,
    '--reporter=json',
    `--outputFile=${report}`,
    ...(pattern ? ['-t', pattern] : []),
  ];
  const env = { ...process.env, ...(guard ? { SPARK_BROKEN: JSON.stringify(guard) } : {}) };
  try {
    const output = await ended(spawn(process.execPath, guard ? [...args, '--bail=1'] : args, { cwd: ROOT, env }));
    if (!existsSync(report)) return { tests: [], problem: output.slice(-2_000) };
    const { testResults } = JSON.parse(readFileSync(report, 'utf8'));
    const tests = testResults.flatMap(({ name, assertionResults }) =>
      assertionResults.map(({ fullName, status, failureMessages }) => ({
        file: relative(ROOT, name),
        name: fullName,
        status,
        reason: failureMessages?.[0]?.split('\n')[0],
      })),
    );
    const suite = testResults.find(({ status, message }) => status === 'failed' && message);
    return { tests, problem: suite?.message.slice(0, 2_000) ?? output.slice(-2_000) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function ended(child) {
  return new Promise((fulfil) => {
    let output = '';
    const late = setTimeout(() => child.kill('SIGKILL'), LONGEST);
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += text));
    child.on('close', () => {
      clearTimeout(late);
      fulfil(output);
    });
  });
}

const unbroken = new Map();

/** Runs the tests of a guard as the library is, once for all that have the same. Returns what is wrong with them. */
function asItIs(guard) {
  const { files } = guard.tests;
  const pattern = patternOf(guard);
  const id = JSON.stringify([files, pattern]);
  if (!unbroken.has(id)) unbroken.set(id, run({ files, pattern }).then(flawIn));
  return unbroken.get(id);
}

function flawIn({ tests, problem }) {
  const failed = tests.find(({ status }) => status === 'failed');
  if (failed) return `fails as it is: ${failed.name}: ${failed.reason}`;
  return tests.some(({ status }) => status === 'passed') ? undefined : `no test was run: ${problem}`;
}

/** Takes a guard out. Returns `seen`, `survived`, or what went wrong instead. */
async function takeOut(guard) {
  const flaw = flawOf(guard) ?? (options.trusting ? undefined : await asItIs(guard));
  if (flaw) return { end: 'not run', reason: flaw };
  const { tests, problem } = await run({ files: guard.tests.files, pattern: patternOf(guard), guard });
  const failed = tests.find(({ status }) => status === 'failed');
  if (failed) return { end: 'seen', by: failed.name, reason: failed.reason };
  return tests.some(({ status }) => status === 'passed') ? { end: 'survived' } : { end: 'not run', reason: problem };
}

async function main() {
  if (options.help) return console.log(HELP);
  const all = chosen();
  if (options.list)
    return console.log(all.map(({ name, file, sample }) => `${sample ? '*' : ' '} ${name} (${file})`).join('\n'));
  const started = performance.now();
  const seconds = (since) => Math.round((performance.now() - since) / 1_000);
  // A guard of which nobody knows any more where it stands is watched by nobody.
  const others = guards.filter((guard) => !all.includes(guard));
  const ends = others.flatMap((guard) => {
    const reason = flawOf(guard);
    return reason ? [{ guard, end: 'not run', reason }] : [];
  });
  const total = all.length + ends.length;
  const waiting = [...all];
  const begun = performance.now();
  const work = async () => {
    for (let guard = waiting.shift(); guard; guard = waiting.shift()) {
      const since = performance.now();
      const end = await takeOut(guard);
      ends.push({ guard, took: seconds(since), ...end });
      const left = Math.round((seconds(begun) / ends.length) * (total - ends.length));
      const why = end.end === 'seen' ? end.by : (end.reason ?? '');
      process.stderr.write(
        `${ends.length}/${total}, ${left} s left: ${end.end}, ${seconds(since)} s, ${guard.name}: ${why}\n`,
      );
    }
  };
  await Promise.all(Array.from({ length: Number(options.jobs) }, work));

  const count = (end) => ends.filter((one) => one.end === end).length;
  console.log(
    `${total} guards in ${seconds(started)} s: ${count('seen')} seen, ${count('survived')} survived, ${count('not run')} not run`,
  );
  for (const { guard, end, reason } of ends)
    if (end !== 'seen') console.log(`${end}: ${guard.name} (${guard.file})${reason ? `\n${reason}` : ''}`);
  process.exitCode = count('seen') === total && all.length > 0 ? 0 : 1;
}

await main();
