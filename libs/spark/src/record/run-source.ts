import { setTimeout as delay } from 'node:timers/promises';
import { yieldToEventLoop, isBlocking } from '../common/event-loop.js';
import { InterceptorTimeoutError } from '../error/interceptor-timeout.error.js';
import { SourceTimeoutError } from '../error/source-timeout.error.js';
import type { SparkEvent } from '../event/spark-event.js';
import { waitedFor } from '../event/waited-for.js';
import { type Around, inTime } from '../interceptor/around.js';
import type { InterceptedSource } from '../interceptor/spark-interceptor.decorator.js';
import type { SourceScope } from '../source/event-source.decorator.js';
import { eventsOf, type Source } from '../source/source.js';
import type { Subject } from '../entity/subjects.js';
import { inHalves } from './in-halves.js';

// How long the next calls wait for one call, in milliseconds.
const SLOW = 1_000;
// How many calls may run at once, and how many may time out in a row.
const BESIDE = 10;

/** Gets the results of calls of a source. */
export interface SourceCalls {
  /** Gets the events that the source yielded for one subject, or for a batch. */
  take(events: readonly SparkEvent[], subjects: readonly Subject[]): void;
  fail(subjects: readonly Subject[], error: unknown): void;
}

/**
 * Calls a source with subjects: one by one, or all at once for a batch source. A subject at which the source fails does not affect the
 * others.
 *
 * @returns the last error if Spark gave the source up: it timed out too often in a row, or failed too often for a batch. Then the further
 *   subjects have failed without a call
 */
export async function runSource(
  source: Source,
  subjects: readonly Subject[],
  scope: SourceScope,
  calls: SourceCalls,
): Promise<unknown> {
  if (!source.options.batch) return runEach(source, subjects, scope, calls);
  const run = async (part: readonly Subject[]) => {
    const entities = part.map(({ entity }) => entity);
    calls.take(await eventsOf(source, entities, scope), part);
  };
  return inHalves(subjects, run, (part, error) => calls.fail(part, error));
}

/** Runs a source on `count` entities inside of interceptors. Rejects with the interceptors' errors, and with InterceptorTimeoutError. */
export function runWithin(
  around: Around<InterceptedSource>,
  { name, metadata, timeout }: Source,
  count: number,
  work: () => Promise<void>,
): Promise<void> {
  const run = { source: name, entity: metadata.name, count };
  const late = () => new InterceptorTimeoutError(name, timeout);
  return waitedFor(`an interceptor of the source ${name}`, metadata.dataSource, () =>
    inTime(around, run, work, timeout, late),
  );
}

async function runEach(source: Source, subjects: readonly Subject[], scope: SourceScope, calls: SourceCalls) {
  const running = new Set<Promise<void>>();
  const late = { inARow: 0, error: undefined as unknown };
  for (const subject of subjects) {
    if (late.inARow >= BESIDE) {
      calls.fail([subject], late.error);
      continue;
    }
    while (isBlocking()) await yieldToEventLoop();
    try {
      const events = eventsOf(source, subject.entity, scope);
      if (!(events instanceof Promise)) calls.take(events, [subject]);
      else await wait(running, ended(events, subject, calls, late));
    } catch (error) {
      calls.fail([subject], error);
    }
  }
  await Promise.all(running);
  return late.inARow >= BESIDE ? late.error : undefined;
}

async function ended(
  events: Promise<readonly SparkEvent[]>,
  subject: Subject,
  calls: SourceCalls,
  late: { inARow: number; error: unknown },
): Promise<void> {
  try {
    calls.take(await events, [subject]);
    late.inARow = 0;
  } catch (error) {
    late.inARow = error instanceof SourceTimeoutError ? late.inARow + 1 : 0;
    late.error = error;
    calls.fail([subject], error);
  }
}

/** Waits for a call for up to SLOW milliseconds. If BESIDE calls are running, it waits until one of them ends. */
async function wait(running: Set<Promise<void>>, call: Promise<void>): Promise<void> {
  const ending = new AbortController();
  running.add(call);
  void call.finally(() => {
    running.delete(call);
    ending.abort();
  });
  await Promise.race([call, delay(SLOW, undefined, { signal: ending.signal }).catch(() => undefined)]);
  while (running.size >= BESIDE) await Promise.race(running);
}
