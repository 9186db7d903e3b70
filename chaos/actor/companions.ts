import type { ModuleMetadata } from '@nestjs/common';
import { ClientsModule, Transport } from '@nestjs/microservices';
import type { WorkerOptions } from 'nestjs-spark';
import { BullMQCarrier } from 'nestjs-spark-bullmq';
import { SparkRelayModule } from 'nestjs-spark/microservices';
import { type ActorInput, type CompanionName, RELAY, type Relayed, TTL } from '../faults.js';

/** What an application has because of its companion. */
interface Parts {
  readonly worker: WorkerOptions;
  readonly imports: NonNullable<ModuleMetadata['imports']>;
}

type Given = Pick<ActorInput, 'life' | 'roles'> & { readonly url: string };

const PARTS: Record<CompanionName, (given: Given) => Parts> = { bullmq: withCarrier, rabbitmq: withRelay };

/** What the application of a process has because of its companion. */
export function partsOf({ companion, life, roles }: ActorInput): Parts {
  return companion ? PARTS[companion.name]({ url: companion.url, life, roles }) : { worker: {}, imports: [] };
}

/** Few deliveries in a job and on their way, so that much happens with them. */
function withCarrier({ url, roles }: Given): Parts {
  const carrier = new BullMQCarrier({ connection: url, roles, window: 100, idsPerJob: 5, ttl: TTL });
  return { worker: { carrier }, imports: [] };
}

/** Small batches, so that much happens with them, which give up before a server that stands still goes on. */
function withRelay({ url, life }: Given): Parts {
  const { name, queue, groups } = RELAY;
  const data = (): Relayed => ({ life, at: Date.now() });
  const relay = {
    name,
    groups,
    data,
    client: 'BUS',
    batch: { max: 20 },
    timeout: '5s',
    backoff: { base: 200, max: 2_000 },
  } as const;
  const options = { urls: [url], queue, queueOptions: { durable: true } };
  const bus = ClientsModule.register([{ name: 'BUS', transport: Transport.RMQ, options }]);
  return {
    worker: {},
    imports: [SparkRelayModule.forRoot({ source: '/chaos' }), SparkRelayModule.forFeature([relay], [bus])],
  };
}
