import 'reflect-metadata';
import { Injectable } from '@nestjs/common';
import { ClientsModule, Transport } from '@nestjs/microservices';
import { jetstream } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { type CloudEvent, Relay, type RelayOptions, SparkRelayModule, toJetStream } from 'nestjs-spark/microservices';
import { handleUntilMessage } from './handling-process.js';
import { Journey } from './journeys.js';

const { options, driver, rabbitmq, nats, queue, orderBy, dieAfter } = JSON.parse(process.argv[2]!);
let left: number = dieAfter ?? Infinity;

/** Dies a moment after it has begun to send so many events: before they arrive, or before their deliveries are completed. */
function mortal({ type }: CloudEvent): string {
  if (--left === 0) setTimeout(() => process.kill(process.pid, 'SIGKILL'), Math.random() * 8);
  return type;
}

const given: RelayOptions = { name: 'journeys-relay', orderBy, batch: { max: 20 }, timeout: '5s' };

@Relay(/^journey/, { ...given, client: 'BUS', pattern: mortal })
@Injectable()
class ToRabbitmq {}

@Relay(/^journey/, given)
@Injectable()
class ToNats {
  readonly send = toJetStream(async () => jetstream((await connection)!), { subject: mortal });
}

const connection = nats ? connect({ servers: nats, maxReconnectAttempts: -1, reconnectTimeWait: 50 }) : undefined;

const client = { urls: [rabbitmq], queue, queueOptions: { durable: true } };
const imports = [
  SparkRelayModule.forRoot({ source: '/journeys' }),
  ClientsModule.register(rabbitmq ? [{ name: 'BUS', transport: Transport.RMQ, options: client }] : []),
];
const providers = [rabbitmq ? ToRabbitmq : ToNats];
handleUntilMessage({ options, driver }, { entities: [Journey], imports, providers }, async () =>
  (await connection)?.close(),
);
