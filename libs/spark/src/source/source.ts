import type { EntityMetadata, ObjectLiteral } from 'typeorm';
import { SourceLimitError } from '../error/source-limit.error.js';
import type { SparkEvent } from '../event/spark-event.js';
import type { EventSourceOptions, SourceOutput, SourceScope } from './event-source.decorator.js';

/** How many events a source may give for one entity. */
export const EVENTS_PER_ENTITY = 1_000;

/** An event source as the explorer found it. */
export interface Source {
  readonly name: string;
  /** `Class.method`, for messages. */
  readonly where: string;
  readonly metadata: EntityMetadata;
  readonly options: EventSourceOptions<ObjectLiteral>;
  readonly live: boolean;
  /** Whether it reads nothing but the entity's own row and does not wait, so that it can run inside the transaction. */
  ownRow: boolean;
  readonly call: (subject: unknown, scope: SourceScope) => SourceOutput;
}

/** A source that was thought to be synchronous gave a promise. */
export class NotSynchronous extends Error {}

/** The events of a source that does not wait. Throws NotSynchronous when it does after all. */
export function eventsNow(source: Source, subject: unknown, scope: SourceScope): SparkEvent[] {
  const output = source.call(subject, scope);
  if (isIterable(output)) return [...limited(source, output, EVENTS_PER_ENTITY)];
  if (output instanceof Promise) output.catch(() => undefined);
  throw new NotSynchronous();
}

/** The events of any source. */
export async function eventsOf(source: Source, subject: unknown, scope: SourceScope): Promise<SparkEvent[]> {
  const limit = EVENTS_PER_ENTITY * (Array.isArray(subject) ? subject.length : 1);
  const output = await source.call(subject, scope);
  if (isIterable(output)) return [...limited(source, output, limit)];
  const events: SparkEvent[] = [];
  for await (const event of output) {
    if (events.push(event) > limit) throw new SourceLimitError(source.name, limit);
  }
  return events;
}

function* limited(source: Source, events: Iterable<SparkEvent>, limit: number): Iterable<SparkEvent> {
  let count = 0;
  for (const event of events) {
    if (++count > limit) throw new SourceLimitError(source.name, limit);
    yield event;
  }
}

function isIterable(output: unknown): output is Iterable<SparkEvent> {
  if (typeof output === 'object' && output !== null && Symbol.iterator in output) return true;
  if (output instanceof Promise || (typeof output === 'object' && output !== null && Symbol.asyncIterator in output))
    return false;
  throw new TypeError(
    `an event source has to give events: be a generator, or return an array or a promise of one. It gave ${String(output)}`,
  );
}
