import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { mustRun } from './run.mjs';

const ROOT = resolve(import.meta.dirname, '../..');
const SCHEMATICS = join(ROOT, 'node_modules/@angular-devkit/schematics-cli/bin/schematics.js');
const SHOP = join(import.meta.dirname, 'shop');

export const KINDS = ['esm', 'cjs'];

/** What the applications install beside what Nest's generator asks for, in the versions of this repository. */
const NEEDED = [
  '@nestjs/common',
  '@nestjs/core',
  '@nestjs/platform-express',
  '@nestjs/schedule',
  '@nestjs/terminus',
  '@nestjs/typeorm',
  '@opentelemetry/api',
  '@opentelemetry/sdk-metrics',
  '@opentelemetry/sdk-trace-node',
  'pg',
  'reflect-metadata',
  'rxjs',
  'typeorm',
];
const NEEDED_TO_BUILD = ['@nestjs/cli', '@nestjs/schematics', '@types/node', 'typescript'];
/** The driver of SQLite has no binary for Node 20 that needs no compiler: see {@link sqliteDriver} of databases.mjs. */
const OTHERS = {
  'better-sqlite3-napi': 'npm:better-sqlite3@^13.2.0',
  '@swc-node/register': '^1.12.0',
  '@swc/core': '^1.15.0',
  tsx: '^4.20.0',
};

/**
 * Makes fresh applications outside of this repository, one of ES modules and one of CommonJS, as `nest new` does, and installs the packed
 * libraries there. Each is built.
 *
 * @param home an empty folder
 */
export async function makeApplications(home) {
  const [pristine, packed] = await Promise.all([generate(home), pack(home)]);
  const first = join(home, KINDS[0]);
  for (const kind of KINDS) setUp(join(home, kind), pristine[kind], packed);
  await mustRun('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', '--ignore-scripts'], { cwd: first });
  for (const kind of KINDS.slice(1))
    cpSync(join(first, 'node_modules'), join(home, kind, 'node_modules'), { recursive: true, verbatimSymlinks: true });
  await Promise.all(KINDS.map((kind) => build(join(home, kind), process.execPath)));
}

/** Builds an application by Nest's CLI. */
export const build = (folder, node) => nest(folder, node, ['build']);

/** Runs Nest's CLI in an application. Returns what it prints. */
export const nest = (folder, node, args) =>
  mustRun(node, [join(folder, 'node_modules/@nestjs/cli/bin/nest.js'), ...args], { cwd: folder });

/** A copy of an application as it was generated, with TypeORM and an entity. Its packages are those of the application. */
export function pristineCopy(home, kind, name) {
  const folder = join(home, name);
  cpSync(join(home, `pristine-${kind}`), folder, { recursive: true });
  cpSync(join(home, kind, 'package.json'), join(folder, 'package.json'));
  symlinkSync(join(home, kind, 'node_modules'), join(folder, 'node_modules'), 'junction');
  for (const file of ['order.entity.ts', 'database.ts']) cpSync(join(SHOP, file), join(folder, 'src', file));
  const file = join(folder, 'src/app.module.ts');
  const options = '{ ...database(), entities: [Order], synchronize: true }';
  const text = readFileSync(file, 'utf8')
    .replace('imports: []', `imports: [TypeOrmModule.forRoot(${options})]`)
    .replace(/^/, IMPORTS);
  writeFileSync(file, text);
  return folder;
}

const IMPORTS = `import { TypeOrmModule } from '@nestjs/typeorm';
import { database } from './database.js';
import { Order } from './order.entity.js';
`;

async function generate(home) {
  const made = await Promise.all(
    KINDS.map(async (kind) => {
      const name = `pristine-${kind}`;
      const args = [`--name=shop`, `--directory=${name}`, `--type=${kind}`, '--spec=false', '--no-interactive'];
      await mustRun(process.execPath, [SCHEMATICS, '@nestjs/schematics:application', ...args], { cwd: home });
      const folder = join(home, name);
      const config = JSON.parse(readFileSync(join(folder, 'tsconfig.json'), 'utf8'));
      // The applications have no test runner.
      config.compilerOptions.types = ['node'];
      writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config, null, 2));
      rmSync(join(folder, 'test'), { recursive: true, force: true });
      return [kind, folder];
    }),
  );
  return Object.fromEntries(made);
}

async function pack(home) {
  const folder = join(home, 'packed');
  mkdirSync(folder);
  const libraries = ['libs/spark', 'libs/spark-dashboard', 'libs/spark-bullmq'].flatMap((library) => ['-w', library]);
  await mustRun('npm', ['pack', ...libraries, '--pack-destination', folder], { cwd: ROOT });
  return Object.fromEntries(
    readdirSync(folder).map((file) => [file.replace(/-\d+\.\d+\.\d+.*$/, ''), `file:${join(folder, file)}`]),
  );
}

function setUp(folder, pristine, packed) {
  cpSync(pristine, folder, { recursive: true });
  cpSync(SHOP, join(folder, 'src'), { recursive: true });
  const file = join(folder, 'package.json');
  const generated = JSON.parse(readFileSync(file, 'utf8'));
  const dependencies = { ...versionsOf(NEEDED), ...OTHERS, ...packed };
  const all = { ...generated, dependencies, devDependencies: versionsOf(NEEDED_TO_BUILD) };
  writeFileSync(file, JSON.stringify(all, null, 2));
}

function versionsOf(names) {
  const { devDependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  return Object.fromEntries(names.map((name) => [name, devDependencies[name]]));
}
