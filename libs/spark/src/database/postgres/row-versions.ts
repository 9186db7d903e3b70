import type { EntityManager, EntityMetadata } from 'typeorm';
import { createHash } from 'node:crypto';
import { select } from '../statement.js';
import { tablePath } from '../table-names.js';
import type { RowVersions, TableVersions } from '../dialect.js';

interface TableRow {
  kind: string;
  has_children: boolean;
  has_policies: boolean;
  place: string;
  oldest: string;
  age: string | null;
}

// Transaction ids that are further apart cannot be compared. This is half of the way.
const FARTHEST = 1_000_000_000;

/**
 * Finds the rows of a table that have changed since a boundary. Each version of a row has the id of the transaction that wrote it, and a
 * boundary is the oldest transaction that had not ended at some time. A row whose transaction is older had been written and was visible
 * then. Transactions of savepoints are younger than the transaction around them, and prepared transactions have not ended.
 */
export const rowVersions: RowVersions = {
  async look(manager: EntityManager, metadata: EntityMetadata, boundary: string | undefined): Promise<TableVersions> {
    const [server] = await select<{ can: boolean }>(manager, CAN);
    if (!server!.can)
      return { obstacle: 'the server is older than PostgreSQL 14, or hides its identifier from this role' };
    const [xid, place] = boundary?.split('/') ?? [];
    const [table] = await select<TableRow>(manager, LOOK, { path: tablePath(metadata), xid: xid ?? null });
    if (!table || table.kind !== 'r') return { obstacle: 'it is not a plain table' };
    if (table.has_children) return { obstacle: 'other tables inherit from the table' };
    if (table.has_policies) return { obstacle: 'the table has row-level security' };
    const now = createHash('sha256').update(table.place).digest('hex').slice(0, 32);
    const next = `${table.oldest}/${now}`;
    if (boundary === undefined) return { boundary: next };
    if (place !== now) return { boundary: next, outdated: 'the table or its columns are not those of the last sweep' };
    if (Number(table.age) > FARTHEST)
      return { boundary: next, outdated: 'the last sweep is too many transactions ago' };
    return { boundary: next, isUsable: true };
  },

  changedSince(column, boundary) {
    return {
      sql: `age(${column('xmin')}) <= age(CAST(CAST(:spark_since AS xid8) AS xid))`,
      parameters: { spark_since: boundary.split('/')[0]! },
    };
  },
};

// The next query may only be sent where it is allowed: an error would end the transaction.
const CAN = `SELECT CAST(current_setting('server_version_num') AS int) >= 140000
  AND has_function_privilege('pg_control_system()', 'execute') AS can`;

/**
 * What a table is, and the oldest transaction that has not ended. `place` changes if the values of a row may change without a write of
 * the row: another table or server, a column that was dropped and added again, a renamed value of an enum, another generated expression.
 */
const LOOK = `SELECT CAST(c.relkind AS text) AS kind, c.relhassubclass AS has_children, c.relrowsecurity AS has_policies,
    CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS oldest,
    CAST(CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS numeric) - CAST(CAST(:xid AS text) AS numeric) AS text) AS age,
    concat_ws(' ', (SELECT system_identifier FROM pg_control_system()), c.oid, (
      SELECT string_agg(concat_ws(' ', a.attnum, a.attname, a.atttypid, a.atttypmod, CAST(a.attmissingval AS text), (
          SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d
          WHERE a.attgenerated <> '' AND d.adrelid = a.attrelid AND d.adnum = a.attnum
        ), (
          SELECT string_agg(concat_ws(' ', e.oid, e.enumlabel), ',' ORDER BY e.oid) FROM pg_enum e, pg_type t
          WHERE t.oid = a.atttypid AND e.enumtypid IN (t.oid, t.typelem, t.typbasetype)
        )), ';' ORDER BY a.attnum)
      FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    )) AS place
  FROM pg_class c WHERE c.oid = CAST(to_regclass(:path) AS oid)`;
