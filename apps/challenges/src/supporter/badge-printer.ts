import { Injectable, Logger } from '@nestjs/common';
import type { Supporter } from './supporter.entity.js';

// Every so many badges.
const JAMS = 5;

/** Stands for a printer of badges. It jams once at each fifth badge, so that there is something to retry. */
@Injectable()
export class BadgePrinter {
  private readonly logger = new Logger('Badges');
  private readonly jammed = new Set<number>();

  print({ id, name }: Supporter): void {
    if (id % JAMS === 0 && !this.jammed.has(id)) {
      this.jammed.add(id);
      throw new Error(`The printer is jammed at badge ${id}: open tray 2.`);
    }
    this.logger.log(`${id} for ${name}`);
  }
}
