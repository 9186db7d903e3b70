import { shown } from '../../error/text-of.js';
import { MisuseError } from '../command.error.js';
import { loadFile } from './load-file.js';

/** A module of an application: a class, or a dynamic module. */
export type ApplicationModule =
  (new (...args: any[]) => unknown) | { readonly module: new (...args: any[]) => unknown };

/**
 * Loads the module of an application.
 *
 * @param given `dist/app.module.js#AppModule`. Without a name, it is the default export, or else the export `AppModule`.
 * @throws MisuseError if the file does not export it
 */
export async function loadModule(given: string): Promise<ApplicationModule> {
  const [, file = '', name] = /^(.*?)(?:#([^#/\\]*))?$/s.exec(given)!;
  const { path, exports } = await loadFile(file, 'module');
  const names = name === undefined || name === '' ? ['default', 'AppModule'] : [name];
  const found: unknown = names.map((one) => exports[one]).find(isModule);
  if (isModule(found)) return found;
  const known = Object.keys(exports).map(shown).join(', ') || 'nothing';
  throw new MisuseError(
    `${shown(path)} exports no module${name ? ` named ${shown(name)}` : ''}. It exports ${known}. Write: --module file.js#AppModule`,
  );
}

const isModule = (value: unknown): value is ApplicationModule =>
  (typeof value === 'function' && value.prototype !== undefined) ||
  (typeof value === 'object' && value !== null && typeof (value as { module?: unknown }).module === 'function');
