import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { BullMQCarrier, type BullMQCarrierOptions } from 'nestjs-spark-bullmq';
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest';
import { deliveriesOf, FakePort, handlerOf, numbers, until } from './support/carriers.js';

const url = inject('redis');

describe.skipIf(!url)('deliveries by BullMQ', () => {
  const prefix = `spark-test-${randomUUID()}`;
  let redis: Redis;
  const started: BullMQCarrier[] = [];

  beforeAll(() => {
    redis = new Redis(url!);
  });
  const removeKeys = async () => {
    const keys = await redis.keys(`${prefix}*`);
    if (keys.length > 0) await redis.del(keys);
  };
  afterEach(async () => {
    await Promise.all(started.splice(0).map((carrier) => carrier.stop()));
    await removeKeys();
  });
  afterAll(() => redis.disconnect());

  const start = async (port: FakePort, options: Partial<BullMQCarrierOptions> = {}) => {
    const carrier = new BullMQCarrier({ connection: url!, prefix, ...options });
    started.push(carrier);
    await carrier.start(port);
    return carrier;
  };
  const mails = handlerOf('mails');

  it('go from the process that sends to one that works, many in a job, and each is handled once', async () => {
    const port = new FakePort([mails]);
    const sender = await start(new FakePort([mails]), { roles: ['dispatch'] });
    await start(port, { roles: ['work'] });

    await sender.send(deliveriesOf('mails', numbers(120)));
    await until(() => port.handled.length === 120);

    expect(port.ids.map(Number).sort((a, b) => a - b)).toEqual(numbers(120));
    expect(port.sizes.sort((a, b) => b - a)).toEqual([50, 50, 20]);
  });

  it('leave room for as many as the window has, for each handler, and room again when they have ended', async () => {
    const search = handlerOf('search');
    const port = new FakePort([mails, search]);
    const sender = await start(port, { roles: ['dispatch'], window: 100 });

    await sender.send(deliveriesOf('mails', numbers(100)));
    expect([sender.room(mails), sender.room(search)]).toEqual([0, 100]);
    expect(port.wakes).toBe(1);

    await start(new FakePort([mails, search]), { roles: ['work'] });
    await until(() => sender.room(mails) === 100);
    expect(port.wakes).toBeGreaterThan(1);
  });

  it('are sent again after ttl: those that nobody has taken up take no room, and leave Redis', async () => {
    const sender = await start(new FakePort([mails]), { roles: ['dispatch'], window: 10, ttl: 400 });
    await sender.send(deliveriesOf('mails', numbers(10)));
    expect(sender.room(mails)).toBe(0);

    const queue = new Queue('spark', { connection: { url: url! }, prefix });
    await until(async () => sender.room(mails) === 10 && (await queue.getJobCounts('prioritized')).prioritized === 0);
    await queue.close();
  });

  it('are taken again under a new ticket, while the old job is still there', async () => {
    const sender = await start(new FakePort([mails]), { roles: ['dispatch'] });
    await sender.send(deliveriesOf('mails', [1]));
    await sender.send(deliveriesOf('mails', [1]));
    const port = new FakePort([mails]);
    await start(port, { roles: ['work'] });

    await until(() => port.ids.length === 2);
  });

  it('are taken by their priority', async () => {
    const urgent = handlerOf('urgent', { priority: -5 });
    const sender = await start(new FakePort([mails, urgent]), { roles: ['dispatch'] });
    await sender.send(deliveriesOf('mails', numbers(200)));
    await sender.send(deliveriesOf('urgent', ['first'], -5));
    const port = new FakePort([mails, urgent]);
    await start(port, { roles: ['work'], idsPerJob: 50, concurrency: 1 });

    await until(() => port.handled.length === 201);
    expect(port.ids[0]).toBe('first');
  });

  it('of a slow handler delay no other: its jobs go back when a process has enough of them', async () => {
    const slow = handlerOf('slow');
    const port = new FakePort([slow, mails]);
    port.takes = (handler) => (handler === 'slow' ? 5_000 : 0);
    const sender = await start(port);
    await sender.send(deliveriesOf('slow', numbers(1_000)));
    await until(() => port.running >= 2);

    const began = performance.now();
    await sender.send(deliveriesOf('mails', ['quick']));
    await until(() => port.ids.includes('quick'));
    expect(performance.now() - began).toBeLessThan(2_000);
    expect(port.running).toBeLessThanOrEqual(2);
    port.takes = () => 0;
  });

  it('go to a process that has their handler', async () => {
    const other = handlerOf('other');
    const sender = await start(new FakePort([mails, other]), { roles: ['dispatch'] });
    const [without, knowing] = [new FakePort([other]), new FakePort([mails, other])];
    await start(without, { roles: ['work'] });
    await sender.send(deliveriesOf('mails', numbers(5)));
    await delay(300);
    await start(knowing, { roles: ['work'] });

    await until(() => knowing.handled.length === 5);
    expect(without.handled).toEqual([]);
  });

  it('that a process has taken up end before it has stopped, and it takes up no more', async () => {
    const [first, second] = [new FakePort([mails]), new FakePort([mails])];
    const sender = await start(new FakePort([mails]), { roles: ['dispatch'] });
    const stopping = await start(first, { roles: ['work'], concurrency: 1 });
    first.takes = () => 500;
    await sender.send(deliveriesOf('mails', numbers(100)));
    await until(() => first.running === 1);
    await stopping.stop();

    expect(first.handled).toHaveLength(50);
    await start(second, { roles: ['work'] });
    await until(() => second.handled.length === 50);
  });

  it('begin only as often as the rate of their queue lets them, in all processes together', async () => {
    const limited = { queues: [{ name: 'mails', handlers: /^mails$/, rateLimit: { max: 5, per: '1s' } }] };
    const ports = [new FakePort([mails]), new FakePort([mails])];
    const sender = await start(new FakePort([mails]), { ...limited, roles: ['dispatch'] });
    for (const port of ports) await start(port, { ...limited, roles: ['work'] });
    const began = performance.now();
    await sender.send(deliveriesOf('mails', numbers(15)));
    const handled = () => ports.flatMap(({ ids }) => ids);
    await until(() => handled().length === 15);

    expect(performance.now() - began).toBeGreaterThan(1_900);
    expect(new Set(handled()).size).toBe(15);
  });

  it('run only so many at once as the queue lets them, in all processes together', async () => {
    const limited = { queue: { globalConcurrency: 2 } };
    let [running, most] = [0, 0];
    const counting = () => {
      const port = new FakePort([mails]);
      const handle = port.handle.bind(port);
      port.takes = () => 50;
      port.handle = async (deliveries) => {
        most = Math.max(most, ++running);
        return handle(deliveries).finally(() => running--);
      };
      return port;
    };
    const ports = [counting(), counting()];
    const sender = await start(new FakePort([mails]), { ...limited, roles: ['dispatch'] });
    for (const port of ports) await start(port, { ...limited, roles: ['work'] });
    await sender.send(deliveriesOf('mails', numbers(20)));
    await until(() => ports.flatMap(({ ids }) => ids).length === 20);

    expect(most).toBe(2);
  });

  it('can be read by the Queue of BullMQ, as dashboards of it do', async () => {
    const sender = await start(new FakePort([mails]), { roles: ['dispatch'] });
    await sender.send(deliveriesOf('mails', numbers(60)));
    const queue = new Queue('spark', { connection: { url: url! }, prefix });

    expect((await queue.getJobCounts('prioritized', 'active', 'failed', 'completed')).prioritized).toBe(2);
    const [job] = await queue.getJobs('prioritized');
    expect(job).toMatchObject({ name: 'mails', data: { handler: 'mails' }, attemptsMade: 0 });
    await queue.close();
  });

  it('leave nothing in Redis once they are handled', async () => {
    const port = new FakePort([mails]);
    const carrier = await start(port);
    await carrier.send(deliveriesOf('mails', numbers(200)));
    await until(() => carrier.room(mails) === 1_000);

    const keys = (await redis.keys(`${prefix}*`)).map((key) => key.split(':').at(-1));
    expect(keys.filter((key) => key!.startsWith('t-'))).toEqual([]);
  });

  describe('and ranges of sweeps', () => {
    const rows = ['rows'];
    const open = () => new Queue('spark-sweeps', { connection: { url: url! }, prefix });

    it('are no more jobs than were asked for, however often', async () => {
      const sender = await start(new FakePort([], rows), { roles: ['dispatch'] });
      for (const count of [2, 3, 3]) await sender.sendRanges('rows', count);
      await sender.sendRanges('orders: new', 1);
      const queue = open();
      expect((await queue.getJobs('wait')).map(({ name }) => name).sort()).toEqual([
        'orders: new',
        'rows',
        'rows',
        'rows',
      ]);
      await queue.close();
    });

    it('are taken one at a time', async () => {
      const port = new FakePort([], rows);
      let [running, most] = [0, 0];
      port.sweepRange = async (source) => {
        most = Math.max(most, ++running);
        await delay(200);
        running--;
        return port.swept.push(source) > 0;
      };
      const carrier = await start(port);
      await carrier.sendRanges('rows', 3);
      await until(() => port.swept.length === 3);
      expect(most).toBe(1);
    });

    it('go to processes with the role work that have their source', async () => {
      const [without, knowing] = [new FakePort([], ['orders']), new FakePort([], rows)];
      const sender = await start(new FakePort([], rows), { roles: ['dispatch'] });
      await start(without, { roles: ['work'] });
      await sender.sendRanges('rows', 3);
      await delay(300);
      await start(knowing, { roles: ['work'] });
      await until(() => knowing.swept.length === 3);
      expect(without.swept).toEqual([]);
      // They may be asked for again.
      await until(async () => {
        await sender.sendRanges('rows', 3);
        return knowing.swept.length >= 6;
      });
    });

    it('leave Redis after ttl if nobody takes them', async () => {
      const sender = await start(new FakePort([], rows), { roles: ['dispatch'], ttl: 400 });
      await sender.sendRanges('rows', 5);
      const queue = open();
      expect(await queue.getWaitingCount()).toBe(5);
      await until(async () => (await queue.getWaitingCount()) === 0);
      await queue.close();
    });

    it('that a process has taken up end before it has stopped', async () => {
      const port = new FakePort([], rows);
      let isSweeping = false;
      port.sweepRange = async (source) => {
        isSweeping = true;
        await delay(1_500);
        return port.swept.push(source) > 0;
      };
      const carrier = await start(port);
      await carrier.sendRanges('rows', 1);
      await until(() => isSweeping);
      await carrier.stop();
      expect(port.swept).toEqual(['rows']);
    });
  });

  it('that others put into the queue do no harm', async () => {
    const port = new FakePort([mails]);
    const carrier = await start(port);
    const queue = new Queue('spark', { connection: { url: url! }, prefix });
    await queue.add('theirs', { to: 'somebody' });
    await carrier.send(deliveriesOf('mails', [1]));
    await until(() => port.ids.length === 1);
    await until(async () => (await queue.getJobCounts('wait', 'active')).wait === 0);
    await queue.close();
  });
});
