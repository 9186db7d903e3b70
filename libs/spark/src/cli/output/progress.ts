import { printable } from '../../error/text-of.js';
import type { Streams } from './output.js';

const EVERY = 100;

/** One line on a terminal that says how far a command is. Elsewhere it shows nothing. */
export class Progress {
  private readonly began = performance.now();
  private shown = -Infinity;
  private isOpen = false;

  constructor(private readonly stderr: Streams['stderr']) {}

  /**
   * Shows how many are done, how many are done a second, and how long the rest takes.
   *
   * @param total how many there are in all; undefined where that is unknown
   * @param given how many are done a second; default: as many as since the command has begun
   */
  show(done: number, what: string, total?: number, given?: number): void {
    const now = performance.now();
    if (!this.stderr.isTTY || now - this.shown < EVERY) return;
    this.shown = now;
    const rate = given ?? (done * 1_000) / Math.max(1, now - this.began);
    this.write(progressText({ done, what, total, rate }));
  }

  /** Shows a text as it is. */
  write(text: string): void {
    if (!this.stderr.isTTY) return;
    this.isOpen = true;
    this.stderr.write(`\r${printable(text)}\x1b[K`);
  }

  /** Removes the line. */
  end(): void {
    if (this.isOpen) this.stderr.write('\r\x1b[K');
    this.isOpen = false;
  }
}

/** `1,200 of 5,000 deliveries, 400/s, 10 s left` */
export function progressText({
  done,
  what,
  total,
  rate,
}: {
  readonly done: number;
  readonly what: string;
  readonly total: number | undefined;
  /** How many a second. */
  readonly rate: number;
}): string {
  const known = total !== undefined && total >= done;
  const parts = [`${count(done)}${known ? ` of ${count(total)}` : ''} ${what}`];
  if (rate >= 1) parts.push(`${count(rate)}/s`);
  if (known && rate > 0 && done > 0) parts.push(`${timeText(((total - done) / rate) * 1_000)} left`);
  return parts.join(', ');
}

/** A duration in milliseconds, roughly: `40 s`, `12 min`, `3 h`. */
export function timeText(milliseconds: number): string {
  const seconds = milliseconds / 1_000;
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  return seconds < 90 * 60 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3_600)} h`;
}

/** A whole number with commas. */
export const count = (value: number): string => Math.round(value).toLocaleString('en-US');
