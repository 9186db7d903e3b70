/** How a row is written: `raw` by SQL that Spark does not see. */
export type Write = 'save' | 'criteria' | 'raw' | 'remove';

/** What tests see of an entity. */
export interface Seen {
  readonly row: object | undefined;
  /** Its events in the ledger: key and instant, in order. */
  readonly events: readonly string[];
  /** Its conditions: key and since when, in order. */
  readonly lasting: readonly string[];
}

/** One way in which things may have come so far for one entity. Nothing changes it: what happens leads to others. */
export interface World {
  readonly seen: Seen;
  /** After a write that has committed; without a row, it was removed. */
  written(how: Write, row: object | undefined, now: number): World;
  /** What a drain leads to, transaction by transaction: first itself, last what is there when the drain has ended. */
  drained(now: number): readonly World[];
  /** What there may be while a sweep runs, and when it has ended. */
  swept(now: number): { readonly during: readonly World[]; readonly ends: readonly World[] };
  /** The first instant up to `end` at which a recheck is due. */
  due(end: number): number | undefined;
}

/** All ways in which things may have come so far for one entity. What is seen leaves those that fit. */
export class Worlds {
  private all: readonly World[];

  constructor(first: World) {
    this.all = [first];
  }

  /** The row, which is the same in all of them. */
  get row(): object | undefined {
    return this.all[0]!.seen.row;
  }

  happen(what: (world: World) => readonly World[]): void {
    const different = new Map(this.all.flatMap(what).map((world) => [JSON.stringify(world), world]));
    this.all = [...different.values()];
  }

  /** Keeps the worlds that look like that. Returns what was possible if none does. */
  see(seen: Seen): string[] | undefined {
    const text = textOf(seen);
    const possible = this.all.map((world) => textOf(world.seen));
    const fitting = this.all.filter((_, i) => possible[i] === text);
    if (fitting.length === 0) return [...new Set(possible)];
    this.all = fitting;
    return undefined;
  }
}

export function textOf({ row, events, lasting }: Seen): string {
  const fields = row && Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([fields ? Object.fromEntries(fields) : 'gone', [...events].sort(), [...lasting].sort()]);
}

/** What a drain at each due instant leads to, from one instant up to another one, transaction by transaction at the last. */
export function passed(world: World, now: number, end: number): readonly World[] {
  let one = world;
  for (let instant = now; instant < end; instant = one.due(end) ?? end) one = one.drained(instant).at(-1)!;
  return one.drained(end);
}

export const iso = (instant: number): string => new Date(instant).toISOString();
