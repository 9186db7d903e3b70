import type { ClientRMQ } from '@nestjs/microservices';
import {
  type ChannelWrapper,
  type ConfirmChannel,
  type Connections,
  ignoreBreaks,
  protectFromBreaks,
} from './amqp-connections.js';
import type { CloudEvent } from './cloud-event.js';
import type { Transport } from './transport.js';

/**
 * Sends by the connection and to the queue or exchange of a ClientRMQ, on a channel of its own. Its `emit` costs several times as much, sends
 * again by itself after a reconnect, and does not notice that the queue is gone.
 */
export function byConfirms(client: ClientRMQ): Transport {
  const channels = new WeakMap<Connections, Confirms>();
  return {
    onConnecting: () => protectFromBreaks(client),
    send(events, patternOf) {
      const connections = client.unwrap<Connections>();
      const confirms = channels.get(connections) ?? new Confirms(connections);
      channels.set(connections, confirms);
      return confirms.send(events.map((event) => messageOf(client, patternOf(event), event)));
    },
  };
}

/** A message to send. */
interface Outgoing {
  readonly id: string;
  readonly exchange: string;
  readonly routingKey: string;
  readonly content: Buffer;
  readonly options: object;
}

/** A message that is not confirmed yet. */
interface Unconfirmed {
  readonly id: string;
  readonly settle: (error: unknown) => void;
}

/** A channel with publisher confirms, which is opened again after each reconnect. */
class Confirms {
  private channel: ConfirmChannel | undefined;
  private readonly wrapper: ChannelWrapper;
  private readonly open = new Set<Unconfirmed>();

  constructor(connections: Connections) {
    const setup = async (channel: ConfirmChannel) => this.use(channel);
    this.wrapper = connections.createChannel({ name: 'nestjs-spark', confirm: true, setup });
    ignoreBreaks(this.wrapper);
  }

  private use(channel: ConfirmChannel): void {
    this.channel = channel;
    // What no queue takes is returned, and confirmed after that.
    channel.on('return', ({ properties: { messageId } }) =>
      this.fail('no queue takes the message', ({ id }) => id === messageId),
    );
    channel.once('close', () => {
      if (this.channel === channel) this.channel = undefined;
      this.fail('the channel was closed before RabbitMQ confirmed the message', () => true);
    });
  }

  private fail(reason: string, isMeant: (message: Unconfirmed) => boolean): void {
    for (const message of this.open) if (isMeant(message)) message.settle(new Error(reason));
  }

  /** Resolves when all messages are confirmed or have failed, with the errors of those that have, by the id of the event. */
  async send(messages: readonly Outgoing[]): Promise<Map<string, unknown>> {
    if (!this.channel) await this.wrapper.waitForConnect();
    const { channel } = this;
    if (!channel) throw new Error('RabbitMQ has closed the channel');
    const failed = new Map<string, unknown>();
    await new Promise<void>((resolve) => {
      let left = messages.length;
      for (const { id, exchange, routingKey, content, options } of messages) {
        const settle = (error: unknown) => {
          if (!this.open.delete(message)) return;
          if (error) failed.set(id, error);
          if (--left === 0) resolve();
        };
        const message = { id, settle };
        this.open.add(message);
        try {
          channel.publish(exchange, routingKey, content, options, settle);
        } catch (error) {
          settle(error);
        }
      }
    });
    return failed;
  }
}

/** What `emit` of the client would send, so that consumers of Nest read it. RabbitMQ keeps it on disk if its queue is durable. */
function messageOf(client: ClientRMQ, pattern: string, event: CloudEvent): Outgoing {
  const { exchange, exchangeType, wildcards, headers } = client['options'] ?? {};
  const queue = client['queue'];
  const { id, type } = event;
  const content = Buffer.from(JSON.stringify(client['serializer'].serialize(client['createPacket'](pattern, event))));
  const options = { persistent: true, messageId: id, type, contentType: 'application/json', headers };
  if (wildcards || exchangeType === 'fanout')
    return { id, exchange: exchange ?? queue, routingKey: pattern, content, options };
  // An exchange may have no queue for a message. Here there has to be one.
  return { id, exchange: '', routingKey: queue, content, options: { ...options, mandatory: true } };
}
