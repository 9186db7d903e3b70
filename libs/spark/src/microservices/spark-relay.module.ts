import { type DynamicModule, Module, type ModuleMetadata, type Type } from '@nestjs/common';
import { DiscoveryModule, DiscoveryService } from '@nestjs/core';
import { InvalidOptionsError, SparkRegistry } from '../index.js';
import type { CloudEvent } from './cloud-event.js';
import { Relay, type RelayPattern } from './relay.decorator.js';
import { checkSource, type RelayOptions, type SparkRelayOptions } from './relay.options.js';
import { SparkRelays } from './spark-relays.js';

/** A relay without a class of its own. */
export interface ConfiguredRelay extends RelayOptions {
  /** Its name, under which its deliveries are stored. */
  name: string;
  /** The groups whose events it sends, as for `@Relay`. */
  groups: RelayPattern;
  /** Sends events, in place of a `client`. It resolves when the broker has all of them. */
  send?: (events: CloudEvent[]) => Promise<unknown>;
}

/**
 * Sends events to message brokers. Import it once with `forRoot`. Relays are classes with `@Relay`, or options of `forFeature`.
 *
 * @example
 * @Module({
 *   imports: [
 *     SparkModule.forRoot(),
 *     SparkRelayModule.forRoot({ source: '/shop' }),
 *     ClientsModule.register([{ name: 'BUS', transport: Transport.RMQ, options: { queue: 'orders', queueOptions: { durable: true } } }]),
 *   ],
 *   providers: [OrderRelay],
 * })
 * export class AppModule {}
 */
@Module({})
export class SparkRelayModule {
  /**
   * Creates the module that relays need.
   *
   * @param options The `source` of all CloudEvents; a relay may have one of its own.
   * @throws InvalidOptionsError for an option that is unknown or not valid.
   *
   * @example
   * SparkRelayModule.forRoot({ source: 'https://shop.example' })
   */
  static forRoot(options: SparkRelayOptions = {}): DynamicModule {
    const call = 'The argument of SparkRelayModule.forRoot';
    if (typeof options !== 'object' || options === null) throw new InvalidOptionsError(call, options, '{ source }');
    if (Object.keys(options).some((name) => name !== 'source'))
      throw new InvalidOptionsError(call, options, 'no other option than source');
    if (options.source !== undefined) checkSource('source of SparkRelayModule.forRoot', options.source);
    return {
      module: SparkRelayModule,
      global: true,
      imports: [DiscoveryModule],
      providers: [
        {
          provide: SparkRelays,
          inject: [DiscoveryService, SparkRegistry],
          useFactory: (discovery: DiscoveryService, registry: SparkRegistry) =>
            new SparkRelays(discovery, registry, options),
        },
      ],
      exports: [SparkRelays],
    };
  }

  /**
   * Adds relays without classes of their own. The module that calls `forRoot` is imported as well.
   *
   * @param relays The relays, each with a name.
   * @param imports The modules that export their clients. Those of global modules need none.
   * @throws InvalidOptionsError for an option that is unknown or not valid.
   *
   * @example
   * SparkRelayModule.forFeature(
   *   [{ name: 'order-relay', groups: /^order/, client: 'BUS', orderBy: 'entity' }],
   *   [ClientsModule.register([{ name: 'BUS', transport: Transport.RMQ, options }])],
   * )
   *
   * @example
   * SparkRelayModule.forFeature([{ name: 'audit', groups: /./, send: (events) => bus.publish(events) }])
   */
  static forFeature(relays: readonly ConfiguredRelay[], imports: ModuleMetadata['imports'] = []): DynamicModule {
    if (!Array.isArray(relays))
      throw new InvalidOptionsError('The argument of SparkRelayModule.forFeature', relays, 'a list of relays');
    return { module: SparkRelayModule, imports, providers: (relays as readonly ConfiguredRelay[]).map(classOf) };
  }
}

/** A class that is the relay. */
function classOf(given: ConfiguredRelay): Type {
  const { groups, send, ...options } = given;
  if (typeof options.name !== 'string' || options.name === '')
    throw new InvalidOptionsError('name of a relay of SparkRelayModule.forFeature', options.name, 'text');
  class Configured {
    readonly send = send;
  }
  Object.defineProperty(Configured, 'name', { value: options.name });
  Relay(groups, options)(Configured);
  return Configured;
}
