import { existsSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { lineOf, shown } from '../../error/text-of.js';
import { CommandError, MisuseError } from '../command.error.js';

/** A file of the application that was loaded: its path, and what it exports. */
export interface LoadedFile {
  readonly path: string;
  readonly exports: Readonly<Record<string, unknown>>;
}

/**
 * Loads a file of the application, an ES module, a CommonJS module or JSON.
 *
 * @param what what the file is for, for messages: `data source`
 * @throws MisuseError if there is no such file, or Node.js cannot read it; CommandError if its own code throws
 */
export async function loadFile(file: string, what: string): Promise<LoadedFile> {
  const path = resolve(file);
  if (!existsSync(path) || !statSync(path).isFile())
    throw new MisuseError(`There is no ${what} file ${shown(path)}. Is it built?`);
  try {
    const { href } = pathToFileURL(path);
    const given = path.endsWith('.json') ? { with: { type: 'json' } } : undefined;
    const loaded = (await import(href, given)) as Record<string, unknown>;
    return { path, exports: flat(loaded) };
  } catch (error) {
    throw unloadable(path, what, error);
  }
}

/** The exports of a CommonJS module, which Node.js puts into `default`, beside those of an ES module. */
function flat(loaded: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { default: main, 'module.exports': _, ...named } = loaded;
  if (typeof main !== 'object' || main === null || Object.getPrototypeOf(main) !== Object.prototype)
    return { ...loaded };
  return { default: main, ...main, ...named };
}

// What Node.js says of TypeScript that it does not run, or of imports that only a loader finds.
const OF_TYPESCRIPT = ['ERR_UNKNOWN_FILE_EXTENSION', 'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX', 'ERR_MODULE_NOT_FOUND'];

// Of an application, the loader must emit the metadata of decorators.
const LOADERS: Readonly<Record<string, string>> = { module: '@swc-node/register/esm-register' };

function unloadable(path: string, what: string, error: unknown): CommandError {
  const message = `${shown(path)} cannot be loaded: ${lineOf(error)}`;
  const code = (error as { code?: unknown } | null)?.code;
  const isSyntax = error instanceof SyntaxError;
  if (/\.[cm]?tsx?$/.test(path) && (isSyntax || OF_TYPESCRIPT.includes(code as string)))
    return new MisuseError(
      `${message}. Name the built .js file, or run TypeScript by a loader: NODE_OPTIONS="--import ${LOADERS[what] ?? 'tsx'}" npx spark …`,
      { cause: error },
    );
  if (isSyntax || code === 'ERR_MODULE_NOT_FOUND') return new MisuseError(message, { cause: error });
  return new CommandError(message, undefined, { cause: error });
}
