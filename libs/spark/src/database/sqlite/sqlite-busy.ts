import { setTimeout as delay } from 'node:timers/promises';
import { SqliteLockTimeoutError } from '../../error/sqlite-lock-timeout.error.js';

/** Retries work while another process writes. SQLite's own waiting would block this process. */
export async function patiently<T>(work: () => T | Promise<T>, timeout: number): Promise<T> {
  for (const start = Date.now(); ; await delay(1 + Math.random() * 49)) {
    try {
      return await work();
    } catch (error) {
      if (!isBusy(error)) throw error;
      if (Date.now() - start > timeout) throw new SqliteLockTimeoutError(timeout, undefined);
    }
  }
}

function isBusy(error: unknown): boolean {
  return ((error as { code?: string }).code ?? '').startsWith('SQLITE_BUSY');
}
