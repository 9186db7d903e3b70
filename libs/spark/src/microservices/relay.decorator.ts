import { Inject, Optional } from '@nestjs/common';
import { addMetadata } from '../common/decorator-metadata.js';
import { type BatchScope, type EventDefinition, GroupHandler, InvalidOptionsError, type SparkEvent } from '../index.js';
import { CLIENT, RELAY, type RelayInstance, type RelayMetadata } from './relay.metadata.js';
import { checkRelayOptions, handlerOptionsOf, type RelayOptions } from './relay.options.js';
import { SparkRelays } from './spark-relays.js';

/** The groups whose events a relay sends: what the first argument of `@GroupHandler` may be. */
export type RelayPattern = RegExp | string | EventDefinition | readonly EventDefinition[];

/** The property in which Nest puts what sends. Its text is in the error of an application without it. */
const RELAYS = Symbol('SparkRelays, which SparkRelayModule.forRoot() provides');

/**
 * Makes a provider a relay: it sends the events of some groups to a broker, as CloudEvents, in batches, at least once. With `client`, a
 * ClientProxy of `@nestjs/microservices` sends them, and the class needs no method. Otherwise its method `send` does. The application
 * imports `SparkRelayModule.forRoot` once.
 *
 * @param pattern the groups, as for `@GroupHandler`
 * @param options the client, the order, and the options of a handler
 * @throws InvalidOptionsError that names the option; at boot MissingClientError and AtMostOnceError
 *
 * @example
 * @Relay(/^order/, { client: 'BUS', orderBy: 'entity' })
 * @Injectable()
 * export class OrderRelay {}
 *
 * @example
 * @Relay(/^order/, { name: 'order-relay' })
 * @Injectable()
 * export class OrderRelay implements CloudEventSender {
 *   constructor(private readonly bus: Bus) {}
 *   async send(events: CloudEvent[]) { await this.bus.publish(events); }
 * }
 */
export function Relay(
  pattern: RelayPattern,
  options: RelayOptions = {},
): (target: new (...args: any[]) => object) => void {
  return (target) => {
    const where = target.name;
    const prototype: object = target.prototype;
    checkRelayOptions(options, where);
    if (Object.hasOwn(prototype, 'handle'))
      throw new InvalidOptionsError(
        `${where} with @Relay`,
        'a class with a method handle',
        'one without it, and with one @Relay',
      );
    const metadata: RelayMetadata = { options, name: options.name ?? where, matches: matcherOf(pattern) };
    const handle = methodOfRelay();
    Object.defineProperty(prototype, 'handle', handle);
    decoratorOf(pattern, handlerOptionsOf(options, metadata.name))(prototype, 'handle', handle);
    addMetadata(RELAY, 'Relay', metadata, target);
    Inject(SparkRelays)(prototype, RELAYS);
    if (options.client === undefined) return;
    Inject(options.client)(prototype, CLIENT);
    // A missing client has an error of its own.
    Optional()(prototype, CLIENT);
  };
}

type RelayMethod = (
  this: RelayInstance & { [RELAYS]: SparkRelays },
  events: SparkEvent[],
  scope: BatchScope,
) => Promise<void>;

/** A method for each class, because decorators store what they say on the function. */
function methodOfRelay(): TypedPropertyDescriptor<RelayMethod> {
  const handle: RelayMethod = function (events, { signal }) {
    return this[RELAYS].send(this, events, signal);
  };
  return { value: handle, writable: true, configurable: true };
}

function matcherOf(pattern: RelayPattern): (group: string) => boolean {
  if (typeof pattern !== 'string' && !(pattern instanceof RegExp)) {
    const groups = new Set([pattern].flat().map(({ group }) => group));
    return (group) => groups.has(group);
  }
  const { source, flags } = new RegExp(pattern);
  // With the flags `g` and `y`, a RegExp remembers its last position.
  const regex = new RegExp(source, flags.replace(/[gy]/g, ''));
  return (group) => regex.test(group);
}

const decoratorOf = (pattern: RelayPattern, options: ReturnType<typeof handlerOptionsOf>) =>
  typeof pattern === 'string' || pattern instanceof RegExp
    ? GroupHandler(pattern, options)
    : GroupHandler(pattern, options);
