import { sparkMigrations } from 'nestjs-spark';
import { DataSource } from 'typeorm';
import { APPLICATIONS } from './actor/versions.js';

const RAW = [
  'CREATE TABLE trail (item_id INT NOT NULL, version BIGINT NOT NULL)',
  'CREATE TABLE calls (event_key VARCHAR(100) NOT NULL, life INT NOT NULL, attempt INT NOT NULL, called_at BIGINT NOT NULL)',
];

/** Makes the tables of a round, before the first process starts. */
export async function createTables(options: object): Promise<void> {
  const { entities } = APPLICATIONS.next;
  const source = new DataSource({ ...options, entities, migrations: sparkMigrations() } as never);
  await source.initialize();
  await source.synchronize();
  await source.runMigrations();
  for (const sql of RAW) await source.query(sql);
  await source.destroy();
}
