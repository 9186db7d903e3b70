import { posix } from 'node:path';
import type { Tree } from '@angular-devkit/schematics';
import { isEsmProject, isInRootDirectory, normalizeToKebabOrSnakeCase } from '@nestjs/schematics';

/** The options that Nest's CLI passes to a schematic that generates a class. */
export interface ClassOptions {
  /** The name, after folders if there are any: `challenge`, `challenges/challenge`. */
  readonly name: string;
  /** The folder, from the source root. Default: none. */
  readonly path?: string;
  /** Default: `src`. */
  readonly sourceRoot?: string;
  /** Whether the files get no folder of their own. Default: false. */
  readonly flat?: boolean;
  /** Whether a spec file is generated. Default: true. */
  readonly spec?: boolean;
  /** Default: `spec`. */
  readonly specFileSuffix?: string;
  /** Whether no module gets the class as a provider. Default: false. */
  readonly skipImport?: boolean;
  /** Whether Prettier formats the files. Default: false. */
  readonly format?: boolean;
  readonly language?: string;
}

export type Kind = 'source' | 'handler';

/** Where a class is generated, and what it is called. */
export interface Place {
  /** `challenge-ended` */
  readonly name: string;
  /** `ChallengeEndedHandler` */
  readonly className: string;
  /** `/src/challenge-ended` */
  readonly folder: string;
  /** Its file without the extension: `/src/challenge-ended/challenge-ended.handler` */
  readonly file: string;
  /** Whether relative imports need an extension. */
  readonly isEsm: boolean;
}

const NAME = /^\p{L}[\p{L}\p{N}]*(?:[-_][\p{L}\p{N}]+)*$/u;

/**
 * Finds the place of a class, as Nest's own schematics do.
 *
 * @throws Error when the name cannot be that of a class
 */
export function placeOf(tree: Tree, options: ClassOptions, kind: Kind): Place {
  const path = normalizeToKebabOrSnakeCase(posix.join('/', options.path ?? '', options.name));
  const name = posix.basename(path);
  if (!NAME.test(name))
    throw new Error(
      `"${options.name}" cannot be the name of a ${kind}. Use letters, digits, - and _, beginning with a letter, such as ` +
        `challenge or challenge-ended. Folders may come before it: challenges/challenge.`,
    );
  // Nest's CLI may run in a folder of the application, too.
  const isInRoot = isInRootDirectory(tree, ['tsconfig.json', 'package.json']);
  const root = isInRoot ? (options.sourceRoot ?? 'src') : '';
  const folder = posix.join('/', root, posix.dirname(path), options.flat === true ? '' : name);
  return {
    name,
    className: pascalCase(name) + pascalCase(kind),
    folder,
    file: posix.join(folder, `${name}.${kind}`),
    isEsm: isEsmProject(tree),
  };
}

/** `ChallengeEnded` for `challenge-ended`. */
export function pascalCase(name: string): string {
  const words = name.split(/[-_]/);
  return words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join('');
}

/** How a file imports another one: `./challenge.entity.js`. Both are paths without or with `.ts`. */
export function importPath(from: string, to: string, isEsm: boolean): string {
  const path = posix.relative(posix.dirname(from), to).replace(/\.ts$/, '');
  return `${path.startsWith('../') ? path : `./${path}`}${isEsm ? '.js' : ''}`;
}
