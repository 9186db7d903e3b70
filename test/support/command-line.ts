import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { DataSourceOptions } from 'typeorm';
import { install } from '../../tools/bundle.mjs';
import type { TestDatabase } from './databases.js';

/** How a command has ended. */
export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The objects on stdout. */
  readonly json: any[];
}

/** A command that runs. */
export interface RunningCommand {
  readonly process: ChildProcessWithoutNullStreams;
  readonly ended: Promise<Ended>;
}

/** The program `spark` as an application has installed it. */
export interface CommandLine {
  readonly folder: string;
  /** The file of the program. */
  readonly bin: string;
  /** Writes a file of the application, and returns its path. */
  write(name: string, text: string): string;
  /** Removes a file of the application. */
  unlink(name: string): void;
  /** Runs a command to its end, in the folder of the application. */
  run(args: readonly string[], env?: NodeJS.ProcessEnv): Promise<Ended>;
  start(args: readonly string[], env?: NodeJS.ProcessEnv): RunningCommand;
  remove(): void;
}

/** Installs the program into a folder of its own. It loads packages from a few files, unless they are not to be linked. */
export async function commandLine({ isLinked = true } = {}): Promise<CommandLine> {
  const { folder, bin, remove } = await install({ isLinked });
  const start = (args: readonly string[], env: NodeJS.ProcessEnv = {}): RunningCommand => {
    const child = spawn(process.execPath, [bin, ...args], { cwd: folder, env: { ...environment(), ...env } });
    return { process: child, ended: ended(child) };
  };
  return {
    folder,
    bin,
    start,
    remove,
    run: (args, env) => start(args, env).ended,
    write: (name, text) => {
      const path = join(folder, name);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
      return path;
    },
    unlink: (name) => rmSync(join(folder, name)),
  };
}

function environment(): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _, ...env } = process.env;
  return Object.fromEntries(Object.entries(env).filter(([name]) => !/^(SPARK|VITEST)/.test(name)));
}

function ended(child: ChildProcessWithoutNullStreams): Promise<Ended> {
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (text) => (stdout += text));
  child.stderr.on('data', (text) => (stderr += text));
  child.stdin.end();
  return new Promise((fulfil) => {
    child.on('close', (code) => {
      const lines = stdout.split('\n').filter((line) => line.startsWith('{'));
      fulfil({ code, stdout, stderr, json: lines.map((line) => JSON.parse(line) as unknown) });
    });
  });
}

/** How a file of the application is written: as an ES module, or for CommonJS. */
export type ModuleKind = 'esm' | 'cjs';

/** The text of a file that imports names and exports others. `body` is the same for both kinds. */
export function moduleText(
  kind: ModuleKind,
  imports: Readonly<Record<string, readonly string[]>>,
  body: string,
  exported: readonly string[],
): string {
  const lines = Object.entries(imports).map(([from, names]) =>
    kind === 'esm'
      ? `import { ${names.join(', ')} } from '${from}';`
      : `const { ${names.join(', ')} } = require('${from}');`,
  );
  const last = kind === 'esm' ? `export { ${exported.join(', ')} };` : `module.exports = { ${exported.join(', ')} };`;
  return [...lines, body, last, ''].join('\n');
}

/** The options of a database as JavaScript for a file of an application. */
export function optionsText({ options }: TestDatabase): string {
  const { driver, ...rest } = options as DataSourceOptions & { driver?: unknown };
  const text = JSON.stringify(rest).slice(1, -1);
  if (driver === undefined) return text;
  return `${text}, driver: createRequire('${import.meta.url}')(Number(process.versions.napi) >= 10 ? 'better-sqlite3-napi' : 'better-sqlite3')`;
}

/** The text of a file that exports the DataSource of a database, with entities that have a number as their id. */
export function dataSourceText(
  kind: ModuleKind,
  database: TestDatabase,
  entities: readonly string[] = [],
  more = '',
): string {
  const schemas = entities.map(
    (name) => `new EntitySchema({ name: '${name}', columns: { id: { type: 'int', primary: true } } })`,
  );
  const body = `const dataSource = new DataSource({ ${optionsText(database)}, entities: [${schemas.join(', ')}], ${more} });`;
  const imports = { 'node:module': ['createRequire'], typeorm: ['DataSource', 'EntitySchema'] };
  return moduleText(kind, imports, body, ['dataSource']);
}

/** It clears the screen, sets the title of the window, hides text, and turns it around. */
export const HOSTILE = '\x1b[2J\x1b]0;owned\x07\u009b31m\u202eevil\r\nnext';

/** What a terminal acts on. */
// eslint-disable-next-line no-control-regex -- that is what it is about
export const RAW = /[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/;

/** An application in JavaScript. */
export interface ApplicationText {
  /** The name of its entity, which has a number as its id and a text as its state. Its table has that name in lower case. */
  readonly entity: string;
  /** The members of its one provider. */
  readonly members: string;
  /** A decorator for each of them, as it is called: `EventSource(Order, { name: 'orders' })`. */
  readonly decorators: Readonly<Record<string, string>>;
  /** The options of its SparkModule. */
  readonly spark?: string;
}

const OF_APPLICATION = {
  'node:module': ['createRequire'],
  '@nestjs/common': ['Module'],
  '@nestjs/schedule': ['ScheduleModule', 'Timeout'],
  '@nestjs/typeorm': ['TypeOrmModule'],
  'nestjs-spark': ['EventSource', 'GroupHandler', 'sparkEvent', 'SparkModule'],
  typeorm: ['EntitySchema'],
};

/** The text of a file that exports the module of an application, `AppModule`. */
export function applicationText(
  kind: ModuleKind,
  database: TestDatabase,
  { entity, members, decorators, spark = '' }: ApplicationText,
): string {
  const calls = Object.entries(decorators).map(([member, decorator]) => `${member}: ${decorator}`);
  const columns = `{ id: { type: 'int', primary: true }, state: { type: 'varchar' } }`;
  const body = `
class ${entity} {}
const schema = new EntitySchema({ name: '${entity}', target: ${entity}, tableName: '${entity.toLowerCase()}', columns: ${columns} });
class Plain {}
const plain = new EntitySchema({ name: 'Plain', target: Plain, columns: { id: { type: 'int', primary: true } } });
class Provider {
${members}
}
for (const [member, decorator] of Object.entries({ ${calls.join(', ')} }))
  decorator(Provider.prototype, member, Object.getOwnPropertyDescriptor(Provider.prototype, member));
class AppModule {}
Module({
  imports: [
    TypeOrmModule.forRoot({ ${optionsText(database)}, entities: [schema, plain], retryAttempts: 0 }),
    ScheduleModule.forRoot(),
    SparkModule.forRoot({ ${spark} }),
  ],
  providers: [Provider],
})(AppModule);
`;
  return moduleText(kind, OF_APPLICATION, body, ['AppModule']);
}
