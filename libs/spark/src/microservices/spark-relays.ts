import 'reflect-metadata';
import { Injectable, type OnApplicationBootstrap, type OnModuleInit } from '@nestjs/common';
import { DiscoveryService } from '@nestjs/core';
import { SparkLog } from '../common/spark-log.js';
import {
  AtMostOnceError,
  InvalidOptionsError,
  MissingClientError,
  MissingMethodError,
  type SparkEvent,
  SparkRegistry,
  type SparkService,
} from '../index.js';
import { relay, type RelayParts } from './relay.js';
import { CLIENT, RELAY, type RelayInstance, type RelayMetadata } from './relay.metadata.js';
import { type RelayOptions, type SparkRelayOptions, TIMEOUT } from './relay.options.js';
import { byClient, byFunction, type Send } from './senders.js';
import { transportOf } from './transports.js';

/** How many of the latest deliveries a boot looks at, and how many of their groups it shows. */
const [LATEST, SHOWN] = [1_000, 10];

/** Finds the relays of the application, checks them at boot, and sends their events. */
@Injectable()
export class SparkRelays implements OnModuleInit, OnApplicationBootstrap {
  private readonly logger = new SparkLog();
  private readonly relays: (RelayMetadata & { readonly where: string })[] = [];
  private readonly parts = new WeakMap<object, RelayParts>();

  constructor(
    private readonly discovery: DiscoveryService,
    private readonly registry: SparkRegistry,
    private readonly defaults: SparkRelayOptions,
  ) {}

  onModuleInit(): void {
    for (const { instance } of this.discovery.getProviders()) {
      const metadata = metadataOf(instance);
      if (!metadata || this.parts.has(instance as object)) continue;
      this.parts.set(instance as object, this.partsOf(instance as RelayInstance, metadata));
      this.relays.push({ ...metadata, where: (instance as object).constructor.name });
    }
  }

  onApplicationBootstrap(): void {
    // The application does not wait for it, and can do without it.
    this.warnOfUnmatched().catch((error: unknown) =>
      this.logger.debug('The groups of relays were not checked.', { error }),
    );
  }

  /** Warns of relays that send none of the groups of the latest events: their patterns may be misspelled. */
  private async warnOfUnmatched(): Promise<void> {
    if (this.relays.length === 0) return;
    const groups = new Set<string>();
    for (const { service } of this.registry.all()) {
      const { records } = await service.deliveries({}, { limit: LATEST, readUpTo: LATEST });
      for (const { event } of records) groups.add(event.group);
    }
    const known = [...groups].sort();
    if (known.length === 0) return;
    for (const { where, name } of this.relays.filter((relayed) => !known.some(relayed.matches)))
      this.logger.warn(
        `${where} sends no group of the latest deliveries, such as ${known.slice(0, SHOWN).join(', ')}. If its groups are not new, is its ` +
          `pattern misspelled?`,
        { handler: name },
      );
  }

  /** Sends events of a relay. Throws BatchError for those that were not sent. */
  send(instance: RelayInstance, events: readonly SparkEvent[], signal: AbortSignal): Promise<void> {
    return relay(events, this.parts.get(instance)!, signal);
  }

  private partsOf(instance: RelayInstance, { options, name }: RelayMetadata): RelayParts {
    const where = instance.constructor.name;
    const { source = this.defaults.source, data = contextOf, extensions = [], orderBy } = options;
    if (source === undefined)
      throw new InvalidOptionsError(
        `source of @Relay on ${where}`,
        source,
        `a URI or path of the application, here or in SparkRelayModule.forRoot({ source: '/shop' })`,
      );
    const service = orderBy && this.serviceOf(where, options.dataSource);
    return {
      settings: { source, data, extensions },
      send: senderOf(where, instance, options),
      overtaking: service && ((keys) => service.overtaking(name, keys)),
    };
  }

  /** The service that knows which events come before others. */
  private serviceOf(where: string, dataSource: string | undefined): SparkService {
    const all = this.registry.all();
    if (dataSource !== undefined || all.length !== 1) {
      if (dataSource !== undefined) return this.registry.get(dataSource);
      const names = all.map((spark) => spark.dataSource).join(', ');
      throw new InvalidOptionsError(
        `dataSource of @Relay on ${where}`,
        dataSource,
        `one of ${names}, because orderBy is by the events of one DataSource`,
      );
    }
    return all[0]!.service;
  }
}

const contextOf = ({ context }: SparkEvent): unknown => context;

/** The metadata of the class of an instance, or of a parent class. */
function metadataOf(instance: unknown): RelayMetadata | undefined {
  const type: unknown = typeof instance === 'object' && instance !== null ? instance.constructor : undefined;
  if (typeof type !== 'function') return undefined;
  const all: RelayMetadata[] | undefined = Reflect.getMetadata(RELAY, type);
  return all?.[0];
}

function senderOf(
  where: string,
  instance: RelayInstance,
  { client: token, atMostOnce = false, pattern, timeout = TIMEOUT }: RelayOptions,
): Send {
  if (token === undefined) {
    if (typeof instance.send !== 'function') throw new MissingMethodError(where, 'Relay', 'send');
    return byFunction((events) => instance.send!(events));
  }
  const client = instance[CLIENT];
  if (!client) throw new MissingClientError(where, textOf(token));
  const transport = transportOf(client);
  if (transport.loses !== undefined && !atMostOnce)
    throw new AtMostOnceError(where, client.constructor.name, transport.loses);
  return byClient(client, { transport, patternOf: pattern ?? (({ type }) => type), timeout });
}

const textOf = (token: unknown): string =>
  typeof token === 'function' ? token.name : typeof token === 'string' ? `'${token}'` : String(token);
