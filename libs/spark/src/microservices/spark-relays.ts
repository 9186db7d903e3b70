import 'reflect-metadata';
import { Injectable, type OnModuleInit } from '@nestjs/common';
import { DiscoveryService } from '@nestjs/core';
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
import type { SparkRelayOptions } from './relay.options.js';
import { byClient, byFunction, type Send } from './senders.js';
import { transportOf } from './transports.js';

/** Finds the relays of the application, checks them at boot, and sends their events. */
@Injectable()
export class SparkRelays implements OnModuleInit {
  private readonly parts = new WeakMap<object, RelayParts>();

  constructor(
    private readonly discovery: DiscoveryService,
    private readonly registry: SparkRegistry,
    private readonly defaults: SparkRelayOptions,
  ) {}

  onModuleInit(): void {
    for (const { instance } of this.discovery.getProviders()) {
      const metadata = metadataOf(instance);
      if (metadata) this.parts.set(instance as object, this.partsOf(instance as RelayInstance, metadata));
    }
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
  { client: token, atMostOnce = false, pattern }: RelayMetadata['options'],
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
  return byClient(client, transport, pattern ?? (({ type }) => type));
}

const textOf = (token: unknown): string =>
  typeof token === 'function' ? token.name : typeof token === 'string' ? `'${token}'` : String(token);
