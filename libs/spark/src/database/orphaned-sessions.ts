import type { QueryRunner } from 'typeorm';
import { internalsOf } from './typeorm-internals.js';

/** The server's number for the connection of a query runner. */
export function sessionOf(runner: QueryRunner): number | undefined {
  const { databaseConnection } = internalsOf(runner);
  return databaseConnection?.processID ?? databaseConnection?.threadId;
}

/**
 * Sessions on the server whose connections this process has dropped. The server may not notice that for hours, and an open transaction
 * of the session keeps its locks, for which other connections wait. So Spark ends the sessions.
 */
export class OrphanedSessions {
  private readonly sessions = new Set<number>();
  private ending: Promise<void> | undefined;

  /** @param runnerOf makes a query runner whose statements have a deadline */
  constructor(private readonly runnerOf: () => QueryRunner) {}

  /** Ends a session, now or as soon as the server answers again. */
  add(session: number | undefined): void {
    if (session === undefined) return;
    this.sessions.add(session);
    this.end();
  }

  /** Ends the sessions that are left. */
  end(): void {
    if (this.sessions.size === 0) return;
    // A session that could not be ended is tried again when the server has answered.
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

// Ends only a session of the same user in the same database: behind a proxy, the number may belong to another session.
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
