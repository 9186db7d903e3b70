import type { QueryRunner } from 'typeorm';
import type { DatabaseFacts, JournalFacts } from '../facts.js';
import { isInMemory } from '../traits.js';

/** The facts of SQLite. A database in memory has no journal that other processes could see. */
export class SqliteFacts implements DatabaseFacts {
  async journal(runner: QueryRunner): Promise<JournalFacts> {
    const [journal] = (await runner.query('PRAGMA journal_mode')) as { journal_mode: string }[];
    const [busy] = (await runner.query('PRAGMA busy_timeout')) as { timeout: number }[];
    const mode = isInMemory(runner.dataSource) ? 'wal' : journal!.journal_mode.toLowerCase();
    return { mode, busyTimeout: Number(busy!.timeout) };
  }
}
