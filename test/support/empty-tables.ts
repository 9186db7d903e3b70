import type { DataSource } from 'typeorm';

const TABLES = [
  'delivery',
  'attempt',
  'gathered',
  'throttle',
  'event',
  'recheck',
  'condition',
  'sweep',
  'sweep_range',
  'group',
  'alert',
];

/**
 * Empties Spark's tables and those of a test, as they are after the first boot of its processes: what they know of the code of sources
 * stays. Without that, a process that starts later takes rows of the test for older than its sources.
 */
export async function emptyTables(dataSource: DataSource, own: readonly string[]): Promise<void> {
  const rows: Record<string, string | null>[] = await dataSource.query(
    'SELECT source, code, seen_code, seen_at FROM spark_sweep',
  );
  for (const table of [...TABLES.map((name) => `spark_${name}`), ...own])
    await dataSource.query(`DELETE FROM ${dataSource.driver.escape(table)}`);
  for (const { source, code, seen_code: seen, seen_at: at } of rows) {
    const text = (value: string | null | undefined) => (value == null ? 'NULL' : `'${value}'`);
    const values = [source, code, seen].map(text);
    await dataSource.query(
      `INSERT INTO spark_sweep (source, code, seen_code, seen_at, baseline, found, missed)
       VALUES (${values.join(', ')}, ${at ?? 'NULL'}, 0, 0, 0)`,
    );
  }
}
