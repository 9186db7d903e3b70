import { MetadataManager } from '@nestjs/schematics';
import { withImport } from './syntax.js';

/** What is added to the metadata of a module. */
export interface ModuleElement {
  readonly list: 'imports' | 'providers';
  /** The element as it is written: `SparkModule.forRoot()`. */
  readonly element: string;
  /** The class in it, which the file has to import. */
  readonly className: string;
  /** What it is imported from. */
  readonly from: string;
}

/**
 * The text of a module with an element at the end of a list of its metadata. Undefined if the text has no `@Module()`, if the list is
 * not written as an array, or if it has the element already.
 */
export function withElement(text: string, { list, element, className, from }: ModuleElement): string | undefined {
  const changed = new MetadataManager(text).insert(list, element);
  return changed === undefined || changed === text ? undefined : withImport(changed, className, from);
}
