import { posix } from 'node:path';
import type { Rule, Tree } from '@angular-devkit/schematics';
import { normalizeToKebabOrSnakeCase } from '@nestjs/schematics';
import { type EntityClass, entityIn, findEntity } from './entity-class.js';
import { generateClass, type Logger } from './generate-class.js';
import { type ClassOptions, importPath, pascalCase, type Place } from './place.js';
import { sourceSpecText, sourceText } from './source-texts.js';
import { shown } from './source-files.js';

export interface SourceOptions extends ClassOptions {
  /** The class of the entity, after its file if that is needed: `Challenge`, `src/challenge.entity.ts#Challenge`. */
  readonly entity?: string;
}

/** `nest g -c nestjs-spark source challenge`: an event source of an entity. */
export function source(options: SourceOptions): Rule {
  return generateClass('source', options, (tree, place, logger) => {
    const entity = entityOf(tree, options.entity, place, logger);
    const { className, file, isEsm } = place;
    const names = { className, file: posix.basename(file), isEsm, entity, from: importPath(file, entity.file, isEsm) };
    return { text: sourceText(names), spec: sourceSpecText(names) };
  });
}

function entityOf(tree: Tree, given: string | undefined, place: Place, logger: Logger): EntityClass {
  const names = given === undefined ? guesses(place.name) : [classNameIn(given)];
  const file = given?.includes('#') ? posix.join('/', given.slice(0, given.indexOf('#'))) : undefined;
  const found = file === undefined ? findEntity(tree, names, place.folder) : entityIn(tree, file, names[0]!);
  if (found) return withKeys(found, logger);
  if (file !== undefined)
    throw new Error(`${shown(file)} exports no class ${names[0]}. Correct --entity. Nothing was changed.`);
  const name = names[0]!;
  const guess = posix.join(place.folder, `${normalizeToKebabOrSnakeCase(name)}.entity.ts`);
  logger.warn(
    `There is no exported class ${name}. ${shown(place.file)}.ts imports it from ${shown(guess)}: write it there, or correct the import.`,
  );
  return { name, file: guess, keys: ['id'] };
}

/** The classes that the name of a source may stand for: `challenges` for `Challenge`, too. */
function guesses(name: string): string[] {
  const names = [pascalCase(name), pascalCase(name).replace(/s$/, '')];
  return [...new Set(names)];
}

function classNameIn(entity: string): string {
  const name = entity.slice(entity.indexOf('#') + 1);
  if (/^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(name)) return name;
  throw new Error(
    `"${entity}" cannot be an entity. Write its class, such as --entity=Challenge or --entity=src/challenge.entity.ts#Challenge. ` +
      `Nothing was changed.`,
  );
}

function withKeys(entity: EntityClass, logger: Logger): EntityClass {
  if (entity.keys.length > 0) return entity;
  logger.warn(
    `${entity.name} in ${shown(entity.file)} has no primary key. The source uses id: write it, or correct the source.`,
  );
  return { ...entity, keys: ['id'] };
}
