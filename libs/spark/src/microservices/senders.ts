import { setTimeout as delay } from 'node:timers/promises';
import type { ClientProxy } from '@nestjs/microservices';
import { BatchError, type Duration, RetryLater } from '../index.js';
import type { CloudEvent } from './cloud-event.js';
import type { Transport } from './transport.js';

/** Sends events. Returns the errors of those that the broker does not have, by id; rejects if it may have none of them. */
export type Send = (events: readonly CloudEvent[], signal: AbortSignal) => Promise<ReadonlyMap<string, unknown>>;

/** How long a relay without a connection pauses between two tries, and how long its events wait after the last one, in milliseconds. */
const [PAUSE, RECONNECT] = [500, 5_000];

/** What sends by a ClientProxy needs to know. */
export interface ClientSettings {
  readonly transport: Transport;
  readonly patternOf: (event: CloudEvent) => string;
  /** The time-out of a batch. */
  readonly timeout: Duration;
}

/**
 * Makes a relay send by a ClientProxy. A batch waits for a connection for half of its time, so that an outage costs the database little. Then
 * its attempts do not count, so that an outage discards nothing.
 */
export function byClient(client: ClientProxy, { transport, patternOf, timeout }: ClientSettings): Send {
  const patience = new RetryLater(timeout).milliseconds / 2;
  return async (events, signal) => {
    await connected(client, transport, patience, signal);
    return transport.send(events, patternOf);
  };
}

/** Makes a relay send by a function of the application. If it throws a BatchError, only the events with its keys were not sent. */
export function byFunction(send: (events: CloudEvent[]) => unknown): Send {
  return async (events) => {
    try {
      await send([...events]);
      return new Map();
    } catch (error) {
      if (!(error instanceof BatchError)) throw error;
      const ids = new Set(events.map(({ id }) => id));
      if ([...error.failed.keys()].some((id) => !ids.has(id))) throw error;
      return error.failed;
    }
  };
}

async function connected(
  client: ClientProxy,
  transport: Transport,
  patience: number,
  signal: AbortSignal,
): Promise<void> {
  const end = performance.now() + patience;
  for (;;) {
    const failure = await failureOf(client, transport, Math.max(0, end - performance.now()));
    if (!failure) return;
    signal.throwIfAborted();
    if (performance.now() + PAUSE > end) {
      const reason = `${client.constructor.name} has no connection to its broker: ${failure.message}`;
      throw new RetryLater(RECONNECT, reason, { cause: failure });
    }
    await delay(PAUSE);
  }
}

/** Why a client cannot connect; undefined if it can. */
async function failureOf(client: ClientProxy, transport: Transport, limit: number): Promise<Error | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Error>((resolve) => {
    timer = setTimeout(() => resolve(new Error('it does not answer')), limit);
  });
  const connecting = client.connect().then(
    () => undefined,
    (error: unknown) => errorOf(error),
  );
  transport.onConnecting?.();
  return Promise.race([connecting, late]).finally(() => clearTimeout(timer));
}

// Clients of Nest reject with errors, with texts, and with objects that hold an error.
function errorOf(thrown: unknown): Error {
  const inner: unknown = thrown instanceof Error ? thrown : ((Object(thrown) as { err?: unknown }).err ?? thrown);
  return inner instanceof Error ? inner : new Error(String(inner));
}
