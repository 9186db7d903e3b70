import type { ClientRMQ } from '@nestjs/microservices';

/** What a relay needs of a channel of `amqplib` with publisher confirms. */
export interface ConfirmChannel {
  publish(
    exchange: string,
    routingKey: string,
    content: Buffer,
    options: object,
    confirmed: (error: unknown) => void,
  ): unknown;
  on(event: 'return', listener: (message: { properties: { messageId?: string } }) => void): unknown;
  once(event: 'close', listener: () => void): unknown;
}

/** What it needs of a channel of `amqp-connection-manager`, which opens one of `amqplib` after each connect. */
export interface ChannelWrapper {
  waitForConnect(): Promise<void>;
  on(event: 'error', listener: (error: unknown) => void): unknown;
}

/** What it needs of the connections of `amqp-connection-manager`, which `ClientRMQ.unwrap` returns. */
export interface Connections {
  createChannel(options: {
    name: string;
    confirm: true;
    setup: (channel: ConfirmChannel) => Promise<void>;
  }): ChannelWrapper;
  on(event: 'connect', listener: () => void): unknown;
  readonly _channels?: readonly ChannelWrapper[];
}

const [watched, withListener] = [new WeakSet<Connections>(), new WeakSet<ChannelWrapper>()];

/**
 * Lets an application outlive a connection that breaks while channels are being opened on it. Each of them has an error then, which would end
 * the process, as Nest listens to none. To call after each `connect`.
 */
export function protectFromBreaks(client: ClientRMQ): void {
  const connections: Connections | null = client['client'];
  if (!connections || watched.has(connections)) return;
  watched.add(connections);
  const listen = () => {
    for (const channel of connections['_channels'] ?? []) ignoreBreaks(channel);
  };
  listen();
  // Nest opens its channels in listeners of its own, which come before this one.
  connections.on('connect', listen);
}

/** A channel whose connection is gone is opened again with the next one. What RabbitMQ refuses, such as a queue, still ends the process. */
export function ignoreBreaks(channel: ChannelWrapper): void {
  if (withListener.has(channel)) return;
  withListener.add(channel);
  channel.on('error', (error) => {
    // Only what RabbitMQ refuses has a code of AMQP.
    if (typeof Object(error).code === 'number') throw error;
  });
}
