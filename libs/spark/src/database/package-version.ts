import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** A package and its version for messages: `pg 8.16.3`. Only the name if the files of the package cannot be found. */
export function nameAndVersion(name: string): string {
  try {
    // Drivers are resolved from TypeORM, which loads them.
    const typeorm = createRequire(import.meta.url).resolve('typeorm');
    const { version } = manifestOf(name, name === 'typeorm' ? typeorm : createRequire(typeorm).resolve(name));
    return `${name} ${version}`;
  } catch {
    return name;
  }
}

// Not all packages export their manifest, so it is searched in the folders above.
function manifestOf(name: string, file: string): { version: string } {
  for (let folder = dirname(file); ; folder = dirname(folder)) {
    const manifest = manifestIn(folder);
    if (manifest?.name === name) return manifest;
    if (folder === dirname(folder)) throw new Error(`${name} has no manifest`);
  }
}

function manifestIn(folder: string): { name: string; version: string } | undefined {
  try {
    return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { name: string; version: string };
  } catch {
    return undefined;
  }
}
