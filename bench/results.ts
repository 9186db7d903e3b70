import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { format, resolveConfig } from 'prettier';
import { machine, type Row } from './contest.js';
import type { DatabaseName } from './database.js';

interface Results {
  rows: (Row & { readonly machine: string; readonly date: string })[];
}

/** Runs a measurement on the databases that the command line asks for, and writes down what came of it. */
export async function runBench(
  databases: readonly DatabaseName[],
  bench: (db: DatabaseName, rounds: number) => Promise<Row[]>,
): Promise<void> {
  const { values } = parseArgs({
    options: { db: { type: 'string' }, rounds: { type: 'string' }, json: { type: 'string' }, md: { type: 'string' } },
    strict: false,
  });
  const chosen = typeof values.db === 'string' ? (values.db.split(',') as DatabaseName[]) : databases;
  for (const db of databases.filter((name) => chosen.includes(name))) {
    const rows = await bench(db, Number(values.rounds ?? 5));
    if (typeof values.json === 'string') await writeDown(values.json, rows);
  }
}

/** Puts rows in the place of older ones of the same measurement, and writes the table anew. */
async function writeDown(file: string, rows: readonly Row[]): Promise<void> {
  const results: Results = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Results) : { rows: [] };
  const date = new Date().toISOString().slice(0, 10);
  for (const row of rows) {
    const place = results.rows.findIndex((old) => idOf(old) === idOf(row));
    const dated = { ...row, machine: machine(), date };
    if (place < 0) results.rows.push(dated);
    else results.rows[place] = dated;
  }
  writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`);
  const table = file.replace(/(results)?\.json$/i, 'RESULTS.md');
  writeFileSync(table, await format(tableOf(results), { ...(await resolveConfig(table)), filepath: table }));
}

/** In which order the table shows them. */
const BENCHES = [
  'backlog',
  'history',
  'dump',
  'save',
  'sweep',
  'adopt',
  'deliver',
  'telemetry',
  'relay',
  'digest',
  'end-to-end',
  'latency',
  'tick',
  'memory',
  'size',
  'fleet',
  'limited',
  'dashboard',
];

const idOf = ({ bench, work, db, ratio }: Row): string => [bench, work, db, ratio].join(' · ');

function tableOf({ rows }: Results): string {
  const placeOf = (row: Results['rows'][number]) => `${row.date}: ${row.machine}`;
  const places = [...new Set(rows.map(placeOf))];
  const sorted = rows.toSorted((a, b) => BENCHES.indexOf(a.bench) - BENCHES.indexOf(b.bench));
  const lines = sorted.map((row) => {
    const { bench, work, db, ratio, median, lowest, highest, rounds, target, reached, arms } = row;
    const times = Object.entries(arms).map(([name, ms]) => `${name} ${ms}`);
    const aim = target === null ? '' : `${target}${reached ? '' : ' — **not reached**'}`;
    const spread = rounds === 1 ? '' : `${lowest.toFixed(2)}–${highest.toFixed(2)}`;
    return `| ${bench} | ${work} | ${db} | ${ratio} | ${median.toFixed(2)} | ${spread} | ${rounds} | ${aim} | ${times.join(', ')} | ${places.indexOf(placeOf(row)) + 1} |`;
  });
  return `# What was measured

Ratios of arms that alternated in one run; the median of the rounds after one to warm up, and their spread. The machines are shared:
only ratios say something. The last column says where and when it was measured, which may be on older code. \`npm run bench\`
measures it all again; the code of each arm is in this folder. Hand-written SQL writes the same rows to the same tables as Spark, by hand.

${places.map((text, i) => `${i + 1}. ${text}`).join('\n')}

| bench | work | database | ratio | median | spread | rounds | must reach | medians of the arms (ms) | where |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
${lines.join('\n')}
`;
}
