// Installs the packed libraries in fresh applications outside of this repository, and checks on several versions of Node.js that all runs
// there: npm run check:fresh -- --help
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { KINDS, makeApplications } from './fresh/applications.mjs';
import { Cells } from './fresh/cells.mjs';
import { unchecked } from './fresh/commands.mjs';
import { postgres, sqlite, sqliteDriver } from './fresh/databases.mjs';
import { nodesOf } from './fresh/nodes.mjs';
import { inLanes } from './fresh/run.mjs';

const HELP = `npm run check:fresh                          on Node.js 20.19, 22 and 24
npm run check:fresh -- --node 22,current     on these versions; current is the one that runs this
npm run check:fresh -- --all                 each command with -d and with -m in both applications; without it, with -d in the one
                                             of CommonJS, and with -m in the one of ES modules
npm run check:fresh -- --short               a few commands, on one database
npm run check:fresh -- --keep                leaves the applications where they are

It needs the libraries built. It prints a line for each cell, and ends with 1 if one has failed. Without PostgreSQL, SQLite is the
database of all cells.`;

const { values: options } = parseArgs({
  options: {
    help: { type: 'boolean' },
    node: { type: 'string', default: '20.19,22,24' },
    all: { type: 'boolean', default: false },
    short: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
  },
});
if (options.help) {
  console.log(HELP);
  process.exit();
}

const home = mkdtempSync(join(tmpdir(), 'spark-fresh-'));
const began = performance.now();
const seconds = () => ((performance.now() - began) / 1_000).toFixed(0);
const cells = new Cells(home, options.all ? 'all' : options.short ? 'short' : 'usual');
try {
  const [nodes] = await Promise.all([nodesOf(options.node.split(',')), makeApplications(home)]);
  console.log(`Two applications are installed and built after ${seconds()} s.`);
  const { createProgram } = await import(join(home, KINDS[0], 'node_modules/nestjs-spark/dist/cli/program.js'));
  for (const name of unchecked(createProgram()))
    cells.fail(`the command ${name}`, 'No cell runs it: add it to tools/fresh/commands.mjs.');
  const seats = nodes.flatMap((node) => KINDS.map((kind) => ({ node, kind })));
  await inLanes(seats, availableParallelism(), checkSeat);
} finally {
  if (options.keep) console.log(`The applications are in ${home}.`);
  else rmSync(home, { recursive: true, force: true });
}
console.log(`${cells.passed} cells passed, ${cells.failed} failed, after ${seconds()} s.`);
if (cells.failed > 0) process.exitCode = 1;

/** All cells of one application on one version of Node.js. */
async function checkSeat({ node, kind }) {
  const folder = join(home, kind);
  const driver = await sqliteDriver(folder, node.program);
  if (!driver) console.log(`left  ${node.name} has no driver of SQLite here.`);
  const all = [await postgres(), driver && sqlite(folder, driver)].filter(Boolean);
  const databases = options.short ? all.slice(0, 1) : all;
  if (databases.length === 0) cells.fail(`${node.name} ${kind}`, 'There is no database.');
  for (const [at, database] of databases.entries())
    try {
      await cells.check({ node, kind, database, isFirst: at === 0 });
    } finally {
      await database.drop();
    }
}
