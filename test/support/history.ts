import { DAY, HOUR } from './set-clock.js';

/** What the tests' sources say of a challenge; the model asks the same function. */
export interface Challenge {
  readonly active: boolean;
  /** Epoch ms. */
  readonly startsAt: number;
  readonly endsAt: number | null;
  readonly donations: number;
}

/** Something that is true, or will be. */
export interface Fact {
  readonly group: string;
  readonly at?: number | null;
  readonly until?: number;
  readonly occurrence?: number;
}

/** What its own row says. */
export function* ownFacts({ active, endsAt }: Omit<Challenge, 'donations'>): Iterable<Fact> {
  if (!active) return;
  yield { group: 'created' };
  if (endsAt !== null) yield { group: 'closing', at: endsAt - DAY, until: endsAt };
  yield { group: 'ended', at: endsAt, occurrence: endsAt ?? 0 };
}

/** What its donations say. */
export function* relatedFacts({ active, startsAt, donations }: Omit<Challenge, 'endsAt'>): Iterable<Fact> {
  if (active && donations < 2) yield { group: 'lonely', at: startsAt + 12 * HOUR };
  if (donations >= 2) yield { group: 'supported' };
}

/** What happens to one challenge. */
export type Step =
  | { readonly kind: 'save' | 'criteria' | 'raw'; readonly active: boolean; readonly endsAt: number | null }
  | { readonly kind: 'donate' | 'takeBack' | 'remove' | 'drain' }
  | { readonly kind: 'sweep' };

/**
 * What happens at one instant. A sweep reads, enters and finishes, source by source, and others may come between. What it enters of
 * a group that no sweep has finished before is held until it finishes.
 */
type Atom =
  | Exclude<Step, { kind: 'sweep' | 'drain' }>
  | { readonly kind: 'read' | 'enter' | 'finish'; readonly source: 'own' | 'related' };

export type State = 'held' | 'available' | 'completed' | 'skipped';

const GROUPS = { own: ['created', 'closing', 'ended'], related: ['lonely', 'supported'] };

/** One way in which things may have come so far, for one challenge. */
interface World {
  readonly row: Challenge | undefined;
  /** Known keys, without the id, what became of their deliveries, and until when they are of use. */
  readonly ledger: Readonly<Record<string, { readonly state: State; readonly until?: number }>>;
  /** Whether it has changed since it was checked. */
  readonly changed: boolean;
  /** The future instants at which it is rechecked. */
  readonly dates: readonly number[];
  /** What a sweep has read, and not entered yet. */
  readonly read: readonly Fact[];
  /** What rechecks under way have read: its own row first, then what is related to it. Then their sources take their time. */
  readonly rechecks: readonly { readonly facts: readonly Fact[]; readonly isRead: boolean }[];
}

/** A world, and what is still to happen in it at this instant. */
interface Situation {
  readonly left: readonly (readonly Atom[])[];
  /** What may happen, or part of it: the process that was at it has died. */
  readonly lost: readonly (readonly Atom[])[];
  readonly drained: boolean;
  readonly world: World;
}

/** How many drain at once. */
const PROCESSES = 2;

/** All ways in which the history of one challenge may have come so far. What is seen leaves those that fit. */
export class Model {
  private worlds: World[] = [{ row: undefined, ledger: {}, changed: false, dates: [], read: [], rechecks: [] }];

  /** Its row; that is the same in all worlds. */
  get row(): Challenge | undefined {
    return this.worlds[0]!.row;
  }

