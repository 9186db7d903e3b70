import type { Rule, SchematicContext, Tree } from '@angular-devkit/schematics';
import { formatFiles, ModuleFinder, normalizeToKebabOrSnakeCase } from '@nestjs/schematics';
import { withElement } from './module-file.js';
import { type ClassOptions, importPath, type Kind, type Place, placeOf } from './place.js';
import { shown } from './source-files.js';

export type Logger = SchematicContext['logger'];

/** The texts of the files of a class. */
export interface ClassTexts {
  readonly text: string;
  readonly spec: string;
}

/** A schematic that generates a class and its spec, and makes the class a provider of the nearest module. */
export function generateClass(
  kind: Kind,
  options: ClassOptions,
  write: (tree: Tree, place: Place, logger: Logger) => ClassTexts,
): Rule {
  return (tree, { logger }) => {
    if (options.language === 'js')
      throw new Error(`The schematics of nestjs-spark write TypeScript. Nothing was changed.`);
    const place = placeOf(tree, options, kind);
    const suffix = normalizeToKebabOrSnakeCase(options.specFileSuffix ?? 'spec');
    const [file, specFile] = [`${place.file}.ts`, `${place.file}.${suffix}.ts`];
    const files = options.spec === false ? [file] : [file, specFile];
    for (const path of files) mustBeNew(tree, path);
    const { text, spec } = write(tree, place, logger);
    for (const path of files) tree.create(path, path === file ? text : spec);
    if (options.skipImport !== true) provide(tree, place, logger);
    return options.format === true ? formatFiles() : tree;
  };
}

function mustBeNew(tree: Tree, path: string): void {
  if (tree.exists(path))
    throw new Error(`${shown(path)} exists already. Remove it, or choose another name. Nothing was changed.`);
}

function provide(tree: Tree, { folder, file, className, isEsm }: Place, logger: Logger): void {
  const path = new ModuleFinder(tree).find({ path: tree.getDir(folder).path });
  if (path === null) {
    logger.warn(
      `There is no module above ${shown(folder)}. Add ${className} to the providers of one: Spark does not find it before.`,
    );
    return;
  }
  const from = importPath(path, file, isEsm);
  const text = withElement(tree.readText(path), { list: 'providers', element: className, className, from });
  if (text === undefined)
    logger.warn(
      `${shown(path)} was not changed. See that ${className} is in the providers of a module: Spark does not find it otherwise.`,
    );
  else tree.overwrite(path, text);
}
