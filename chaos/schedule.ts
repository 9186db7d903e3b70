import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { uniformInt } from 'pure-rand/distribution/uniformInt';
import {
  BOTH_ROLES,
  type CarrierRole,
  type CompanionName,
  COMPANIONS,
  DEADLINE,
  ENDS,
  type Fate,
  LEASE,
  type Point,
  POINTS,
  pointsOf,
  SILENCE_POINTS,
  type Silence,
  STALL_POINTS,
  VERSIONS,
} from './faults.js';

/** Random numbers that a seed repeats. */
export class Dice {
  private readonly generator;

  constructor(seed: number) {
    this.generator = xoroshiro128plus(seed);
  }

  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return uniformInt(this.generator, low, high);
  }

  chance(of: number): boolean {
    return this.between(1, 1_000) <= of * 1_000;
  }

  one<T>(items: readonly T[]): T {
    return items[this.between(0, items.length - 1)]!;
  }

  shuffled<T>(items: readonly T[]): T[] {
    const left = [...items];
    const drawn: T[] = [];
    while (left.length > 0) drawn.push(left.splice(this.between(0, left.length - 1), 1)[0]!);
    return drawn;
  }
}

/** What is drawn of a fate. */
type Card = Pick<Fate, 'kind' | 'point' | 'silence'>;

/**
 * The fates of the processes of a round, one kill each: decks in which each point comes once, so that short rounds meet
 * every one, and kills at any time between.
 */
export function* schedule(seed: number, kills: number, hasServer: boolean, companion?: CompanionName): Generator<Fate> {
  const dice = new Dice(seed);
  const restartEvery = Math.max(12, Math.ceil(kills / 25));
  let deck: Card[] = [];
  for (let i = 1; i <= kills; i++) {
    if (deck.length === 0) deck = newDeck(dice, hasServer, companion);
    const card = deck.pop()!;
    yield {
      ...card,
      version: dice.one(VERSIONS),
      nth: dice.between(1, mostTimes(card.point)),
      after: dice.between(100, 2_000),
      cut: hasServer && dice.chance(0.3),
      poison: i === 3 || dice.chance(0.02),
      restart: hasServer && i % restartEvery === Math.floor(restartEvery / 2),
      roles: companion === 'bullmq' ? dice.one(rolesFor(card)) : BOTH_ROLES,
      ...companionFault(i, companion),
    };
  }
}

/** What happens to the companion in the ith fate: each of its faults after the other. */
function companionFault(i: number, companion: CompanionName | undefined): Pick<Fate, 'companion'> {
  if (!companion) return {};
  const { faults, every } = COMPANIONS[companion];
  return i % every === 1 ? { companion: faults[Math.floor(i / every) % faults.length]! } : {};
}

/** How often a process comes by a point in a short life. */
function mostTimes(point: Point | undefined): number {
  // One process sweeps at a time, and each seldom; rechecks are taken many at once, and a relay sends many events at once.
  if (point === 'in-sweep') return 2;
  const isOfMany = point === 'in-recheck' || point === 'before-publish' || point === 'after-confirm';
  return isOfMany ? 3 : 10;
}

/** The roles with which a process can meet a fate. */
function rolesFor({ point, kind }: Card): (readonly CarrierRole[])[] {
  const isOf = (points: readonly Point[]) => point !== undefined && points.includes(point);
  if (isOf(COMPANIONS.bullmq.points)) return [BOTH_ROLES, ['dispatch']];
  // A process that only sends claims nothing: whether it is back after a silence could not be seen.
  if (kind === 'silence' || isOf(POINTS.slice(POINTS.indexOf('after-claim')))) return [BOTH_ROLES, ['work']];
  return [BOTH_ROLES, ['work'], ['dispatch']];
}

function newDeck(dice: Dice, hasServer: boolean, companion: CompanionName | undefined): Card[] {
  const points = pointsOf(companion);
  const kills = points.map((point) => ({ kind: 'kill' as const, point }));
  const stalls = [...STALL_POINTS, 'after-claim' as const].map((point) => ({ kind: 'stall' as const, point }));
  // A deck is as long as a short round.
  const anyTime = Array.from({ length: companion ? 3 : 5 }, () => ({ kind: 'kill' as const }));
  const silences = hasServer ? ENDS.map((ends) => silenceThat(ends, dice)) : [];
  return dice.shuffled([...kills, ...stalls, ...anyTime, { kind: 'stall' as const }, ...silences]);
}

function silenceThat(ends: Silence['ends'], dice: Dice): Card {
  const length = dice.between(LEASE.ttl + 500, DEADLINE + 2_000);
  const silence = { ends, length, newOnes: ends !== 'never' && dice.chance(0.7) };
  return dice.chance(0.2)
    ? { kind: 'silence', silence }
    : { kind: 'silence', silence, point: dice.one(SILENCE_POINTS) };
}
