import { spawn } from 'node:child_process';
import { stripVTControlCharacters } from 'node:util';

// A program that takes longer hangs.
const LONGEST = 120_000;

/**
 * Runs a program to its end, without the variables of this run.
 *
 * @param until a text of its output after which it gets SIGTERM
 * @returns its exit code, its output, and how long it took in milliseconds
 */
export async function run(program, args, { cwd, env = {}, until } = {}) {
  const began = performance.now();
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(?:SPARK|NODE_|npm_)/.test(name)));
  const child = spawn(program, args, { cwd, env: { ...clean, NO_COLOR: '1', CI: '1', ...env }, timeout: LONGEST });
  child.stdin.end();
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (text) => {
    stdout += text;
    if (until && stdout.includes(until)) child.kill('SIGTERM');
  });
  child.stderr.on('data', (text) => (stderr += text));
  const [code, signal] = await new Promise((fulfil, reject) => {
    child.on('error', reject);
    child.on('close', (...ended) => fulfil(ended));
  });
  const [out, errors] = [stdout, stderr].map(stripVTControlCharacters);
  return { code: code ?? signal, stdout: out, stderr: errors, ms: performance.now() - began };
}

/** Runs a program that must end with 0. Returns its stdout. */
export async function mustRun(program, args, options) {
  const { code, stdout, stderr } = await run(program, args, options);
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${code}:\n${stdout}\n${stderr}`);
  return stdout;
}

/** Runs work on each item, on so many at once as there are lanes. */
export async function inLanes(items, lanes, work) {
  const left = [...items];
  const lane = async () => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}
