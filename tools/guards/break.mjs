import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '../..');

/** Replaces a text that must stand in a source exactly once. */
export function replaceOnce(source, { file, from, to }) {
  const found = source.split(from).length - 1;
  if (found !== 1) throw new Error(`${file} holds the text of the guard ${found} times instead of once:\n${from}`);
  return source.replace(from, () => to);
}

/** What is wrong with a guard whose text does not stand in its file exactly once; undefined where it does. */
export function flawOf(guard) {
  try {
    replaceOnce(readFileSync(resolve(ROOT, guard.file), 'utf8'), guard);
    return undefined;
  } catch (error) {
    return `${guard.name}: ${error.message}`;
  }
}

/**
 * A plugin of Vite that takes a guard out while its file is loaded: that of the variable SPARK_BROKEN, if there is one. Nothing is
 * written anywhere, so that several runs may go on side by side.
 */
export function broken() {
  const given = process.env.SPARK_BROKEN;
  if (given === undefined) return [];
  const guard = JSON.parse(given);
  const path = resolve(ROOT, guard.file).replaceAll('\\', '/');
  return [
    {
      name: 'spark-broken',
      enforce: 'pre',
      transform: (code, id) => (id.split('?')[0] === path ? { code: replaceOnce(code, guard), map: null } : undefined),
    },
  ];
}
