import type { EntityManager, QueryRunner } from 'typeorm';

/**
 * Lets a manager's statements be refused from some moment on. Work that goes on after its handler has timed out would
 * otherwise write between ROLLBACK and the release of the connection, each statement committing by itself.
 */
export function revocable(manager: EntityManager, error: () => Error): () => void {
  const runner = manager.queryRunner as QueryRunner;
  const query = runner.query.bind(runner) as (...args: unknown[]) => Promise<unknown>;
  let revoked = false;
  runner.query = ((...args: unknown[]) => {
    // The end of the transaction itself is nobody's late work.
    if (revoked && args[0] !== 'ROLLBACK' && args[0] !== 'COMMIT') return Promise.reject(error());
    return query(...args);
  }) as QueryRunner['query'];
  return () => {
    revoked = true;
  };
}
