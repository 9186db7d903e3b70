import type { EntityMetadata, ObjectLiteral } from 'typeorm';
import { SourceLimitError } from '../error/source-limit.error.js';
import { SourceTimeoutError } from '../error/source-timeout.error.js';
import { got } from '../error/wording.js';
import type { SparkEvent } from '../event/spark-event.js';
import { waitedFor } from '../event/waited-for.js';
import type { EventSourceOptions, History, SourceOutput, SourceScope } from './event-source.decorator.js';

/** How many events a source may yield for one entity. */
export const EVENTS_PER_ENTITY = 1_000;

/** An event source of the application, as the explorer found it. */
export interface Source {
  readonly name: string;
  /** `Class.method`, for messages. */
  readonly where: string;
  readonly metadata: EntityMetadata;
  readonly options: EventSourceOptions<ObjectLiteral>;
  readonly live: boolean;
  /** How long one call may take, in milliseconds. */
  readonly timeout: number;
  /** Whether it reads only the entity's own row and does not wait, so that it can run inside the transaction. */
  ownRow: boolean;
  /** Whether it returns promises, or gets many entities at once. */
  waits: boolean;
  /** What happens with events that were true before. */
  readonly history: History;
  /** The text of its function. */
  readonly text: string;
  /** A hash of its code: see `codeOf`. */
  readonly code: string;
  readonly call: (subject: unknown, scope: SourceScope) => SourceOutput;
}

/** A source that counted as synchronous has returned a promise or an async generator. */
export class NotSynchronous extends Error {}

/** Runs a source that does not wait, and returns its events. Throws NotSynchronous when the source waits after all. */
export function eventsNow(source: Source, subject: unknown, scope: SourceScope): SparkEvent[] {
  const output = source.call(subject, scope);
  if (isIterable(output)) return listed(source, output, EVENTS_PER_ENTITY);
  if (output instanceof Promise) output.catch(() => undefined);
  else if (!isAsyncIterable(output)) throw noEvents(output);
  throw new NotSynchronous();
}

/**
 * Runs a source and returns its events: at once if the source does not wait, else as a promise. The promise rejects with
 * SourceTimeoutError when the source does not end in time.
 */
export function eventsOf(
  source: Source,
  subject: unknown,
  scope: SourceScope,
): readonly SparkEvent[] | Promise<readonly SparkEvent[]> {
  const limit = EVENTS_PER_ENTITY * (Array.isArray(subject) ? subject.length : 1);
  return waitedFor(`the source ${source.name}`, source.metadata.dataSource, () => {
    const output = source.call(subject, scope);
    return isIterable(output) ? listed(source, output, limit) : inTime(source, output, limit);
  });
}

async function inTime(source: Source, output: SourceOutput, limit: number): Promise<SparkEvent[]> {
  const call = { isLate: false };
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      call.isLate = true;
      reject(new SourceTimeoutError(source.name, source.timeout));
    }, source.timeout);
  });
  try {
    return await Promise.race([awaited(source, output, limit, call), late]);
  } finally {
    clearTimeout(timer);
  }
}

async function awaited(
  source: Source,
  output: SourceOutput,
  limit: number,
  call: { readonly isLate: boolean },
): Promise<SparkEvent[]> {
  const given = await output;
  if (isIterable(given)) return call.isLate ? [] : listed(source, given, limit);
  if (!isAsyncIterable(given)) throw noEvents(given);
  const events: SparkEvent[] = [];
  for await (const event of given) {
    // The caller has timed out: the other events are not used.
    if (call.isLate) break;
    if (events.push(event) > limit) throw new SourceLimitError(source.name, limit);
  }
  return events;
}

function listed(source: Source, given: Iterable<SparkEvent>, limit: number): SparkEvent[] {
  const events: SparkEvent[] = [];
  for (const event of given) {
    if (events.push(event) > limit) throw new SourceLimitError(source.name, limit);
  }
  return events;
}

function isIterable(output: unknown): output is Iterable<SparkEvent> {
  return typeof output === 'object' && output !== null && Symbol.iterator in output;
}

function isAsyncIterable(output: unknown): output is AsyncIterable<SparkEvent> {
  return typeof output === 'object' && output !== null && Symbol.asyncIterator in output;
}

function noEvents(output: unknown): TypeError {
  const isEvent = typeof output === 'object' && output !== null && 'group' in output;
  const given = isEvent ? 'one event: return [event], or yield it' : got(output);
  return new TypeError(
    `an event source must be a generator, or return an array of events or a promise of one. It returned ${given}.`,
  );
}
