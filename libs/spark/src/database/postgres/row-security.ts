import type { EntityManager } from 'typeorm';
import { select } from '../statement.js';

/** The positions of the tables of which PostgreSQL hides rows from the role of the connection. Other databases hide none. */
export async function hiddenTables(manager: EntityManager, paths: readonly string[]): Promise<number[]> {
  if (manager.dataSource.options.type !== 'postgres' || paths.length === 0) return [];
  const rows = await select<{ place: number }>(
    manager,
    `SELECT place FROM unnest(CAST(:paths AS text[])) WITH ORDINALITY AS t(path, place)
     WHERE row_security_active(CAST(to_regclass(path) AS oid))`,
    { paths },
  );
  return rows.map(({ place }) => Number(place) - 1);
}
