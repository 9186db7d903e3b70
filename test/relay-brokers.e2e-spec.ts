import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { firsts, Journey, Journeys, overtaken, walk } from './support/journeys.js';
import { NatsServer } from './support/nats.js';
import { type Program, program, type Running } from './support/processes.js';
import { arrived, testQueue, type TestQueue } from './support/rabbitmq.js';
import { StallingProxy } from './support/stalling-proxy.js';

const [JOURNEYS, STEPS] = [12, 20];
/** The frame in which a client asks RabbitMQ for a channel. */
const channelOpen = (channel: number) => String.fromCharCode(1, 0, channel, 0, 0, 0, 5, 0, 20, 0, 10);
/** Which of the processes are killed, and after how many events. */
const DEATHS = [5, 31, 64, 17];

describe('relays lose nothing', () => {
  let relaying: Program;

  beforeAll(async () => {
    relaying = await program('relaying.program.ts');
  }, 120_000);
  afterAll(() => relaying.remove());

  // The broker does not know from which database events come.
  describe.each(databases.filter(({ name }) => name !== 'MariaDB'))('on $name', (database) => {
    let db: TestDatabase;
    let app: TestApp;
    let actors: Running[] = [];

    beforeEach(async () => {
      db = await database.create();
      app = await startApp({ database: db, entities: [Journey], providers: [Journeys], spark: { worker: false } });
    });
    afterEach(async () => {
      for (const { process } of actors) process.kill('SIGKILL');
      actors = [];
      await app.close();
      await db.drop();
    });

    const start = async (given: object) => {
      const { driver, ...options } = db.options as { driver?: unknown };
      const actor = relaying.start({ options, driver: driver !== undefined, orderBy: 'entity', ...given });
      actor.result.catch(() => undefined);
      actors.push(actor);
      await new Promise<void>((resolve, reject) => {
        actor.process.once('message', () => resolve());
        actor.process.once('exit', () => reject(new Error('a relaying process has ended')));
      });
      return actor;
    };
    const died = ({ process }: Running) =>
      process.exitCode === null && process.signalCode === null
        ? new Promise<void>((resolve) => process.once('exit', () => resolve()))
        : Promise.resolve();
    const discarded = async () =>
      (await app.spark.deliveries({ state: 'discarded' })).records.map(({ event }) => event.key);

    /** Lets processes send what there is, two at a time, and die at it. The last two live. */
    const sendAndDie = async (given: object) => {
      const first = await start({ ...given, dieAfter: DEATHS[0] });
      const ids = await walk(app.dataSource, JOURNEYS, STEPS);
      let running = [first];
      for (const dieAfter of DEATHS.slice(1)) {
        running.push(await start({ ...given, dieAfter }));
        await Promise.race(running.map(died));
        running = running.filter(({ process }) => process.signalCode === null);
      }
      await start(given);
      return ids;
    };

    describe.skipIf(!inject('rabbitmq'))('to RabbitMQ', () => {
      let queue: TestQueue;
      let proxy: StallingProxy | undefined;

      beforeEach(async () => {
        queue = await testQueue();
      });
      afterEach(async () => {
        await proxy?.stop();
        proxy = undefined;
        await queue.remove();
      });

      it('each event arrives, in the order of its entity, though processes are killed while they send', async () => {
        const ids = await sendAndDie({ rabbitmq: inject('rabbitmq'), queue: queue.name });
        await queue.arrived(ids);
        expect(
          firsts(queue.events())
            .map(({ id }) => id)
            .sort(),
        ).toEqual(ids.sort());
        expect(overtaken(queue.events())).toEqual([]);
        expect(await discarded()).toEqual([]);
      }, 120_000);

      it('each event arrives, in order, though the broker falls silent, breaks off and refuses connections', async () => {
        const through = await StallingProxy.start(inject('rabbitmq')!, 5672);
        ({ proxy } = through);
        await start({ rabbitmq: through.url, queue: queue.name });
        const ids = await walk(app.dataSource, JOURNEYS, 5);
        await queue.arrived(ids.slice(0, 1));
        proxy.stall();
        ids.push(...(await walk(app.dataSource, JOURNEYS, 5, 6)));
        await delay(1_500);
        proxy.drop();
        ids.push(...(await walk(app.dataSource, JOURNEYS, 5, 11)));
        await queue.arrived(ids);
        await proxy.stop();
        proxy = undefined;
        ids.push(...(await walk(app.dataSource, JOURNEYS, 5, 16)));
        await delay(1_500);
        expect(queue.events().filter(({ id }) => id.endsWith('@20'))).toEqual([]);
        ({ proxy } = await StallingProxy.start(inject('rabbitmq')!, 5672, Number(new URL(through.url).port)));
        await queue.arrived(ids);
        expect(overtaken(queue.events())).toEqual([]);
        expect(await discarded()).toEqual([]);
      }, 120_000);

      // The database has nothing to do with it. Nest opens the channels 1 and 2, and the relay 3.
      it.runIf(database.name === 'SQLite').each([1, 2, 3])(
        'a process outlives a connection that breaks while channel %d is being opened',
        async (channel) => {
          const through = await StallingProxy.start(inject('rabbitmq')!, 5672);
          ({ proxy } = through);
          proxy.breakAt(channelOpen(channel));
          await start({ rabbitmq: through.url, queue: queue.name });
          await queue.arrived(await walk(app.dataSource, 1, 1));
          expect(proxy.made).toBeGreaterThan(1);
        },
        60_000,
      );

      it.runIf(database.name === 'SQLite')(
        'a process ends if RabbitMQ refuses the queue of its client, as it does without a relay',
        async () => {
          const actor = await start({ rabbitmq: inject('rabbitmq'), queue: 'amq.refused' });
          await walk(app.dataSource, 1, 1);
          await died(actor);
          expect(actor.process.exitCode).toBe(1);
        },
        60_000,
      );
    });

    describe.skipIf(!inject('nats'))('to NATS JetStream', () => {
      let server: NatsServer;

      beforeEach(async () => {
        server = await NatsServer.start();
        await server.makeStream('journeys', ['journey_step']);
      });
      afterEach(() => server.kill());

      const allStored = async (ids: readonly string[]) => {
        let events = await server.stored('journeys');
        const reading = setInterval(() => void server.stored('journeys').then((read) => (events = read)), 300);
        await arrived(() => events, ids, 40).finally(() => clearInterval(reading));
        return server.stored('journeys');
      };

      it('each event is stored once, in the order of its entity, though processes are killed while they send', async () => {
        const ids = await sendAndDie({ nats: server.url });
        const stored = await allStored(ids);
        expect(stored.map(({ id }) => id).sort()).toEqual(ids.sort());
        expect(overtaken(stored)).toEqual([]);
        expect(await discarded()).toEqual([]);
      }, 120_000);

      it('each event is stored once, in order, though the server is killed while it gets them', async () => {
        await start({ nats: server.url });
        const ids: string[] = [];
        for (let round = 0; round < 4; round++) {
          ids.push(...(await walk(app.dataSource, JOURNEYS, 6, 1 + round * 6)));
          await server.kill();
          await delay(300);
          await server.start();
        }
        const stored = await allStored(ids);
        expect(stored.map(({ id }) => id).sort()).toEqual(ids.sort());
        expect(overtaken(stored)).toEqual([]);
        expect(await discarded()).toEqual([]);
      }, 120_000);
    });
  });
});