  /**
   * Lets steps happen at once: in any order, with rechecks of a drain round, before and after any of them. Those that are lost
   * were a process's that has died meanwhile: what it had taken, nobody else could take.
   *
   * @param swept the groups that a sweep has finished before
   */
  happen(steps: readonly Step[], now: number, swept: ReadonlySet<string>, lost?: readonly Step[]): void {
    const drains = [...steps, ...(lost ?? [])].some(({ kind }) => kind === 'drain');
    const open = this.worlds.map((world): Situation => ({
      left: atomsOfAll(steps),
      lost: atomsOfAll(lost ?? []),
      world,
      drained: !drains || !!lost,
    }));
    const known = new Set<string>();
    const ends = new Map<string, World>();
    for (let situation = open.pop(); situation; situation = open.pop()) {
      const name = JSON.stringify(situation);
      if (known.has(name)) continue;
      known.add(name);
      const { left: rest, drained, world } = situation;
      const end = { ...world, read: [] };
      if (rest.length === 0 && drained && world.rechecks.length === 0) ends.set(JSON.stringify(end), end);
      open.push(...next(situation, now, swept));
      if (drains)
        open.push(
          ...this.drainedOnce(world, now, lost !== undefined).map((one) => ({
            ...situation,
            world: one,
            drained: drained || isDone(one, now),
          })),
        );
    }
    this.worlds = [...ends.values()];
  }

  /** Keeps the worlds that look like that. Returns what was possible, if none does. */
  see(row: Challenge | undefined, ledger: ReadonlyMap<string, State>): string[] | undefined {
    const seen = textOf(row, [...ledger]);
    const possible = this.worlds.map((world) =>
      textOf(
        world.row,
        Object.entries(world.ledger).map(([k, { state }]) => [k, state]),
      ),
    );
    const fitting = this.worlds.filter((_, i) => possible[i] === seen);
    if (fitting.length === 0) return [...new Set(possible)];
    this.worlds = fitting;
    return undefined;
  }

  /** What a drain may do next: deliver all, or where a process dies any of it, begin a recheck, end one. */
  private drainedOnce(world: World, now: number, dies: boolean): World[] {
    const ended = world.rechecks.map(({ isRead }, i) => (isRead ? recheckEnded(world, i, now) : recheckRead(world, i)));
    const handed = dies ? Object.keys(world.ledger).map((key) => delivered(world, now, key)) : [delivered(world, now)];
    if (!isDue(world, now) || world.rechecks.length === PROCESSES) return [...handed, ...ended];
    return [...handed, ...ended, recheckBegun(world, now)];
  }
}

/** What is seen of a challenge: its row, and what became of its events. */
export const textOf = (row: Challenge | undefined, entries: [string, State][]): string => {
  const present = row && JSON.stringify([row.active, row.startsAt, row.endsAt, row.donations]);
  return [present ?? 'gone', ...entries.map(([key, state]) => `${key} ${state}`).sort()].join(', ');
};

/** One of the steps goes on. */
function next(situation: Situation, now: number, swept: ReadonlySet<string>): Situation[] {
  return (['left', 'lost'] as const).flatMap((which) =>
    situation[which].map((atoms, i, all) => {
      const rest = atoms.slice(1);
      const others = [...all.slice(0, i), ...(rest.length > 0 ? [rest] : []), ...all.slice(i + 1)];
      return { ...situation, [which]: others, world: after(situation.world, atoms[0]!, now, swept) };
    }),
  );
}

function after(world: World, atom: Atom, now: number, swept: ReadonlySet<string>): World {
  switch (atom.kind) {
    case 'save':
    case 'criteria':
    case 'raw':
      return written(world, atom, now);
    case 'donate':
      return { ...world, row: { ...world.row!, donations: world.row!.donations + 1 }, changed: true };
    case 'takeBack':
      return { ...world, row: { ...world.row!, donations: world.row!.donations - 1 }, changed: true };
    case 'remove':
      return { ...world, row: undefined, changed: true };
    case 'read':
      return { ...world, read: world.row ? [...(atom.source === 'own' ? ownFacts : relatedFacts)(world.row)] : [] };
    case 'enter':
      return entered({ ...world, read: [] }, world.read, now, (group) => (swept.has(group) ? 'available' : 'held'));
    case 'finish':
      return released(world, GROUPS[atom.source]);
    default:
      throw new Error(atom.kind);
  }
}

