import type { WorkerOptions } from 'nestjs-spark';
import { startApp, type TestAppOptions } from './app.js';
import { sqliteDriver } from './sqlite.js';

/** What a process is told of its database: the options without the driver, which cannot be sent, and whether it is SQLite's. */
interface SentDatabase {
  readonly options: object;
  readonly driver: boolean;
}

/**
 * Runs an application that only handles, until this process gets a message. Then it sends what was logged.
 *
 * @param onClosed closes what is not the application's
 */
export function handleUntilMessage(
  { options, driver }: SentDatabase,
  {
    worker: more,
    ...application
  }: Pick<TestAppOptions, 'entities' | 'imports' | 'providers'> & { worker?: WorkerOptions },
  onClosed: () => Promise<unknown> = () => Promise.resolve(),
): void {
  const given = (driver ? { ...options, driver: sqliteDriver() } : options) as TestAppOptions['database']['options'];
  const database = { options: given, drop: async () => undefined };
  const worker = { leaseTtl: '1.2s', leaseRenewal: '200ms', pollInterval: '50ms', ...more };
  const run = async () => {
    const app = await startApp({ ...application, database, spark: { worker } });
    process.send!({ ready: true });
    process.on('message', () => {
      const closed = app.close().then(onClosed);
      void closed.then(() => process.send!({ logs: app.logs }, () => process.disconnect()));
    });
  };
  run().catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
}
