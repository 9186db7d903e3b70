import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DataSource } from 'typeorm';
import { startApp } from './support/app.js';
import { databases } from './support/databases.js';
import { type Program, program } from './support/processes.js';
import { Row } from './support/row.entity.js';

const PROCESSES = 3;
const ROWS = 60;

describe('an event exists once', () => {
  let counting: Program;

  beforeAll(async () => {
    counting = await program('counting.program.ts');
  }, 60_000);
  afterAll(() => counting.remove());

  describe.each(databases)('on $name', (database) => {
    it(`when ${PROCESSES} processes save, emit and sweep the same, and each is handled once`, async () => {
      const db = await database.create();
      // The tables are made once; the processes find them.
      await (await startApp({ database: db, entities: [Row] })).close();
      const { driver, ...options } = db.options as { driver?: unknown };
      const input = { options, rows: ROWS, driver: driver !== undefined };
      const results = await Promise.all(Array.from({ length: PROCESSES }, () => counting.start(input).result));
      const server = await new DataSource(db.options).initialize();
      const rows: { event_key: string }[] = await server.query('SELECT event_key FROM spark_event');
      const states: { state: string; n: unknown }[] = await server.query(
        'SELECT state, COUNT(*) AS n FROM spark_delivery GROUP BY state',
      );
      await server.destroy();
      await db.drop();

      const groups = ['emitted', 'row', 'row_later'];
      const expected = groups.flatMap((group) => Array.from({ length: ROWS }, (_, i) => `${group}_${i + 1}`)).sort();
      expect(rows.map(({ event_key: key }) => key).sort()).toEqual(expected);
      expect(results.flatMap(({ entered }) => entered).sort()).toEqual(expected);
      expect(results.flatMap(({ handled }) => handled).sort()).toEqual(expected);
      expect(states.map(({ state, n }) => [state, Number(n)])).toEqual([['completed', expected.length]]);
    }, 60_000);
  });
});
