import type { DirEntry } from '@angular-devkit/schematics';

/** A TypeScript file of the application. Its path begins at the folder of the application: `/src/app.module.ts`. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

const SKIPPED_FOLDER = /^(?:node_modules|dist|coverage|\..*)$/;
const SOURCE_FILE = /(?<!\.d|[.-](?:spec|test))\.ts$/;

/** All TypeScript files below a folder, without declarations, tests, and what is installed or built. */
export function* sourceFiles(folder: DirEntry): Generator<SourceFile> {
  for (const name of folder.subfiles) {
    const file = SOURCE_FILE.test(name) ? folder.file(name) : null;
    if (file) yield { path: file.path, text: file.content.toString() };
  }
  for (const name of folder.subdirs) if (!SKIPPED_FOLDER.test(name)) yield* sourceFiles(folder.dir(name));
}

/** A path as messages show it. */
export const shown = (path: string): string => path.replace(/^\//, '');
