import type { DataSource } from 'typeorm';
import { plainCalls } from './checks.js';
import type { Crew } from './crew.js';
import { type CompanionName, ENDS, type Point, pointsOf } from './faults.js';
import { callsOf } from './relay-checks.js';
import { repeatedCalls } from './repetitions.js';
import type { Message } from './servers/companion.js';
import type { Strikes } from './strikes.js';

/** Counts what a round did, by its tables and by what the driver remembers. */
export async function figuresOf(
  db: DataSource,
  crew: Crew,
  { restarts, cuts, companionCounts }: Strikes,
  messages: readonly Message[] | undefined,
  companion: CompanionName | undefined,
) {
  const hits = new Map<Point, number>(pointsOf(companion).map((point) => [point, 0]));
  for (const { kind, point } of crew.entries) if (kind === 'kill' && point) hits.set(point, hits.get(point)! + 1);
  return {
    errors: crew.errors(),
    companionCounts,
    relayed: messages && { messages: messages.length, repeated: repeatedCalls(callsOf(messages)) },
    silences: new Map(ENDS.map((ends) => [ends, crew.silences.filter((one) => one.ends === ends).length])),
    neverBack: crew.neverBack,
    rated: crew.count('rated'),
    shared: crew.count('shared'),
    badges: await count(db, `SELECT COUNT(*) AS n FROM spark_event WHERE event_group = 'badge'`),
    restarts,
    cuts,
    hits,
    kills: crew.kills,
    killsInFlight: crew.killsInFlight,
    stalls: crew.stalls,
    rescued: crew.count('rescued'),
    fenced: crew.count('fenced'),
    repeated: repeatedCalls(await plainCalls(db)),
    events: await count(db, 'SELECT COUNT(*) AS n FROM spark_event'),
    deliveries: await count(db, 'SELECT COUNT(*) AS n FROM spark_delivery'),
  };
}

/** What a statement counts as `n`. */
export async function count(db: DataSource, sql: string): Promise<number> {
  return Number((await db.query(sql))[0].n);
}
