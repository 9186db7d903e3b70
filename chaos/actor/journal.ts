import { openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { JournalEntry } from '../faults.js';

/** What outlives this process, however it ends: entries for the driver, and how much was in flight. */
export class Journal {
  private readonly entries: number;
  private readonly flight: number;
  private flying = 0;
  private looks = 0;

  constructor(
    folder: string,
    private readonly life: number,
  ) {
    this.entries = openSync(join(folder, 'journal'), 'a');
    this.flight = openSync(join(folder, `flight-${life}`), 'w');
  }

  record(entry: Omit<JournalEntry, 'life' | 'at'>): void {
    writeSync(this.entries, `${JSON.stringify({ life: this.life, at: Date.now(), ...entry })}\n`);
  }

  /** Counts looks for deliveries that the database has answered under a lease, whether there was something to do or not. */
  looked(): void {
    this.looks++;
    this.count(0);
  }

  /** Counts work as in flight until it ends. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    this.count(1);
    try {
      return await work();
    } finally {
      this.count(-1);
    }
  }

  private count(by: number): void {
    this.flying += by;
    writeSync(this.flight, `${String(this.flying).padStart(6)} ${String(this.looks).padStart(8)}`, 0);
  }
}
