import type { SparkService } from 'nestjs-spark';
import { describe, expect, it } from 'vitest';
import { sharedReads } from './shared-reads.js';

class Service {
  readonly calls: unknown[] = [];
  private readonly own = 'own';

  async events(filter: object, page: object = {}) {
    this.calls.push([filter, page]);
    return `${this.own} ${this.calls.length}`;
  }
}

describe('reads of one moment', () => {
  it('are shared by those who ask for the same', async () => {
    const service = new Service();
    const shared = sharedReads(service as unknown as SparkService) as unknown as Service;
    const from = new Date(1_000);
    expect(await Promise.all([shared.events({ from }, { limit: 1 }), shared.events({ from }, { limit: 1 })])).toEqual([
      'own 1',
      'own 1',
    ]);
    expect(await shared.events({ from: new Date(2_000) }, { limit: 1 })).toBe('own 2');
    expect(await shared.events({ from })).toBe('own 3');
    expect(shared.calls).toHaveLength(3);
  });
});
