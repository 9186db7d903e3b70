import type { ClientProxy } from '@nestjs/microservices';
import { RetryLater } from '../index.js';
import type { CloudEvent } from './cloud-event.js';
import type { Transport } from './transports.js';

/** Sends events. Returns the errors of those that the broker does not have, by id; rejects if it may have none of them. */
export type Send = (events: readonly CloudEvent[]) => Promise<ReadonlyMap<string, unknown>>;

/** How long a relay waits for a connection, and after which time it tries again, in milliseconds. */
const [CONNECT, RECONNECT] = [10_000, 5_000];

/** Makes a relay send by a ClientProxy. While that has no connection, attempts do not count: an outage discards nothing. */
export function byClient(client: ClientProxy, transport: Transport, patternOf: (event: CloudEvent) => string): Send {
  return async (events) => {
    await connected(client);
    return transport.send(events, patternOf);
  };
}

/** Makes a relay send by a function of the application. */
export function byFunction(send: (events: CloudEvent[]) => unknown): Send {
  return async (events) => {
    await send([...events]);
    return new Map();
  };
}

async function connected(client: ClientProxy): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it took longer than ${CONNECT / 1_000} seconds`)), CONNECT);
  });
  try {
    await Promise.race([client.connect(), late]);
  } catch (error) {
    const { name } = client.constructor;
    throw new RetryLater(RECONNECT, `${name} has no connection to its broker: ${reasonOf(error)}`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

// Clients of Nest reject with errors, with texts, and with objects that hold an error.
function reasonOf(error: unknown): string {
  const inner: unknown = error instanceof Error ? error : ((Object(error) as { err?: unknown }).err ?? error);
  return inner instanceof Error ? inner.message || inner.name : String(inner);
}
