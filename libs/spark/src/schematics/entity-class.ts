import { posix } from 'node:path';
import type { Tree } from '@angular-devkit/schematics';
import ts from 'typescript';
import { sourceFiles } from './source-files.js';
import { decoratorNames, parse } from './syntax.js';

/** An entity as the application declares it. */
export interface EntityClass {
  /** The name of its class. */
  readonly name: string;
  /** Its file: `/src/challenge.entity.ts`. */
  readonly file: string;
  /** The properties of its primary key; none if they were not found. */
  readonly keys: readonly string[];
}

interface Candidate extends EntityClass {
  readonly isDecorated: boolean;
}

/** Finds the exported class with one of these names: rather an entity than another class, then by the names, then the nearest. */
export function findEntity(tree: Tree, names: readonly string[], folder: string): EntityClass | undefined {
  const candidates: Candidate[] = [];
  for (const { path, text } of sourceFiles(tree.root))
    for (const name of names) {
      const found = text.includes(`class ${name}`) ? classIn(text, name, path) : undefined;
      if (found) candidates.push(found);
    }
  const rank = ({ isDecorated, name, file }: Candidate) => [
    isDecorated ? 0 : 1,
    names.indexOf(name),
    posix.relative(folder, file).split('/').length,
  ];
  return candidates.sort((one, other) => compare(rank(one), rank(other)))[0];
}

/** The class that a file exports under a name. */
export function entityIn(tree: Tree, file: string, name: string): EntityClass | undefined {
  return tree.exists(file) ? classIn(tree.readText(file), name, file) : undefined;
}

function classIn(text: string, name: string, file: string): Candidate | undefined {
  const classes = parse(text).statements.filter(ts.isClassDeclaration);
  const found = classes.find((one) => one.name?.text === name && isExported(one));
  return found && { name, file, keys: keysOf(found), isDecorated: decoratorNames(found).some(isEntityDecorator) };
}

function isExported({ modifiers }: ts.ClassDeclaration): boolean {
  const kinds = modifiers?.map(({ kind }) => kind) ?? [];
  return kinds.includes(ts.SyntaxKind.ExportKeyword) && !kinds.includes(ts.SyntaxKind.DefaultKeyword);
}

const isEntityDecorator = (name: string): boolean => /^(?:Child)?Entity$/.test(name);

function keysOf({ members, heritageClauses }: ts.ClassDeclaration): string[] {
  const properties = members.filter(ts.isPropertyDeclaration);
  const isKey = (one: ts.PropertyDeclaration) => decoratorNames(one).some((name) => /^Primary.*Column$/.test(name));
  const keys = properties.filter(isKey).flatMap(({ name }) => (ts.isIdentifier(name) ? [name.text] : []));
  if (keys.length > 0) return keys;
  const hasId = properties.some(({ name }) => ts.isIdentifier(name) && name.text === 'id');
  const hasParent = heritageClauses?.some(({ token }) => token === ts.SyntaxKind.ExtendsKeyword) ?? false;
  return hasId || hasParent ? ['id'] : [];
}

function compare(one: readonly number[], other: readonly number[]): number {
  const differences = one.map((value, i) => value - other[i]!);
  return differences.find((difference) => difference !== 0) ?? 0;
}
