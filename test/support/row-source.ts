import { Injectable } from '@nestjs/common';
import { EventSource, type SparkEvent } from 'nestjs-spark';
import { Row } from './row.entity.js';

/** What the source of rows does in this process. */
export const rowSource: { run: (rows: Row[]) => Promise<SparkEvent[]> } = { run: async () => [] };

/** A source whose code is the same in all processes, so that they sweep together. */
@Injectable()
export class RowSource {
  private readonly source = rowSource;

  @EventSource(Row, { batch: true, name: 'rows' })
  rows(rows: Row[]) {
    return this.source.run(rows);
  }
}
