import {
  ClientGrpcProxy,
  ClientKafka,
  ClientMqtt,
  ClientNats,
  type ClientProxy,
  ClientRedis,
  ClientRMQ,
  ClientTCP,
  MqttRecordBuilder,
} from '@nestjs/microservices';
import { lastValueFrom, type Observable } from 'rxjs';
import type { CloudEvent } from './cloud-event.js';
import { byConfirms } from './rabbitmq.js';
import type { Transport } from './transport.js';

/** The part of a ClientProxy that sends. */
type Emitter = Pick<ClientProxy, 'emit'>;

const NOT_EVENTS = 'gRPC has no events. Send by another transport, or by a function';
const NOWHERE =
  'Nest sends by core NATS, which does not say whether anybody got the event. For JetStream, send by toJetStream()';
const PUB_SUB =
  'Nest sends by pub/sub of Redis, which forgets what no subscriber gets. For a stream of Redis, send by a function with XADD';
const SOCKET = 'Nest writes to a socket, and nobody says whether the other end got the event. Send by a broker';

/**
 * The way to send by a ClientProxy. One that is not Nest's own is trusted: what its `dispatchEvent` returns has to resolve when the broker
 * has stored the event, and to reject otherwise.
 */
export function transportOf(client: ClientProxy): Transport {
  if (client instanceof ClientKafka) return byTopic(client);
  if (client instanceof ClientRMQ) return byConfirms(client);
  if (client instanceof ClientMqtt) return oneByOne(client, atLeastOnce);
  if (client instanceof ClientNats) return oneByOne(client, asIs, NOWHERE);
  if (client instanceof ClientRedis) return oneByOne(client, asIs, PUB_SUB);
  if (client instanceof ClientTCP) return oneByOne(client, asIs, SOCKET);
  if (client instanceof ClientGrpcProxy) return oneByOne(client, asIs, NOT_EVENTS);
  return oneByOne(client, asIs);
}

const asIs = (event: CloudEvent): unknown => event;

/** With QoS 0 an MQTT broker acknowledges nothing. */
const atLeastOnce = (event: CloudEvent): unknown => new MqttRecordBuilder(event).setQoS(1).build();

/** Sends all events at once, so that acknowledgements are awaited together. Their order on the connection is the given one. */
function oneByOne(client: Emitter, recordOf: (event: CloudEvent) => unknown, loses?: string): Transport {
  return {
    ...(loses === undefined ? {} : { loses }),
    async send(events, patternOf) {
      const sent = await Promise.allSettled(
        events.map((event) => ended(client.emit(patternOf(event), recordOf(event)))),
      );
      return new Map(
        sent.flatMap((result, i) => (result.status === 'rejected' ? [[events[i]!.id, result.reason]] : [])),
      );
    },
  };
}

/** Sends a request for each topic. Events of one entity go to one partition, which keeps their order. */
function byTopic(client: ClientKafka): Transport {
  return {
    async send(events, patternOf) {
      const topics = new Map<string, CloudEvent[]>();
      for (const event of events) {
        const topic = patternOf(event);
        const own = topics.get(topic);
        if (own) own.push(event);
        else topics.set(topic, [event]);
      }
      const failed = new Map<string, unknown>();
      const sendTo = async (topic: string, own: readonly CloudEvent[]) => {
        const messages = own.map((event) => ({ key: event.subject ?? event.id, value: event }));
        await ended(client.emitBatch(topic, { messages })).catch((error: unknown) => {
          for (const { id } of own) failed.set(id, error);
        });
      };
      await Promise.all([...topics].map(([topic, own]) => sendTo(topic, own)));
      return failed;
    },
  };
}

const ended = (sending: Observable<unknown>): Promise<unknown> => lastValueFrom(sending, { defaultValue: undefined });
