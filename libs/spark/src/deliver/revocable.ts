import type { EntityManager, QueryRunner } from 'typeorm';

// MariaDB and MySQL undo the whole transaction by it, and commit each statement that follows by itself.
const DEADLOCK = 1213;

/**
 * Lets a manager's statements be refused from some moment on. Work that goes on after its handler has timed out would
 * otherwise write between ROLLBACK and the release of the connection, each statement committing by itself. So would a
 * handler that goes on after a dead-lock.
 */
export function revocable(manager: EntityManager, error: () => Error): () => void {
  const runner = manager.queryRunner as QueryRunner;
  const query = runner.query.bind(runner) as (...args: unknown[]) => Promise<unknown>;
  let refusal: (() => Error) | undefined;
  runner.query = ((...args: unknown[]) => {
    // The end of the transaction itself is nobody's late work.
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
