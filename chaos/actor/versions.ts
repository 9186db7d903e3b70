import type { Provider } from '@nestjs/common';
import type { Version } from '../faults.js';
import { Badge, Child, Effect, Family, Item, Outside } from './entities.js';
import { FormerHandlers, Handlers, NextHandlers, Work } from './handlers.js';
import { FormerSources, NextSources, Sources } from './sources.js';

/** What a process of a version is made of. */
interface Parts {
  readonly entities: (new () => object)[];
  readonly providers: Provider[];
}

const entities = [Item, Family, Child, Outside, Effect];
const providers = [Sources, Handlers, Work];

/** The versions of the application. What the next one renames it says so by `aliases`. */
export const APPLICATIONS: Record<Version, Parts> = {
  former: { entities, providers: [...providers, FormerSources, FormerHandlers] },
  next: { entities: [...entities, Badge], providers: [...providers, NextSources, NextHandlers] },
};
