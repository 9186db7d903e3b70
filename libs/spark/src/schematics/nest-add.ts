import { posix } from 'node:path';
import type { Rule, Tree } from '@angular-devkit/schematics';
import { withElement } from './module-file.js';
import { fixModule, nextSteps, noModule, noTypeOrm } from './nest-add-texts.js';
import { shown, sourceFiles } from './source-files.js';
import { callsForRoot } from './syntax.js';

export interface NestAddOptions {
  /** Where the sources of the application are. Default: `src`. */
  readonly sourceRoot?: string;
  /** The file of the root module. Default: `app.module.ts` in the source root. */
  readonly module?: string;
}

/** `nest add nestjs-spark`: imports SparkModule into the root module of an application. */
export function nestAdd({ sourceRoot = 'src', module }: NestAddOptions): Rule {
  return (tree, { logger }) => {
    const root = posix.join('/', sourceRoot);
    const present = fileThatCalls(tree, root, 'SparkModule');
    if (present !== undefined) {
      logger.info(`${shown(present)} has SparkModule already. Nothing was changed.`);
      return tree;
    }
    const file = rootModule(tree, root, module);
    if (fileThatCalls(tree, '/', 'TypeOrmModule') === undefined) throw new Error(noTypeOrm(shown(file)));
    const text = withElement(tree.readText(file), {
      list: 'imports',
      element: 'SparkModule.forRoot()',
      className: 'SparkModule',
      from: 'nestjs-spark',
    });
    if (text === undefined) throw new Error(fixModule(shown(file)));
    tree.overwrite(file, text);
    logger.info(nextSteps({ file: shown(file), missing: missingPackages(tree), hasHooks: hasHooks(tree, root) }));
    return tree;
  };
}

function fileThatCalls(tree: Tree, folder: string, module: string): string | undefined {
  for (const { path, text } of sourceFiles(tree.getDir(folder))) if (callsForRoot(text, module)) return path;
  return undefined;
}

function rootModule(tree: Tree, root: string, given: string | undefined): string {
  const file = given === undefined ? posix.join(root, 'app.module.ts') : posix.join('/', given);
  if (tree.exists(file)) return file;
  // In a monorepo, the root module has the name of its application.
  const modules = given === undefined ? tree.getDir(root).subfiles.filter((name) => name.endsWith('.module.ts')) : [];
  if (modules.length !== 1) throw new Error(noModule(shown(file)));
  return posix.join(root, modules[0]!);
}

const PEERS = ['@nestjs/schedule', '@nestjs/typeorm', 'typeorm'];

/** Packages that an application with Spark imports, or that a package manager may not install by itself. */
function missingPackages(tree: Tree): string[] {
  const text = tree.read('/package.json')?.toString();
  return text === undefined ? [] : PEERS.filter((name) => !text.includes(`"${name}"`));
}

const hasHooks = (tree: Tree, root: string): boolean =>
  tree.read(posix.join(root, 'main.ts'))?.includes('enableShutdownHooks') ?? false;
