import type { ClientProxy } from '@nestjs/microservices';
import type { CloudEvent } from './cloud-event.js';
import type { RelayOptions } from './relay.options.js';

/** A class that sends events itself: a relay without a `client`. */
export interface CloudEventSender {
  /**
   * Sends events. It resolves when the broker has all of them. If it rejects, all of them are sent again; with a BatchError of their ids, only
   * those. With `orderBy: 'entity'`, no two of them are of one entity.
   */
  send(events: CloudEvent[]): Promise<unknown>;
}

/** What `@Relay` stores on a class. */
export interface RelayMetadata {
  readonly options: RelayOptions;
  /** The name of its handler. */
  readonly name: string;
  /** Whether it sends the events of a group. */
  readonly matches: (group: string) => boolean;
}

export const RELAY = Symbol.for('nestjs-spark.relay');

/** The property in which Nest puts the client. */
export const CLIENT = Symbol('the client of @Relay');

/** An instance of a class with `@Relay`. */
export interface RelayInstance extends Partial<CloudEventSender> {
  [CLIENT]?: ClientProxy;
}
