import { type DynamicModule, Injectable, type Type } from '@nestjs/common';
import { type ClientProviderOptions, ClientsModule, Transport } from '@nestjs/microservices';
import { getDataSourceToken, TypeOrmModule } from '@nestjs/typeorm';
import {
  AtMostOnceError,
  InvalidOptionsError,
  MissingClientError,
  MissingMethodError,
  sparkEvent,
  SparkModule,
} from 'nestjs-spark';
import { type CloudEvent, Relay, type RelayOptions, SparkRelayModule } from 'nestjs-spark/microservices';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, inject, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import type { TestDatabase } from './support/databases.js';
import { inMemory, refusal } from './support/refusal.js';

const forRoot = SparkRelayModule.forRoot({ source: '/shop' });
/** Nobody listens there. */
const CLOSED = 9;

function relayOf(options: RelayOptions): Type {
  @Relay(/^order/, options)
  @Injectable()
  class OrderRelay {
    readonly send = options.client === undefined ? async () => undefined : undefined;
  }
  return OrderRelay;
}

type Name = 'nats' | 'redis' | 'tcp' | 'rabbitmq' | 'mqtt';
const CLIENTS: Record<Name, ClientProviderOptions> = {
  nats: { name: 'BUS', transport: Transport.NATS, options: {} },
  redis: { name: 'BUS', transport: Transport.REDIS, options: {} },
  tcp: { name: 'BUS', transport: Transport.TCP, options: {} },
  rabbitmq: {
    name: 'BUS',
    transport: Transport.RMQ,
    options: { urls: [`amqp://127.0.0.1:${CLOSED}`], queue: 'orders' },
  },
  mqtt: { name: 'BUS', transport: Transport.MQTT, options: { url: `mqtt://127.0.0.1:${CLOSED}` } },
};

const clients = (name: Name): DynamicModule => ClientsModule.register([CLIENTS[name]]);

const refused = (relay: Type, ...imports: DynamicModule[]) =>
  refusal({ entities: [], imports: [forRoot, ...imports], providers: [relay] });

describe('an application does not start', () => {
  it.each([
    [
      'nats',
      'ClientNats. Nest sends by core NATS, which does not say whether anybody got the event. For JetStream, send by toJetStream()',
    ],
    [
      'redis',
      'ClientRedis. Nest sends by pub/sub of Redis, which forgets what no subscriber gets. For a stream of Redis',
    ],
    ['tcp', 'ClientTCP. Nest writes to a socket'],
  ] as const)('with a relay to %s, which acknowledges nothing', async (name, why) => {
    const error = await refused(relayOf({ client: 'BUS' }), clients(name));
    expect(error).toBeInstanceOf(AtMostOnceError);
    expect(error.message).toContain(`OrderRelay would lose events: it sends by ${why}`);
    expect(error.message).toContain('If events may be lost, write atMostOnce: true in its options.');
  });

  it('with a relay whose client its module does not have', async () => {
    const error = await refused(relayOf({ client: 'BUS' }));
    expect(error).toBeInstanceOf(MissingClientError);
    expect(error.message).toContain(`OrderRelay sends by the client 'BUS', but its module has no such provider.`);
  });

  it('with a relay of forFeature whose client is in another module, and with its module it starts', async () => {
    const relays = [{ name: 'orders', groups: /^order/, client: 'BUS' }];
    const given = { entities: [], imports: [forRoot, clients('rabbitmq'), SparkRelayModule.forFeature(relays)] };
    expect(await refusal(given)).toBeInstanceOf(MissingClientError);
    const imports = [forRoot, SparkRelayModule.forFeature(relays, [clients('rabbitmq')])];
    expect((await refusal({ entities: [], imports })).message).toBe('it started');
  });

  it('without SparkRelayModule.forRoot', async () => {
    const error = await refusal({ entities: [], providers: [relayOf({})] });
    expect(error.message).toContain('SparkRelays, which SparkRelayModule.forRoot() provides');
  });

  it('without a source, which consumers need to tell events apart', async () => {
    const imports = [SparkRelayModule.forRoot()];
    const error = await refusal({ entities: [], imports, providers: [relayOf({})] });
    expect(error).toBeInstanceOf(InvalidOptionsError);
    expect(error.message).toContain('source of @Relay on OrderRelay is undefined. Expected: a URI or path');
    const own = await refusal({ entities: [], imports, providers: [relayOf({ source: '/own' })] });
    expect(own.message).toBe('it started');
  });

  it('with a relay that has neither a client nor a method send', async () => {
    @Relay(/^order/)
    class Nothing {}
    const error = await refused(Nothing);
    expect(error).toBeInstanceOf(MissingMethodError);
    expect(error.message).toMatch(/Nothing.*send/);
  });

  it('with an order by entity over two DataSources, of which it names none', async () => {
    const { options } = inMemory();
    const imports = [
      TypeOrmModule.forRoot({ ...options, name: 'archive', entities: [], synchronize: true }),
      SparkModule.forRoot({ dataSource: 'archive' }),
    ];
    const error = await refused(relayOf({ orderBy: 'entity' }), ...imports);
    expect(error.message).toContain(
      'dataSource of @Relay on OrderRelay is undefined. Expected: one of default, archive',
    );
    const named = await refused(relayOf({ orderBy: 'entity', dataSource: 'archive' }), ...imports);
    expect(named.message).toBe('it started');
    expect(getDataSourceToken('archive')).toBeDefined();
  });

  it('with a batch that a handler may not have', async () => {
    expect((await refused(relayOf({ batch: { max: 0 } }))).message).toContain('batch.max');
  });
});

