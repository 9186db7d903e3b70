import type { QueryRunner } from 'typeorm';
import { internalsOf } from './typeorm-internals.js';

/** The number that the server knows the connection of a query runner by. */
export function sessionOf(runner: QueryRunner): number | undefined {
  const { databaseConnection } = internalsOf(runner);
  return databaseConnection?.processID ?? databaseConnection?.threadId;
}

/**
 * Sessions on the server whose connections were dropped here. The server may not learn of it for hours, and a transaction that was
 * under way there keeps its locks: other connections would wait for them.
 */
export class OrphanedSessions {
  private readonly sessions = new Set<number>();
  private ending: Promise<void> | undefined;

  /** @param runnerOf makes a query runner whose statements have a deadline */
  constructor(private readonly runnerOf: () => QueryRunner) {}

  /** Ends one, now or as soon as the server answers again. */
  add(session: number | undefined): void {
    if (session === undefined) return;
    this.sessions.add(session);
    this.end();
  }

  /** Ends those that are left. */
  end(): void {
    if (this.sessions.size === 0) return;
    // What fails is tried again when the server has answered.
    this.ending ??= this.endAll()
      .catch(() => undefined)
      .finally(() => (this.ending = undefined));
  }

  private async endAll(): Promise<void> {
    const runner = this.runnerOf();
    try {
      for (const session of this.sessions) {
        await endSession(runner, session);
        this.sessions.delete(session);
      }
    } finally {
      await runner.release();
    }
  }
}

// Only one of the same user in the same database: behind a proxy the number may be another one's.
async function endSession(runner: QueryRunner, session: number): Promise<void> {
  if (runner.dataSource.options.type === 'postgres') {
    const own = 'pid = $1 AND usename = current_user AND datname = current_database()';
    await runner.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE ${own}`, [session]);
    return;
  }
  const own = `id = ? AND user = SUBSTRING_INDEX(USER(), '@', 1) AND db = DATABASE()`;
  const found = (await runner.query(`SELECT id FROM information_schema.processlist WHERE ${own}`, [
    session,
  ])) as object[];
  if (found.length > 0) await runner.query('KILL ?', [session]);
}
