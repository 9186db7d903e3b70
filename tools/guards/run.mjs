// Takes out the guards of the library, one at a time, and runs the tests that should see it: npm run guards -- --help
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { checkGuard } from './break.mjs';
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
npm run guards -- --list            their names, without running anything`;

const { values: options } = parseArgs({
  options: {
    help: { type: 'boolean' },
    list: { type: 'boolean' },
    sample: { type: 'boolean' },
    only: { type: 'string', multiple: true },
    shard: { type: 'string' },
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
async function run({ files, pattern, guard, longest = LONGEST }) {
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
    const output = await ended(
      spawn(process.execPath, guard ? [...args, '--bail=1'] : args, { cwd: ROOT, env }),
      longest,
    );
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

function ended(child, longest) {
  return new Promise((fulfil) => {
    let output = '';
    const late = setTimeout(() => child.kill('SIGKILL'), longest);
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += text));
    child.on('close', () => {
      clearTimeout(late);
      fulfil(output);
    });
  });
}

/** Runs all the tests of the guards once as the library is: none may fail, and each guard must have some. */
async function asItIs(all) {
  const tests = [];
  // Of some files all tests are meant, of others those of some names.
  for (const part of [all.filter((guard) => patternOf(guard) === ''), all.filter((guard) => patternOf(guard) !== '')]) {
    if (part.length === 0) continue;
    const files = [...new Set(part.flatMap(({ tests: { files: own } }) => own))];
    const pattern = [...new Set(part.map(patternOf))].filter(Boolean).join('|');
    const end = await run({ files, pattern, longest: part.length * LONGEST });
    const failed = end.tests
      .filter(({ status }) => status === 'failed')
      .map(({ name, reason }) => `${name}: ${reason}`);
    if (failed.length > 0 || end.tests.every(({ status }) => status !== 'passed'))
      return [`tests fail while nothing is broken:\n${failed.join('\n') || end.problem}`];
    tests.push(...end.tests);
  }
  return all.flatMap((guard) => {
    const own = new RegExp(patternOf(guard));
    const { files } = guard.tests;
    const isOwn = ({ file, name, status }) => status === 'passed' && files.includes(file) && own.test(name);
    return tests.some(isOwn)
      ? []
      : [`"${guard.name}" has no test: none in ${files.join(', ')} is called /${own.source}/`];
  });
}

/** Takes a guard out. Returns `seen`, `survived`, or what went wrong instead. */
async function takeOut(guard) {
  const { tests, problem } = await run({ files: guard.tests.files, pattern: patternOf(guard), guard });
  const failed = tests.find(({ status }) => status === 'failed');
  if (failed) return { end: 'seen', by: failed.name, reason: failed.reason };
  return tests.some(({ status }) => status === 'passed') ? { end: 'survived' } : { end: 'not run', reason: problem };
}

async function main() {
  if (options.help) return console.log(HELP);
  for (const guard of guards) checkGuard(guard);
  const all = chosen();
  if (options.list)
    return console.log(all.map(({ name, file, sample }) => `${sample ? '*' : ' '} ${name} (${file})`).join('\n'));
  const started = performance.now();
  const seconds = (since) => Math.round((performance.now() - since) / 1_000);
  process.stderr.write(`${all.length} guards; their tests are run once as the library is\n`);
  const problems = await asItIs(all);
  if (problems.length > 0) {
    console.error(problems.join('\n'));
    process.exit(1);
  }
  process.stderr.write(`all pass after ${seconds(started)} s\n`);

  const ends = [];
  const waiting = [...all];
  const begun = performance.now();
  const work = async () => {
    for (let guard = waiting.shift(); guard; guard = waiting.shift()) {
      const since = performance.now();
      const end = await takeOut(guard);
      ends.push({ guard, took: seconds(since), ...end });
      const left = Math.round((seconds(begun) / ends.length) * (all.length - ends.length));
      const why = end.end === 'seen' ? end.by : (end.reason ?? '');
      process.stderr.write(
        `${ends.length}/${all.length}, ${left} s left: ${end.end}, ${seconds(since)} s, ${guard.name}: ${why}\n`,
      );
    }
  };
  await Promise.all(Array.from({ length: Number(options.jobs) }, work));

  const count = (end) => ends.filter((one) => one.end === end).length;
  console.log(
    `${all.length} guards in ${seconds(started)} s: ${count('seen')} seen, ${count('survived')} survived, ${count('not run')} not run`,
  );
  for (const { guard, end, reason } of ends)
    if (end !== 'seen') console.log(`${end}: ${guard.name} (${guard.file})${reason ? `\n${reason}` : ''}`);
  process.exitCode = count('seen') === all.length && all.length > 0 ? 0 : 1;
}

await main();
