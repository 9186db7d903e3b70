import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import type { Tree } from '@angular-devkit/schematics';
import { SchematicTestRunner, UnitTestTree } from '@angular-devkit/schematics/testing/index.js';
import ts from 'typescript';
import { installInto } from '../../tools/bundle.mjs';

const ROOT = resolve(import.meta.dirname, '../..');
const MODULES = join(ROOT, 'node_modules');

/** How the generator of Nest makes an application. */
export type ModuleKind = 'esm' | 'cjs';

/** A folder in which the library is installed with its schematics, beside the packages of this repository. */
export class SchematicsFolder {
  readonly logs: string[] = [];
  private readonly fresh = new Map<ModuleKind, Tree>();

  private constructor(
    readonly folder: string,
    readonly runner: SchematicTestRunner,
  ) {
    runner.logger.subscribe(({ level, message }) => this.logs.push(`${level} ${message}`));
  }

  static async open(): Promise<SchematicsFolder> {
    const folder = mkdtempSync(join(tmpdir(), 'spark-fresh-'));
    const modules = join(folder, 'node_modules');
    mkdirSync(modules);
    for (const name of readdirSync(MODULES).filter((one) => !one.startsWith('.') && one !== 'nestjs-spark'))
      symlinkSync(join(MODULES, name), join(modules, name), 'junction');
    const library = join(modules, 'nestjs-spark');
    const names = ['index', 'testing/index', 'schematics/nest-add', 'schematics/source', 'schematics/handler'];
    await installInto(library, names);
    const collection = join(library, 'src/schematics/collection.json');
    return new SchematicsFolder(folder, new SchematicTestRunner('nestjs-spark', collection));
  }

  /** An application as `nest new` makes it. */
  async application(kind: ModuleKind): Promise<FreshApplication> {
    let tree = this.fresh.get(kind);
    if (!tree) {
      const options = { name: 'shop', directory: '.', type: kind };
      tree = await this.runner.runExternalSchematic('@nestjs/schematics', 'application', options);
      this.fresh.set(kind, tree);
    }
    return new FreshApplication(kind, this, new UnitTestTree(tree.branch()));
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** An application in memory, until it is written to the disk. */
export class FreshApplication {
  constructor(
    private readonly kind: ModuleKind,
    private readonly home: SchematicsFolder,
    private tree: UnitTestTree,
  ) {}

  /** The extension of relative imports. */
  get js(): string {
    return this.kind === 'esm' ? '.js' : '';
  }

  get files(): string[] {
    return this.tree.files;
  }

  read(path: string): string {
    return this.tree.readText(path);
  }

  /** Writes files, each with its text. */
  write(files: Readonly<Record<string, string>>): void {
    for (const [path, text] of Object.entries(files))
      if (this.tree.exists(path)) this.tree.overwrite(path, text);
      else this.tree.create(path, text);
  }

  remove(path: string): void {
    this.tree.delete(path);
  }

  /** Runs a schematic of the library. What it logs is returned. If it fails, the application stays as it was. */
  async run(schematic: string, options: object = {}): Promise<string[]> {
    this.home.logs.length = 0;
    this.tree = await this.home.runner.runSchematic(schematic, options, this.tree.branch());
    return [...this.home.logs];
  }

  /** Writes all files to a folder, and returns its path. */
  writeTo(name: string): string {
    const folder = join(this.home.folder, name);
    for (const path of this.files) {
      const file = join(folder, path);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, this.read(path));
    }
    return folder;
  }
}

/** What the compiler says about the sources of applications, with the options of the first one. It reads the library's own sources. */
export function compilerErrors(folders: readonly string[]): string[] {
  const [first] = folders;
  const { config } = ts.readConfigFile(join(first!, 'tsconfig.json'), ts.sys.readFile) as { config: object };
  const { options } = ts.parseJsonConfigFileContent({ ...config, files: [] }, ts.sys, first!);
  const files = folders.flatMap((folder) => ts.sys.readDirectory(join(folder, 'src'), ['.ts']));
  const library = (name: string) => [join(ROOT, 'libs/spark/src', `${name}.ts`)];
  const program = ts.createProgram(files, {
    ...options,
    noEmit: true,
    incremental: false,
    rootDir: undefined,
    typeRoots: undefined,
    types: ['vitest/globals', 'node'],
    paths: { 'nestjs-spark': library('index'), 'nestjs-spark/testing': library('testing/index') },
  });
  const found = files.flatMap((file) => {
    const source = program.getSourceFile(file)!;
    return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)];
  });
  const all = [...program.getOptionsDiagnostics(), ...found];
  return all.map(({ file, messageText }) => `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`);
}

/** Runs a program of a package in a folder, without the variables of this test run. */
export function runProgram(
  cwd: string,
  program: string,
  args: readonly string[],
): Promise<{ code: number | null; output: string }> {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(?:SPARK|VITEST|NODE_|TEST)/.test(name)),
  );
  const child = spawn(process.execPath, [join(MODULES, program), ...args], {
    cwd,
    env: { ...env, NO_COLOR: '1', CI: '1' },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += text));
  child.stdin.end();
  return new Promise((fulfil) =>
    child.on('close', (code) => fulfil({ code, output: stripVTControlCharacters(output) })),
  );
}
