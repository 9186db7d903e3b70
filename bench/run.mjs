// Runs measurements: `npm run bench`, `npm run bench -- save deliver --db postgres --rounds 7`.
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { bundle } from '../tools/bundle.mjs';

const here = import.meta.dirname;
const all = readdirSync(here).flatMap((file) => (file.endsWith('.bench.ts') ? [file.replace('.bench.ts', '')] : []));
const args = process.argv.slice(2);
if (args.includes('--help')) {
  console.log(`npm run bench -- [measurement …] [--db sqlite|postgres|mariadb] [--rounds N] [--json FILE]
Without a measurement, it runs all of them: ${all.join(', ')}`);
  process.exit();
}
const options = args.findIndex((arg) => arg.startsWith('-'));
const names = args.slice(0, options < 0 ? args.length : options);
const unknown = names.filter((name) => !all.includes(name));
if (unknown.length > 0) {
  console.error(`There is no ${unknown.join(', ')}. Measurements: ${all.join(', ')}`);
  process.exit(2);
}
const given = options < 0 ? [] : args.slice(options);
const rest = given.includes('--json') ? given : [...given, '--json', join(here, 'results.json')];
for (const name of names.length > 0 ? names : all) {
  const program = join(here, `${name}.program.ts`);
  const files = [join(here, `${name}.bench.ts`), ...(existsSync(program) ? [program] : [])];
  const bundles = await Promise.all(files.map(bundle));
  const bench = spawn(process.execPath, ['--expose-gc', bundles[0].path, ...rest], {
    stdio: 'inherit',
    env: { ...process.env, BENCH_PROGRAM: bundles[1]?.path },
  });
  const code = await new Promise((resolve) => bench.on('exit', resolve));
  for (const { remove } of bundles) remove();
  if (code !== 0) process.exitCode = 1;
}
