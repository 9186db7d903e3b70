import type { Logger } from '@nestjs/common';

// For how long a line is not repeated, in milliseconds.
const QUIET = 10 * 60_000;

/** Log lines that could come with each job, and come once in ten minutes. */
export class SaidOnce {
  private readonly until = new Map<string, number>();

  constructor(private readonly logger: Logger) {}

  warn(about: string, line: string): void {
    if (performance.now() < (this.until.get(about) ?? 0)) return;
    this.mute(about);
    this.logger.warn(line);
  }

  /** Says nothing about it for ten minutes. */
  mute(about: string): void {
    this.until.set(about, performance.now() + QUIET);
  }
}
