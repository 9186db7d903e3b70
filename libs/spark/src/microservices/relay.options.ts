import type { InjectionToken } from '@nestjs/common';
import {
  type Backoff,
  type Duration,
  type GroupHandlerOptions,
  InvalidOptionsError,
  type SparkEvent,
} from '../index.js';
import { type CloudEvent, isExtension } from './cloud-event.js';

/** The options of a handler that a relay has, too. They mean the same. */
type HandlerPart = Pick<
  GroupHandlerOptions,
  'name' | 'aliases' | 'rateLimit' | 'fairBy' | 'priority' | 'revalidate' | 'missing' | 'dataSource'
>;

/** Options of a relay. */
export interface RelayOptions extends HandlerPart {
  /** The token of the ClientProxy that sends, as `ClientsModule.register` names it. Default: the method `send` of the class. */
  client?: InjectionToken;
  /**
   * The `source` of its CloudEvents: a URI, or a path such as `'/shop'`, that is the application's own. Consumers tell events apart by source
   * and id. Default: that of `SparkRelayModule.forRoot`.
   */
  source?: string;
  /**
   * The pattern under which a ClientProxy sends an event: what `@EventPattern` names; the topic of Kafka and MQTT. Default: its type, which is the group.
   */
  pattern?: (event: CloudEvent) => string;
  /** The data of an event. It is what others depend on, so that a changed entity need not change it. Default: the context. */
  data?: (event: SparkEvent<any>) => unknown;
  /** Names of fields of the metadata that become extension attributes, such as `'traceparent'` or `'tenant'`. Default: none. */
  extensions?: readonly string[];
  /**
   * Whether an event waits until all earlier ones of its entity are delivered. `docs/relays.md` says what that promises. Default: no order.
   */
  orderBy?: 'entity';
  /** Accepts that events may be lost: a transport that does not acknowledge is refused without it. Default: false. */
  atMostOnce?: boolean;
  /** How many events are sent together at most, and how long the first of them waits for more. Default: 500, and what is there. */
  batch?: { max?: number; wait?: Duration };
  /** How many batches a process sends at once. Default: 2. */
  concurrency?: number;
  /** How many batches all processes together send at once. Default: 1 with `orderBy`, and no limit without. */
  fleetConcurrency?: number;
  /** How often an event is tried before its delivery is discarded. Default: 1,000, which is about three days. */
  maxAttempts?: number;
  /** How long a batch may take until it has failed. Default: 30 seconds. */
  timeout?: Duration;
  /** How long a failed event waits. Default: `{ base: '1s', max: '5m' }`. */
  backoff?: Backoff;
}

/** Options of {@link SparkRelayModule}. */
export interface SparkRelayOptions {
  /** The `source` of all relays that have none of their own: a URI, or a path such as `'/shop'`, that is the application's own. */
  source?: string;
}

/** How long a batch may take by default. */
export const TIMEOUT = '30s';

/** The names of the options that handlers have, too. */
const SHARED = [
  'name',
  'aliases',
  'maxAttempts',
  'concurrency',
  'rateLimit',
  'fleetConcurrency',
  'fairBy',
  'priority',
  'revalidate',
  'missing',
  'dataSource',
  'batch',
  'timeout',
  'backoff',
] as const;
const OWN = ['client', 'source', 'pattern', 'data', 'extensions', 'orderBy', 'atMostOnce'] as const;

/** The options of a relay that its handler gets, with the defaults of relays. */
export function handlerOptionsOf(options: RelayOptions, name: string) {
  const given = Object.fromEntries(SHARED.flatMap((key) => (options[key] === undefined ? [] : [[key, options[key]]])));
  const defaults = {
    name,
    // Batches that are sent at the same time would wait for each other.
    ...(options.orderBy ? { fleetConcurrency: 1 } : {}),
    concurrency: 2,
    maxAttempts: 1_000,
    timeout: TIMEOUT,
    backoff: { base: '1s', max: '5m' },
  } as const;
  return { ...defaults, ...given, batch: { max: 500, ...options.batch } } as const;
}

/**
 * Checks the options that handlers do not have; the others are checked with the handler.
 *
 * @param where the class, for messages
 * @throws InvalidOptionsError that names the option
 */
export function checkRelayOptions(options: RelayOptions, where: string): void {
  const option = (name: string) => `${name} of @Relay on ${where}`;
  if (typeof options !== 'object' || options === null)
    throw new InvalidOptionsError(option('options'), options, 'an object');
  const names: readonly string[] = [...SHARED, ...OWN];
  const unknown = Object.keys(options).find((name) => !names.includes(name));
  if (unknown !== undefined)
    throw new InvalidOptionsError(option(unknown), options, `no other options than ${names.join(', ')}`);
  const { source, pattern, data, extensions, orderBy, atMostOnce } = options;
  if (source !== undefined) checkSource(option('source'), source);
  for (const [name, value] of Object.entries({ pattern, data }))
    if (value !== undefined && typeof value !== 'function')
      throw new InvalidOptionsError(option(name), value, 'a function of the event');
  if (extensions !== undefined && !(Array.isArray(extensions) && extensions.every(isExtension)))
    throw new InvalidOptionsError(option('extensions'), extensions, EXTENSIONS);
  if (orderBy !== undefined && orderBy !== 'entity')
    throw new InvalidOptionsError(option('orderBy'), orderBy, `'entity', or left out`);
  if (atMostOnce !== undefined && typeof atMostOnce !== 'boolean')
    throw new InvalidOptionsError(option('atMostOnce'), atMostOnce, 'true or false');
}

const EXTENSIONS =
  'a list of names of 1 to 20 small letters and digits, as CloudEvents needs them, and none of its own attributes';

/** Checks a `source`. Throws InvalidOptionsError. */
export function checkSource(option: string, source: unknown): void {
  const isReference = typeof source === 'string' && source !== '' && !/\s/.test(source);
  if (!isReference)
    throw new InvalidOptionsError(option, source, `a URI or a path of the application, such as '/shop'`);
}
