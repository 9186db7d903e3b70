import { mkdtempSync, rmSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { build, defaultServerConditions } from 'vite';
import { broken } from './guards/break.mjs';

export async function bundle(file) {
  // Below the project, so that packages are found.
  const folder = mkdtempSync(join(resolve(import.meta.dirname, '../node_modules'), '.spark-bundle-'));
  const name = `${basename(file, '.ts')}.mjs`;
  await build({
    configFile: false,
    plugins: broken(),
    logLevel: 'error',
    oxc: { decorator: { legacy: true, emitDecoratorMetadata: true } },
    ssr: { noExternal: ['nestjs-spark'], resolve: { conditions: ['nestjs-spark/source', ...defaultServerConditions] } },
    build: { ssr: file, outDir: folder, rollupOptions: { output: { entryFileNames: name } } },
  });
  return { path: join(folder, name), remove: () => rmSync(folder, { recursive: true, force: true }) };
}
