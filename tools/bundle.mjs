import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { build, defaultServerConditions } from 'vite';
import { broken } from './guards/break.mjs';
import { linkPackages } from './packages.mjs';

export async function bundle(file, { isLinked = false } = {}) {
  // Below the project, so that packages are found.
  const folder = mkdtempSync(join(resolve(import.meta.dirname, '../node_modules'), '.spark-bundle-'));
  if (isLinked) await linkPackages(folder);
  const name = `${basename(file, '.ts')}.mjs`;
  await build({
    configFile: false,
    plugins: broken(),
    logLevel: 'error',
    oxc: { decorator: { legacy: true, emitDecoratorMetadata: true } },
    ssr: {
      noExternal: ['nestjs-spark', 'nestjs-spark-dashboard', 'nestjs-spark-bullmq'],
      resolve: { conditions: ['nestjs-spark/source', ...defaultServerConditions] },
    },
    build: { ssr: file, outDir: folder, rollupOptions: { output: { entryFileNames: name } } },
  });
  return { path: join(folder, name), remove: () => rmSync(folder, { recursive: true, force: true }) };
}

const LIBRARY = resolve(import.meta.dirname, '../libs/spark');

export async function install({ isLinked = false } = {}) {
  // Below the project, so that other packages are found.
  const folder = mkdtempSync(join(resolve(import.meta.dirname, '../node_modules'), '.spark-installed-'));
  const root = join(folder, 'node_modules/nestjs-spark');
  await installInto(root, ['index', 'cli/main']);
  if (isLinked) await linkPackages(folder);
  return {
    folder,
    bin: join(root, 'dist/cli/main.js'),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

export async function installInto(root, names) {
  const source = (name) => join(LIBRARY, 'src', `${name}.ts`);
  await build({
    configFile: false,
    plugins: broken(),
    logLevel: 'error',
    oxc: { decorator: { legacy: true, emitDecoratorMetadata: true } },
    build: {
      ssr: true,
      outDir: join(root, 'dist'),
      rollupOptions: {
        input: Object.fromEntries(names.map((name) => [name, source(name)])),
        output: { entryFileNames: '[name].js', chunkFileNames: 'chunks/[name].js' },
      },
    },
  });
  cpSync(join(LIBRARY, 'package.json'), join(root, 'package.json'));
  const schematics = join(LIBRARY, 'src/schematics');
  for (const name of readdirSync(schematics).filter((file) => file.endsWith('.json')))
    cpSync(join(schematics, name), join(root, 'src/schematics', name));
  linkDependencies(root);
}

/** The packages that only the library has are in its own folder. */
function linkDependencies(root) {
  const { dependencies } = JSON.parse(readFileSync(join(LIBRARY, 'package.json'), 'utf8'));
  for (const name of Object.keys(dependencies)) {
    const own = join(LIBRARY, 'node_modules', name);
    if (!existsSync(own)) continue;
    const link = join(root, 'node_modules', name);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(own, link, 'junction');
  }
}
