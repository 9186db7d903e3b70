import { BatchError } from '../index.js';
import type { CloudEvent } from './cloud-event.js';

/** What {@link toJetStream} needs of a JetStream client, such as that of `@nats-io/jetstream`. */
export interface JetStreamPublisher {
  publish(subject: string, payload: string, options: { msgID: string }): Promise<unknown>;
}

/** Options of {@link toJetStream}. */
export interface JetStreamOptions {
  /** The NATS subject of an event. A stream has to have it. Default: its type, which is the group. */
  subject?: (event: CloudEvent) => string;
}

/**
 * Returns a function that publishes events to NATS JetStream, and waits until the stream has stored them. The id of each is its
 * `Nats-Msg-Id`, so the stream drops one that it got within its `duplicate_window` before. One that the stream refuses, as it is too large,
 * fails alone.
 *
 * @param jetStream the client, or a function that returns it, so that it may connect later
 * @param options the subjects
 *
 * @example
 * SparkRelayModule.forFeature([{ name: 'orders', groups: /^order/, send: toJetStream(() => jetstream(connection)) }])
 */
export function toJetStream(
  jetStream: JetStreamPublisher | (() => JetStreamPublisher | Promise<JetStreamPublisher>),
  { subject = ({ type }) => type }: JetStreamOptions = {},
): (events: CloudEvent[]) => Promise<void> {
  return async (events) => {
    const client = typeof jetStream === 'function' ? await jetStream() : jetStream;
    const publish = async (event: CloudEvent) =>
      client.publish(subject(event), JSON.stringify(event), { msgID: event.id });
    const sent = await Promise.allSettled(events.map(publish));
    const failed = sent.flatMap((result, i) =>
      result.status === 'rejected' ? [[events[i]!.id, result.reason] as const] : [],
    );
    if (failed.length > 0) throw new BatchError(new Map<string, unknown>(failed));
  };
}
