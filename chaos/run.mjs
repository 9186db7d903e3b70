// Runs the crash fuzzer: `npm run chaos -- --kills 1000 --db postgres --seed 7`.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { bundle } from '../tools/bundle.mjs';

const programs = await Promise.all(
  ['main.ts', 'actor.program.ts'].map((file) => bundle(join(import.meta.dirname, file))),
);
const [main, actor] = programs.map(({ path }) => path);
const chaos = spawn(process.execPath, ['--enable-source-maps', main, ...process.argv.slice(2)], {
  stdio: 'inherit',
  env: { ...process.env, CHAOS_ACTOR: actor },
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => chaos.kill(signal));
chaos.on('exit', (code) => {
  for (const { remove } of programs) remove();
  process.exitCode = code ?? 1;
});