/** What a sweep has held is available at its end. */
function released(world: World, groups: readonly string[]): World {
  const ledger = Object.entries(world.ledger).map(([key, entry]) => {
    const isHeld = entry.state === 'held' && groups.includes(key.split('@')[0]!);
    return [key, isHeld ? { ...entry, state: 'available' as const } : entry] as const;
  });
  return { ...world, ledger: Object.fromEntries(ledger) };
}

function written(world: World, { kind, active, endsAt }: Extract<Step, { active: boolean }>, now: number): World {
  const row = { startsAt: now, donations: 0, ...world.row, active, endsAt };
  if (kind === 'raw') return { ...world, row };
  if (kind === 'criteria') return { ...world, row, changed: true };
  // TypeORM writes nothing where nothing differs.
  const isSame = world.row?.active === active && world.row.endsAt === endsAt;
  return isSame ? world : entered({ ...world, row, changed: true }, ownFacts(row), now);
}

const isDue = ({ changed, dates }: World, now: number): boolean => changed || dates.some((date) => date <= now);

/** Whether a drain has nothing left to do. */
const isDone = (world: World, now: number): boolean =>
  !isDue(world, now) &&
  world.rechecks.length === 0 &&
  Object.values(world.ledger).every(({ state }) => state !== 'available');

function recheckBegun(world: World, now: number): World {
  const dates = world.dates.filter((date) => date > now);
  const recheck = { facts: world.row ? [...ownFacts(world.row)] : [], isRead: false };
  return { ...world, changed: false, dates, rechecks: [...world.rechecks, recheck] };
}

function recheckRead(world: World, index: number): World {
  const read = world.row ? [...relatedFacts(world.row)] : [];
  const rechecks = world.rechecks.map((recheck, i) =>
    i === index ? { facts: [...recheck.facts, ...read], isRead: true } : recheck,
  );
  return { ...world, rechecks };
}

function recheckEnded(world: World, index: number, now: number): World {
  const { facts } = world.rechecks[index]!;
  return entered({ ...world, rechecks: world.rechecks.filter((_, i) => i !== index) }, facts, now);
}

function entered(
  world: World,
  facts: Iterable<Fact>,
  now: number,
  stateOf: (group: string) => State = () => 'available',
): World {
  const ledger = { ...world.ledger };
  const dates = new Set(world.dates);
  for (const { group, at, until, occurrence } of facts) {
    if (at === null || (until !== undefined && until <= now)) continue;
    if (at !== undefined && at > now) dates.add(at);
    else ledger[occurrence === undefined ? group : `${group}@${occurrence}`] ??= { state: stateOf(group), until };
  }
  const sorted = Object.fromEntries(Object.entries(ledger).sort(([a], [b]) => (a < b ? -1 : 1)));
  return { ...world, ledger: sorted, dates: [...dates].sort((a, b) => a - b) };
}

/** All that waits is delivered, or one event. */
function delivered(world: World, now: number, only?: string): World {
  const ledger = Object.entries(world.ledger).map(([key, entry]) => {
    const isLate = entry.until !== undefined && entry.until <= now;
    const end: State = isLate ? 'skipped' : 'completed';
    const isMeant = only === undefined || only === key;
    return [key, isMeant && entry.state === 'available' ? { ...entry, state: end } : entry] as const;
  });
  return { ...world, ledger: Object.fromEntries(ledger) };
}

const atomsOfAll = (steps: readonly Step[]): Atom[][] =>
  steps.flatMap((step) => (step.kind === 'drain' ? [] : [atomsOf(step)]));

function atomsOf(step: Step): Atom[] {
  if (step.kind !== 'sweep') return [step];
  const sources = ['own', 'related'] as const;
  return sources.flatMap((source) => [
    { kind: 'read', source },
    { kind: 'enter', source },
    { kind: 'finish', source },
  ]);
}
