import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { uniformInt } from 'pure-rand/distribution/uniformInt';
import {
  CARRIER_POINTS,
  type CarrierRole,
  DEADLINE,
  ENDS,
  type Fate,
  LEASE,
  type Point,
  POINTS,
  REDIS_FAULTS,
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
export function* schedule(seed: number, kills: number, hasServer: boolean, hasCarrier = false): Generator<Fate> {
  const dice = new Dice(seed);
  const restartEvery = Math.max(12, Math.ceil(kills / 25));
  let deck: Card[] = [];
  for (let i = 1; i <= kills; i++) {
    if (deck.length === 0) deck = newDeck(dice, hasServer, hasCarrier);
    const card = deck.pop()!;
    yield {
      ...card,
      version: dice.one(VERSIONS),
      // One process sweeps at a time, and each seldom; rechecks are taken many at once.
      nth: dice.between(1, card.point === 'in-sweep' ? 2 : card.point === 'in-recheck' ? 3 : 10),
      after: dice.between(100, 2_000),
      cut: hasServer && dice.chance(0.3),
      poison: i === 3 || dice.chance(0.02),
      restart: hasServer && i % restartEvery === Math.floor(restartEvery / 2),
      roles: hasCarrier ? dice.one(rolesFor(card)) : BOTH,
      ...(hasCarrier && i % 4 === 1 && { redis: REDIS_FAULTS[Math.floor(i / 4) % REDIS_FAULTS.length]! }),
    };
  }
}

const BOTH: readonly CarrierRole[] = ['dispatch', 'work'];

/** The roles with which a process can meet a fate. */
function rolesFor({ point, kind }: Card): (readonly CarrierRole[])[] {
  const isOf = (points: readonly Point[]) => point !== undefined && points.includes(point);
  if (isOf(CARRIER_POINTS)) return [BOTH, ['dispatch']];
  // A process that only sends claims nothing: whether it is back after a silence could not be seen.
  if (kind === 'silence' || isOf(POINTS.slice(POINTS.indexOf('after-claim')))) return [BOTH, ['work']];
  return [BOTH, ['work'], ['dispatch']];
}

function newDeck(dice: Dice, hasServer: boolean, hasCarrier: boolean): Card[] {
  const points = [...POINTS, ...(hasCarrier ? CARRIER_POINTS : [])];
  const kills = points.map((point) => ({ kind: 'kill' as const, point }));
  const stalls = [...STALL_POINTS, 'after-claim' as const].map((point) => ({ kind: 'stall' as const, point }));
  // A deck is as long as a short round.
  const anyTime = Array.from({ length: hasCarrier ? 3 : 5 }, () => ({ kind: 'kill' as const }));
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
