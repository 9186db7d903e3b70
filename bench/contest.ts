import { availableParallelism, cpus, totalmem } from 'node:os';
import type { DatabaseName } from './database.js';

/** One of those that do the same work. */
export interface Arm {
  readonly name: string;
  /** What comes before each round and is not timed. */
  readonly prepare?: () => Promise<unknown>;
  /** One round. Times itself where it returns a number, in ms. */
  readonly run: () => Promise<number | void>;
}

/** A ratio that is measured, and what it has to be. */
export interface Aim {
  readonly of: string;
  readonly to: string;
  /** Such as `≤ 1.25`; none: it is only reported. */
  readonly target?: string;
}

/** What came of one ratio. */
export interface Row {
  readonly bench: string;
  readonly work: string;
  readonly db: DatabaseName;
  readonly ratio: string;
  readonly median: number;
  readonly lowest: number;
  readonly highest: number;
  readonly target: string | null;
  readonly reached: boolean | null;
  readonly rounds: number;
  /** The median of each arm's rounds, in ms. */
  readonly arms: Record<string, number>;
}

export interface Contest {
  readonly bench: string;
  readonly work: string;
  readonly db: DatabaseName;
  readonly rounds: number;
  readonly arms: readonly Arm[];
  readonly aims: readonly Aim[];
}

/** Runs the arms one after the other in each round, after one round to warm up, and returns their ratios. */
export async function compare(contest: Contest): Promise<Row[]> {
  return rowsOf(contest, await roundsOf(contest));
}

/** What each arm took in each round, in ms. */
export async function roundsOf({ bench, work, db, rounds, arms }: Contest): Promise<Map<string, number[]>> {
  const times = new Map<string, number[]>(arms.map(({ name }) => [name, []]));
  for (let round = 0; round <= rounds; round++) {
    // Another one begins each time: what one leaves behind meets all of them.
    const order = arms.map((_, i) => arms[(i + round) % arms.length]!);
    for (const arm of order) {
      await arm.prepare?.();
      // A full one throws away what is compiled: each round would begin with compiling it again.
      globalThis.gc?.({ type: 'minor' });
      const began = performance.now();
      const own = await arm.run();
      const ms = own ?? performance.now() - began;
      if (round > 0) times.get(arm.name)!.push(ms);
      console.error(`  ${bench} · ${work} · ${db}, round ${round} of ${rounds}: ${arm.name} ${ms.toFixed(0)} ms`);
    }
  }
  return times;
}

/** The ratios that are aimed at, of what arms took. */
export function rowsOf({ bench, work, db, rounds, aims }: Contest, times: Map<string, number[]>): Row[] {
  const medians = Object.fromEntries([...times].map(([name, all]) => [name, Number(middle(all).toFixed(2))]));
  return aims.map(({ of, to, target }) => {
    const ratios = times.get(of)!.map((ms, i) => ms / times.get(to)![i]!);
    const median = middle(ratios);
    const row = {
      bench,
      work,
      db,
      ratio: `${of} / ${to}`,
      median,
      lowest: Math.min(...ratios),
      highest: Math.max(...ratios),
      target: target ?? null,
      reached: target === undefined ? null : isReached(median, target),
      rounds,
      arms: medians,
    };
    console.log(wordsOf(row));
    return row;
  });
}

/** A figure that is no ratio of arms, in the same form. */
export function figure(row: Omit<Row, 'lowest' | 'highest' | 'reached' | 'arms' | 'rounds'> & Partial<Row>): Row {
  const { median, target } = row;
  const reached = target === null ? null : isReached(median, target);
  const whole = { lowest: median, highest: median, arms: {}, rounds: 1, reached, ...row };
  console.log(wordsOf(whole));
  return whole;
}

export function middle(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

function isReached(ratio: number, target: string): boolean {
  const limit = Number(target.replace(/[^\d.]/g, ''));
  return target.startsWith('≥') ? ratio >= limit : ratio <= limit;
}

function wordsOf({ bench, work, db, ratio, median, lowest, highest, target, reached, rounds, arms }: Row): string {
  const aim = target === null ? '' : ` (${target}: ${reached ? 'reached' : 'NOT reached'})`;
  const times = Object.entries(arms).map(([name, ms]) => `${name} ${ms} ms`);
  return `${bench} · ${work} · ${db}: ${ratio} = ${median.toFixed(2)} [${lowest.toFixed(2)}–${highest.toFixed(2)}, ${rounds} rounds]${aim} ${times.join(', ')}`;
}

/** What the figures were measured on. */
export function machine(): string {
  return `${availableParallelism()} × ${cpus()[0]?.model ?? 'unknown CPU'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node.js ${process.version}`;
}
