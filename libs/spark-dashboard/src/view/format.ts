import { html, type Html } from '../html/html.js';

const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1_000],
] as const;

/** Writes numbers as a language does, and times in UTC. */
export class Format {
  private readonly numbers: Intl.NumberFormat;

  constructor(language: string) {
    this.numbers = new Intl.NumberFormat(language);
  }

  number(value: number): string {
    return this.numbers.format(value);
  }

  /** A count that stops at `most`: `1,000+`. */
  capped(value: number, most: number): string {
    return value < most ? this.number(value) : `${this.number(most)}+`;
  }

  /** An instant with seconds; `–` for none. */
  time(at: Date | undefined): Html {
    if (!at) return html`–`;
    const iso = at.toISOString();
    // A line breaks before the time of the day only.
    return html`<time datetime="${iso}">${iso.slice(0, 10)} ${iso.slice(11, 19)}\u00a0UTC</time>`;
  }

  /** A duration in its two largest units: `2 h 5 min`; `–` for none. */
  duration(milliseconds: number | undefined): string {
    if (milliseconds === undefined) return '–';
    if (milliseconds < 1_000) return `${this.number(Math.max(0, Math.round(milliseconds)))} ms`;
    const parts: string[] = [];
    let rest = milliseconds;
    for (const [name, length] of UNITS) {
      const count = Math.floor(rest / length);
      if (count > 0 || parts.length > 0) parts.push(`${this.number(count)} ${name}`);
      rest -= count * length;
    }
    return parts.slice(0, 2).join(' ');
  }
}
