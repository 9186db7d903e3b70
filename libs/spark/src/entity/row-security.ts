import type { EntityManager, EntityMetadata } from 'typeorm';
import { hiddenTables } from '../database/postgres/row-security.js';
import { tablePath } from '../database/table-names.js';
import { HiddenRowError } from '../error/hidden-row.error.js';
import { rootOf } from './entity-table.js';

const hidden = new WeakSet<EntityMetadata>();

/** The entities whose rows PostgreSQL hides from the role of the connection, except those that a policy allows. */
export async function findHidden(
  manager: EntityManager,
  entities: readonly EntityMetadata[],
): Promise<readonly EntityMetadata[]> {
  const paths = entities.map(tablePath);
  const found = (await hiddenTables(manager, paths)).map((place) => entities[place]!);
  for (const metadata of found) hidden.add(rootOf(metadata));
  return found;
}

/** Throws HiddenRowError when a row was not found and row-level security may hide it. */
export function refuseHidden(metadata: EntityMetadata, id: string): void {
  if (hidden.has(rootOf(metadata))) throw new HiddenRowError(metadata.name, id);
}
