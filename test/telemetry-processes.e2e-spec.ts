import { beforeAll, describe, expect, it } from 'vitest';
import { databases } from './support/databases.js';
import { program } from './support/processes.js';

interface Ids {
  readonly traceId: string;
  readonly spanId: string;
}
interface Sent {
  readonly request: Ids;
  readonly spans: (Ids & {
    readonly name: string;
    readonly parent?: Ids;
    readonly links: Ids[];
    readonly statement?: string;
  })[];
}

const ids = ({ traceId, spanId }: Ids) => ({ traceId, spanId });
const statementsIn = ({ spans }: Sent, { traceId }: Ids) =>
  spans.flatMap((span) => (span.traceId === traceId && span.statement ? [span.statement] : []));
const named = ({ spans }: Sent, name: string) => {
  const found = spans.filter((span) => span.name === name);
  expect(found).toHaveLength(1);
  return found[0]!;
};

// To start two processes takes seconds.
const runs = databases.flatMap((database) =>
  (database.name === 'PostgreSQL' ? [false, true] : [false]).map((parent) => ({ ...database, parent })),
);

describe.each(runs)('traces from process to process, on $name, with parent $parent', ({ name, create, parent }) => {
  let saver: Sent;
  let worker: Sent;

  beforeAll(async () => {
    const [traced, db] = await Promise.all([program('traced.program.ts'), create()]);
    const { driver, ...options } = db.options as { driver?: unknown };
    const run = async (saves: boolean) =>
      (await traced.start({ options, driver: driver !== undefined, parent, saves }).result) as Sent;
    saver = await run(true);
    worker = await run(false);
    traced.remove();
    await db.drop();
  });

  it('a save in one process leads to the handler in another', () => {
    const enter = named(saver, 'enter order');
    expect(enter.parent).toEqual(saver.request);
    for (const handler of ['plain', 'transactional']) {
      const process = named(worker, `process ${handler}`);
      expect(process.parent).toEqual(parent ? ids(enter) : undefined);
      expect(process.links).toEqual(parent ? [] : [ids(enter)]);
      expect(process.traceId === saver.request.traceId).toBe(parent);
    }
  });

  // The queries of the other drivers are not instrumented here.
  if (name !== 'PostgreSQL') return;

  /** The statements of a handler's span. */
  const under = (handler: string) => {
    const { spanId } = named(worker, `process ${handler}`);
    return worker.spans.flatMap((span) => (span.parent?.spanId === spanId ? (span.statement ?? []) : []));
  };

  it('queries of a handler are part of its span, and so is its transaction', () => {
    expect(under('plain')).toEqual([`SELECT 'plain order_1'`]);
    const transaction = under('transactional');
    expect(transaction[0]).toMatch(/^(START TRANSACTION|BEGIN)/);
    expect(transaction).toContain(`SELECT 'transactional order_1'`);
    expect(transaction.at(-1)).toBe('COMMIT');
  });

  it('the claims of a worker are part of no trace of a save or a handler', () => {
    const handlers = under('plain').length + under('transactional').length;
    expect(statementsIn(worker, saver.request)).toHaveLength(parent ? handlers : 0);
    const claims = worker.spans.filter(({ statement }) => statement?.includes('FOR UPDATE SKIP LOCKED'));
    expect(claims.length).toBeGreaterThan(0);
    const traces = [saver.request, ...['plain', 'transactional'].map((handler) => named(worker, `process ${handler}`))];
    for (const { traceId } of traces) expect(claims.filter((claim) => claim.traceId === traceId)).toEqual([]);
  });

  it('the trace of a save ends with its commit: rechecks and notifications are not part of it', () => {
    const saved = statementsIn(saver, saver.request);
    expect(saved.filter((statement) => statement === 'COMMIT')).toHaveLength(1);
    expect(saved.at(-1)).toBe('COMMIT');
    const others = saver.spans.filter(({ traceId }) => traceId !== saver.request.traceId);
    const count = (text: string) => others.filter(({ statement }) => statement?.includes(text)).length;
    expect(count('DELETE FROM "spark_recheck"')).toBeGreaterThan(0);
    // The first one is the test at boot.
    expect(count('pg_notify')).toBeGreaterThan(1);
  });
});
