import type { Provider } from '@nestjs/common';
import type { Version } from '../faults.js';
import { Badge, Child, Clan, Effect, Family, Item, Member, Outside } from './entities.js';
import { FormerHandlers, Handlers, NextHandlers, Work } from './handlers.js';
import { FormerSources, NextSources, Sources } from './sources.js';

/** What a process of a version is made of. */
interface Parts {
  readonly entities: (new () => object)[];
  readonly providers: Provider[];
}

const entities = [Item, Outside, Effect];
const providers = [Sources, Handlers, Work];

/** The versions of the application. Of sources and handlers the next one names the old names; classes are known by their tables. */
export const APPLICATIONS: Record<Version, Parts> = {
  former: { entities: [...entities, Family, Child], providers: [...providers, FormerSources, FormerHandlers] },
  next: { entities: [...entities, Clan, Member, Badge], providers: [...providers, NextSources, NextHandlers] },
};
