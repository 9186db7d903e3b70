import { Client } from 'pg';
import { isSparks, VERSION } from './spark-tables.js';
import { untilNone } from './until-none.js';

/** The planner takes a table that was never analysed for one of at least so many pages. What is smaller is as good as new. */
const PAGES = 10;

/**
 * Empties Spark's tables on PostgreSQL, and drops all other tables, views, types and schemas.
 *
 * @returns what the catalogues say then, in short: it is the same again if nobody has changed anything else since
 * @throws if somebody stays connected
 */
export async function cleanPostgres(url: string): Promise<string> {
  const client = new Client({ connectionString: url, options: '-c lock_timeout=5000' });
  // It may be the server that ends the connection.
  client.on('error', () => undefined);
  await client.connect();
  try {
    await untilNone(async () => (await client.query(OTHERS)).rows.length);
    const { rows: present } = await client.query<Relation>(RELATIONS);
    await client.query(cleaning(present).join(';\n'));
    return JSON.stringify((await client.query(SAID)).rows);
  } finally {
    await client.end();
  }
}

interface Relation {
  /** `TABLE`, `VIEW`, `TYPE` … */
  readonly kind: string;
  /** As it is written in SQL. */
  readonly name: string;
  readonly pages: number;
}

const OTHERS = `SELECT pid FROM pg_stat_activity
  WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()`;

const RELATIONS = `
  SELECT CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END AS kind,
    quote_ident(relname) AS name,
    ((pg_relation_size(oid) + coalesce(pg_relation_size(reltoastrelid), 0)) / current_setting('block_size')::int)::int AS pages
  FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND relnamespace = 'public'::regnamespace
  UNION ALL SELECT 'SCHEMA', quote_ident(nspname), 0 FROM pg_namespace WHERE oid >= 16384
  UNION ALL SELECT 'TYPE', oid::regtype::text, 0 FROM pg_type WHERE typtype IN ('e', 'd') AND typnamespace = 'public'::regnamespace`;

function cleaning(present: readonly Relation[]): string[] {
  const own = present.filter(({ kind, name }) => kind === 'TABLE' && isSparks(name));
  const others = present.filter((one) => !own.includes(one) && one.name !== VERSION);
  const large = own.filter(({ pages }) => pages > PAGES).map(({ name }) => name);
  return [
    ...others.map(({ kind, name }) => `DROP ${kind} IF EXISTS ${name} CASCADE`),
    ...(large.length > 0 ? [`TRUNCATE ${large.join(', ')}`] : []),
    ...own.filter(({ pages }) => pages > 0 && pages <= PAGES).map(({ name }) => `DELETE FROM ${name}`),
    'SELECT setval(seqrelid, seqstart, false) FROM pg_sequence',
    'SELECT pg_stat_reset()',
  ];
}

// Whoever adds an object of another kind, such as a trigger or a type, adds a row to pg_depend, too.
const CATALOGS = [
  'pg_attribute',
  'pg_constraint',
  'pg_default_acl',
  'pg_depend',
  'pg_index',
  'pg_largeobject_metadata',
  'pg_namespace',
  'pg_proc',
  'pg_publication',
  'pg_sequence',
];

// What is written into pg_class without a change of the relation. The planner does not use what is said there of the size of an index.
const VOLATILE = `CASE relkind WHEN 'i' THEN '{relfilenode,relfrozenxid,relminmxid,relpages,reltuples}'
  ELSE '{relfilenode,relfrozenxid,relminmxid}' END::text[]`;

const SAID = `
  WITH own AS MATERIALIZED (SELECT oid, xmin, ctid FROM pg_database WHERE datname = current_database())
  SELECT (SELECT xmin || ' ' || ctid FROM own) AS database,
    ${CATALOGS.map((catalog) => `(${written(catalog)}) AS ${catalog}`).join(',\n    ')},
    (SELECT md5(string_agg((to_jsonb(c) - ${VOLATILE})::text, ' ' ORDER BY oid)) FROM pg_class c WHERE oid >= 16384) AS pg_class,
    (SELECT count(*) FROM pg_db_role_setting WHERE setdatabase = (SELECT oid FROM own)) AS settings,
    (SELECT count(*) FROM pg_shdepend WHERE dbid = (SELECT oid FROM own)) AS roles,
    (SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()) AS prepared,
    (SELECT count(*) FROM pg_replication_slots WHERE database = current_database()) AS slots,
    (SELECT string_agg(v::text, ' ') FROM ${VERSION} v) AS version`;

/** The statement that sums up a catalogue: how many rows there are, and each that was written since the database was made. */
function written(catalog: string): string {
  const since = `age(xmin) <= (SELECT age(xmin) FROM own)`;
  return `SELECT count(*) || ' ' || coalesce(md5(string_agg(ctid || ' ' || xmin, ' ') FILTER (WHERE ${since})), '') FROM ${catalog}`;
}
