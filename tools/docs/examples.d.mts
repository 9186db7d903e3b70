import type { Block } from './blocks.mjs';

/** An example of a page, as a module. */
export interface Example extends Block {
  /** The file of its module. */
  readonly file: string;
  /** The lines of the block without a language that follows it under the same heading; none if there is no such block. */
  readonly output: readonly string[];
}

/**
 * Writes the TypeScript examples of a page into a folder, each as a module, as it stands. What they import with `./` is `application.ts`.
 *
 * @param text the page
 * @param prefix how the names of the modules begin: one for each page
 */
export function writeExamples(folder: string, text: string, prefix: string): Example[];
