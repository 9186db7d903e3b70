// Runs a measurement: `npm run bench -- sweep-memory --rows 1000000 --db postgres`.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build, defaultServerConditions } from 'vite';

const here = import.meta.dirname;
const [name, ...args] = process.argv.slice(2);
const file = join(here, `${name}.bench.ts`);
if (!name || !existsSync(file)) {
  const names = readdirSync(here).filter((entry) => entry.endsWith('.bench.ts'));
  console.error(`Which one? ${names.map((entry) => entry.replace('.bench.ts', '')).join(', ')}`);
  process.exit(2);
}
const out = mkdtempSync(join(resolve(here, '../node_modules'), '.spark-bench-'));
await build({
  configFile: false,
  logLevel: 'error',
  oxc: { decorator: { legacy: true, emitDecoratorMetadata: true } },
  ssr: { noExternal: ['nestjs-spark'], resolve: { conditions: ['nestjs-spark/source', ...defaultServerConditions] } },
  build: { ssr: file, outDir: out, rollupOptions: { output: { entryFileNames: 'main.mjs' } } },
});
const bench = spawn(process.execPath, ['--expose-gc', join(out, 'main.mjs'), ...args], { stdio: 'inherit' });
bench.on('exit', (code) => {
  rmSync(out, { recursive: true, force: true });
  process.exitCode = code ?? 1;
});
