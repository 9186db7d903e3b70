import type { EntityManager, QueryRunner } from 'typeorm';

// After a deadlock MariaDB and MySQL have rolled back the whole transaction. They commit each statement that follows by itself.
const DEADLOCK = 1213;

/**
 * Makes a manager revocable: after the returned function was called, the manager refuses all statements. Without that, work that goes
 * on after the timeout of its handler would write between ROLLBACK and the release of the connection, and each statement would commit
 * by itself. The same holds for a handler that goes on after a deadlock, so a deadlock revokes the manager, too.
 */
export function revocable(manager: EntityManager, error: () => Error): () => void {
  const runner = manager.queryRunner as QueryRunner;
  const query = runner.query.bind(runner) as (...args: unknown[]) => Promise<unknown>;
  let refusal: (() => Error) | undefined;
  runner.query = ((...args: unknown[]) => {
    // Spark itself ends the transaction.
    if (refusal && args[0] !== 'ROLLBACK' && args[0] !== 'COMMIT') return Promise.reject(refusal());
    return query(...args).catch((failure: Error & { errno?: number }) => {
      if (failure.errno === DEADLOCK) refusal ??= () => failure;
      throw failure;
    });
  }) as QueryRunner['query'];
  return () => {
    refusal = error;
  };
}
