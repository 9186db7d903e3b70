// Draws the states of a delivery in ARCHITECTURE.md from the table in the library. With --check it only says whether they differ.
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { format, resolveConfig } from 'prettier';
import ts from 'typescript';
import { ROOT } from './pages.mjs';

const TABLE = resolve(ROOT, 'libs/spark/src/database/delivery-states.ts');
const PAGE = resolve(ROOT, 'ARCHITECTURE.md');
const [BEGIN, END] = ['<!-- states: drawn by npm run draw:states -->', '<!-- states: end -->'];

const { outputText } = ts.transpileModule(readFileSync(TABLE, 'utf8'), {
  compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
});
const { TRANSITIONS } = await import(`data:text/javascript,${encodeURIComponent(outputText)}`);

/** The arrows: one for each pair of states, with the methods that take it. */
function diagram() {
  const arrows = new Map();
  for (const { from, to, by } of TRANSITIONS) {
    const arrow = `${from ?? '[*]'} --> ${to ?? '[*]'}`;
    const method = by.split('.').at(-1);
    arrows.set(arrow, [...new Set([...(arrows.get(arrow) ?? []), method])]);
  }
  const lines = [...arrows].map(([arrow, methods]) => `  ${arrow}: ${methods.join(', ')}`);
  return ['```mermaid', 'stateDiagram-v2', ...lines, '```'].join('\n');
}

function table() {
  const state = (name, none) => (name === null ? none : `\`${name}\``);
  const rows = TRANSITIONS.map(
    ({ from, to, by, when }) => `| ${state(from, 'opened')} | ${state(to, 'removed')} | \`${by}\` | ${when} |`,
  );
  return ['| from | to | by | when |', '| --- | --- | --- | --- |', ...rows].join('\n');
}

const page = readFileSync(PAGE, 'utf8');
const [before, rest] = page.split(BEGIN);
const [, after] = (rest ?? '').split(END);
if (after === undefined) throw new Error(`ARCHITECTURE.md has no place for the states, between ${BEGIN} and ${END}`);
const drawn = `${before}${BEGIN}\n\n${diagram()}\n\n${table()}\n\n${END}${after}`;
const next = await format(drawn, { ...(await resolveConfig(PAGE)), filepath: PAGE });

if (!process.argv.includes('--check')) writeFileSync(PAGE, next);
else if (next !== page) {
  console.error('The states in ARCHITECTURE.md differ from database/delivery-states.ts. Run npm run draw:states.');
  process.exitCode = 1;
} else console.log(`${TRANSITIONS.length} ways between the states of a delivery, drawn as the library has them`);