describe('a relay is refused where it is declared', () => {
  it.each([
    [{ source: '' }, 'source'],
    [{ source: 'my shop' }, 'source'],
    [{ pattern: 'orders' }, 'pattern'],
    [{ data: {} }, 'data'],
    [{ extensions: ['traceParent'] }, 'extensions'],
    [{ extensions: 'tenant' }, 'extensions'],
    [{ orderBy: 'key' }, 'orderBy'],
    [{ atMostOnce: 'yes' }, 'atMostOnce'],
    [{ transactional: true }, 'transactional'],
    [{ persistant: true }, 'persistant'],
  ])('with the options %o', (options, name) => {
    const declared = () => relayOf(options as RelayOptions);
    expect(declared).toThrow(InvalidOptionsError);
    expect(declared).toThrow(`${name} of @Relay on OrderRelay`);
  });

  it('on a class that handles already', () => {
    const declare = () => {
      @Relay(/^order/)
      @Relay(/^invoice/)
      class Twice {
        readonly send = async () => undefined;
      }
      return Twice;
    };
    expect(declare).toThrow('Twice with @Relay');
  });

  it('with a pattern that is no regular expression', () => {
    expect(() => Relay('(')(class {})).toThrow(SyntaxError);
  });

  it.each([
    ['an unknown option', () => SparkRelayModule.forRoot({ url: '/shop' } as object)],
    ['a source with a blank', () => SparkRelayModule.forRoot({ source: 'my shop' })],
    ['no list of relays', () => SparkRelayModule.forFeature({} as never)],
    ['a relay without a name', () => SparkRelayModule.forFeature([{ groups: /x/ } as never])],
  ])('by SparkRelayModule with %s', (_, call) => {
    expect(call).toThrow(InvalidOptionsError);
  });
});

describe('an application starts', () => {
  it.each(['nats', 'redis', 'tcp'] as const)('with a relay to %s that may lose events', async (name) => {
    const error = await refused(relayOf({ client: 'BUS', atMostOnce: true }), clients(name));
    expect(error.message).toBe('it started');
  });

  it.each(['rabbitmq', 'mqtt'] as const)(
    'without its broker %s; its events wait, and no attempt counts',
    async (name) => {
      const imports = [forRoot, clients(name)];
      const providers = [relayOf({ client: 'BUS', timeout: '2s' })];
      const app = await startApp({ database: inMemory(), entities: [], imports, providers });
      await app.spark.emit([sparkEvent('order', 1), sparkEvent('order', 2)]);
      let waiting: readonly { attempt: number; error: string | undefined }[] = [];
      for (let i = 0; i < 300 && (waiting.length < 2 || waiting.some(({ error }) => !error)); i++) {
        await delay(50);
        waiting = (await app.spark.deliveries({ state: 'available' })).records;
      }
      expect(waiting).toHaveLength(2);
      for (const { attempt, error } of waiting) {
        expect(attempt).toBe(0);
        expect(error).toContain('has no connection to its broker: ');
      }
      await app.close();
    },
  );

  it('with a warning if its pattern matches none of the groups that there are', async () => {
    const { options } = inMemory();
    const database = {
      options: { ...options, database: join(inject('folder'), 'misspelled.sqlite') },
      drop: async () => undefined,
    };
    const start = (relay: Type) =>
      startApp({ database: database as TestDatabase, entities: [], imports: [forRoot], providers: [relay] });
    @Relay(/^ordre/)
    @Injectable()
    class Misspelled {
      readonly send = async () => undefined;
    }
    const first = await start(relayOf({}));
    await first.spark.emit([sparkEvent('order', 1)]);
    await first.spark.drain();
    await first.close();
    const [right, wrong] = [await start(relayOf({})), await start(Misspelled)];
    const warned = ({ logs }: TestApp) => logs.filter((line) => line.includes('misspelled?'));
    for (let i = 0; i < 100 && warned(wrong).length === 0; i++) await delay(50);
    expect(warned(wrong)).toEqual([
      'warn Misspelled sends no group of the latest deliveries, such as order. If its groups are not new, is its pattern misspelled?',
    ]);
    expect(warned(right)).toEqual([]);
    await right.close();
    await wrong.close();
  });

  it('with a relay of forFeature that sends by a function', async () => {
    const sent: CloudEvent[] = [];
    const send = async (events: CloudEvent[]) => void sent.push(...events);
    const imports = [forRoot, SparkRelayModule.forFeature([{ name: 'orders', groups: /^order/, send }])];
    const app = await startApp({ database: inMemory(), entities: [], imports });
    await app.spark.emit([sparkEvent('order', 1, { total: 5n }), sparkEvent('invoice', 1)]);
    await app.spark.drain();
    expect(sent).toMatchObject([{ id: 'order_1', source: '/shop', data: { total: '5' } }]);
    expect((await app.spark.handlers()).map(({ handler }) => handler)).toEqual(['orders']);
    await app.close();
  });
});
