import type { DataSource, QueryRunner } from 'typeorm';

/** Changes each query runner that a DataSource makes from now on. */
export function eachQueryRunner(dataSource: DataSource, change: (runner: QueryRunner) => void): void {
  const create = dataSource.createQueryRunner.bind(dataSource);
  // On SQLite, a transaction that is open gives its runner to all who ask for one.
  const changed = new WeakSet<QueryRunner>();
  dataSource.createQueryRunner = (mode) => {
    const runner = create(mode);
    if (!changed.has(runner)) change(runner);
    changed.add(runner);
    return runner;
  };
}

/** Stands around each statement of query runners: it is sent by `send`, and what `around` gives is its answer. */
export function aroundStatements(
  dataSource: DataSource,
  around: (statement: string, send: () => Promise<unknown>) => Promise<unknown>,
): void {
  eachQueryRunner(dataSource, (runner) => {
    const query = runner.query.bind(runner) as (...given: unknown[]) => Promise<unknown>;
    runner.query = ((...given: unknown[]) => around(String(given[0]), () => query(...given))) as typeof runner.query;
  });
}
