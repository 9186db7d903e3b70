import { SparkDashboardModule } from 'nestjs-spark-dashboard';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkedPage, type DashboardApp, startDashboardApp } from './support/dashboard-app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { fillLargeTables, pagesOfLargeTables } from './support/large-tables.js';
import { Parcel, ParcelHandlers, ParcelSource } from './support/parcels.js';
import { QueryLog } from './support/query-log.js';

const EVENTS = 400_000;
/** How many rows one part of a statement may read: those of a page, and those that are found beside them. */
const MOST_READ = 25_000;
const LARGE = ['spark_event', 'spark_delivery', 'spark_attempt'];

interface Sent {
  readonly statement: string;
  readonly parameters: unknown[];
}

/** Keeps the parameters, too. */
class SentLog extends QueryLog {
  readonly sent: Sent[] = [];

  override logQuery(statement: string, parameters: unknown[] = []): void {
    this.sent.push({ statement, parameters });
  }
}

/** A part of a plan of PostgreSQL. */
interface Node {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Actual Rows': number;
  readonly 'Actual Loops': number;
  readonly 'Rows Removed by Filter'?: number;
  readonly Plans?: Node[];
}

const partsOf = (node: Node): Node[] => [node, ...(node.Plans ?? []).flatMap(partsOf)];

const readBy = (node: Node): number =>
  (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)) * node['Actual Loops'];

describe("the dashboard on large tables, on 'PostgreSQL',", () => {
  const log = new SentLog();
  let db: TestDatabase;
  let app: DashboardApp;

  beforeAll(async () => {
    db = await databases.find(({ name }) => name === 'PostgreSQL')!.create();
    app = await startDashboardApp({
      database: db,
      framework: 'Express',
      entities: [Parcel],
      providers: [ParcelSource, ParcelHandlers],
      dashboards: [SparkDashboardModule.forRoot({ access: () => 'all' })],
      spark: { worker: false },
      dataSource: { logger: log, logging: true },
    });
    await fillLargeTables(app.dataSource, EVENTS);
  }, 120_000);
  afterAll(async () => {
    await app.close();
    await db.drop();
  });

  it.each(pagesOfLargeTables(EVENTS))('no page reads a whole table: %s', async (path) => {
    log.sent.length = 0;
    checkedPage(await app.get(`/spark/${path}`));
    const reads = log.sent.filter(({ statement }) => /^\s*(SELECT|WITH)/i.test(statement));
    expect(reads.length).toBeGreaterThan(0);
    for (const { statement, parameters } of reads) {
      const [row] = await app.dataSource.query(`EXPLAIN (ANALYZE, FORMAT JSON) ${statement}`, parameters);
      const parts = partsOf(row['QUERY PLAN'][0].Plan).filter(({ 'Relation Name': name }) =>
        LARGE.includes(name ?? ''),
      );
      const whole = parts.filter((part) => part['Node Type'] === 'Seq Scan');
      expect({ statement, whole }).toEqual({ statement, whole: [] });
      expect({ statement, read: Math.max(0, ...parts.map(readBy)) }).toEqual({
        statement,
        read: expect.toSatisfy((n: number) => n <= MOST_READ),
      });
    }
  });
});
