import { setTimeout as delay } from 'node:timers/promises';
import { BullMQCarrier, type BullMQCarrierOptions } from 'nestjs-spark-bullmq';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { collectLogs, deliveriesOf, FakePort, handlerOf, numbers, until } from './support/carriers.js';
import { RedisServer } from './support/redis.js';

describe.skipIf(!inject('redisServer'))('a Redis that is away', () => {
  let server: RedisServer;
  let logs: ReturnType<typeof collectLogs>;
  let started: BullMQCarrier[] = [];

  beforeEach(() => {
    logs = collectLogs();
  });
  afterEach(async () => {
    await Promise.all(started.map((carrier) => carrier.stop()));
    started = [];
    await server.stop();
    logs.stop();
  });

  const mails = handlerOf('mails');
  const start = async (port: FakePort, options: Partial<BullMQCarrierOptions> = {}) => {
    const carrier = new BullMQCarrier({ connection: server.url, ...options });
    started.push(carrier);
    await carrier.start(port);
    return carrier;
  };
  const isThere = (carrier: BullMQCarrier) => carrier.room(mails) > 0;
  const said = (words: RegExp) => logs.lines.filter((line) => words.test(line));
  /** Sends until one gets through, and sees it handled. */
  const worksAgain = async (carrier: BullMQCarrier, port: FakePort, id: string) => {
    await until(() => isThere(carrier), { seconds: 20, shown: () => logs.lines.join('\n') });
    await carrier.send(deliveriesOf('mails', [id]));
    await until(() => port.ids.includes(id), { seconds: 20, shown: () => logs.lines.join('\n') });
  };

  it('at boot delays the boot a little, is said once, and does no harm when it comes', async () => {
    server = await RedisServer.absent();
    const port = new FakePort([mails]);
    const began = performance.now();
    const carrier = await start(port);

    expect(performance.now() - began).toBeLessThan(2_500);
    expect([isThere(carrier), port.isLocal]).toEqual([false, true]);
    await expect(carrier.send(deliveriesOf('mails', [1]))).rejects.toThrow(/Redis at .* is away/);
    await delay(1_500);
    expect(said(/is away: .*ECONNREFUSED.*Start it, or check the connection.*claims deliveries/)).toHaveLength(1);
    expect(logs.lines).toHaveLength(1);

    await server.start();
    await worksAgain(carrier, port, 'later');
    expect(port.isLocal).toBe(false);
    expect(said(/is back after \d+ s/)).toHaveLength(1);
  });

  it('after a crash rejects at once what is sent, and is used again when it is back', async () => {
    server = await RedisServer.start();
    const port = new FakePort([mails]);
    const carrier = await start(port);
    await worksAgain(carrier, port, 'before');

    await server.kill();
    await until(() => port.isLocal);
    const began = performance.now();
    await expect(carrier.send(deliveriesOf('mails', [1]))).rejects.toThrow(/Redis at .* is away/);
    expect(performance.now() - began).toBeLessThan(500);
    await delay(3_000);
    expect(said(/is away/)).toHaveLength(1);

    const hadRoom: boolean[] = [];
    port.wake = () => void hadRoom.push(isThere(carrier));
    await server.start();
    await worksAgain(carrier, port, 'after');
    expect(port.isLocal).toBe(false);
    // What waits is sent at once.
    expect(hadRoom[0]).toBe(true);
    expect(said(/is back after/)).toHaveLength(1);
    expect(said(/has lost its data/)).toHaveLength(1);
    // Nothing else was said, however many commands have failed.
    expect(logs.lines.filter((line) => !/is away|is back after|has lost its data/.test(line))).toEqual([]);
  }, 60_000);

  it('crashes while deliveries are handled: they end, and others come', async () => {
    server = await RedisServer.start();
    const port = new FakePort([mails]);
    port.takes = () => 1_000;
    const carrier = await start(port);
    await carrier.send(deliveriesOf('mails', numbers(50)));
    await until(() => port.running === 1);
    await server.kill();
    await until(() => port.handled.length === 50);
    port.takes = () => 0;
    await server.start();
    await worksAgain(carrier, port, 'after');
  }, 60_000);

  it('is waited for by a process that has fallback: wait', async () => {
    server = await RedisServer.absent();
    const port = new FakePort([mails]);
    await start(port, { fallback: 'wait' });

    expect(port.isLocal).toBe(false);
    expect(said(/deliveries wait in the database/)).toHaveLength(1);
  });

  it('lets a process that only sends claim nothing', async () => {
    server = await RedisServer.absent();
    const port = new FakePort([mails]);
    await start(port, { roles: ['dispatch'] });

    expect(port.isLocal).toBe(false);
  });

  it('is emptied: that is said once, takes no room, and what comes is handled', async () => {
    server = await RedisServer.start();
    const port = new FakePort([mails]);
    port.takes = () => 500;
    const carrier = await start(port, { window: 200 });
    await carrier.send(deliveriesOf('mails', numbers(200)));
    await until(() => port.running > 0);
    await server.admin().flushall();

    await until(() => carrier.room(mails) === 200);
    port.takes = () => 0;
    await worksAgain(carrier, port, 'after');
    // The locks of lost jobs would be renewed by now.
    await delay(1_000);
    expect(said(/has lost its data.*No delivery is lost/)).toHaveLength(1);
    expect(logs.lines).toHaveLength(1);
  }, 60_000);

  it('is emptied: the limit of a queue holds again', async () => {
    server = await RedisServer.start();
    const port = new FakePort([mails]);
    port.takes = () => 20;
    const carrier = await start(port, { queue: { globalConcurrency: 2 } });
    await worksAgain(carrier, port, 'before');
    await server.admin().flushall();
    await until(() => said(/has lost its data/).length === 1);
    await carrier.send(deliveriesOf('mails', numbers(20)));
    await until(() => port.handled.length === 21);

    expect(port.mostRunning).toBeLessThanOrEqual(2);
  }, 60_000);

  it('that stands still counts as away, and is used again when it goes on', async () => {
    server = await RedisServer.start();
    const port = new FakePort([mails]);
    const carrier = await start(port);
    await worksAgain(carrier, port, 'before');
    server.stall();
    await until(() => !isThere(carrier), { seconds: 15 });
    expect(said(/is away: Command timed out.*overloaded or stopped/)).toHaveLength(1);

    server.goOn();
    await worksAgain(carrier, port, 'after');
  }, 60_000);

  it('that is full counts as away, is asked with a rest, and is used again when it has room', async () => {
    server = await RedisServer.start();
    const admin = server.admin();
    const port = new FakePort([mails]);
    const carrier = await start(port);
    await worksAgain(carrier, port, 'before');
    await carrier.send(deliveriesOf('mails', numbers(500)));
    await admin.config('SET', 'maxmemory', '1');
    await carrier.send(deliveriesOf('mails', [1])).catch(() => undefined);
    await until(() => !isThere(carrier));
    await until(() => port.isLocal);
    expect(said(/is away: OOM.*Raise its maxmemory/)).toHaveLength(1);

    await admin.config('RESETSTAT');
    await delay(2_000);
    const [, commands] = /total_commands_processed:(\d+)/.exec(await admin.info('stats')) ?? [];
    expect(Number(commands)).toBeLessThan(200);

    await admin.config('SET', 'maxmemory', '0');
    await worksAgain(carrier, port, 'after');
    expect(said(/is back after/)).toHaveLength(1);
    expect(logs.lines).toHaveLength(2);
  }, 60_000);

  it('that became a replica counts as away, until it is a primary again', async () => {
    server = await RedisServer.start();
    const admin = server.admin();
    const port = new FakePort([mails]);
    const carrier = await start(port);
    await worksAgain(carrier, port, 'before');
    await admin.replicaof('127.0.0.1', 1);
    await until(() => !isThere(carrier));
    expect(said(/is away: READONLY.*primary/)).toHaveLength(1);

    await admin.replicaof('NO', 'ONE');
    await worksAgain(carrier, port, 'after');
  }, 60_000);

  it('with another policy than noeviction is warned of', async () => {
    server = await RedisServer.start(['--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru']);
    await start(new FakePort([mails]));

    expect(said(/warn .*maxmemory-policy allkeys-lru.*Set it to noeviction/)).toHaveLength(1);
  });

  it.each(['away', 'still', 'full'])('does not delay a shutdown: it is %s', async (how) => {
    server = await RedisServer.start();
    const port = new FakePort([mails]);
    port.takes = () => 500;
    const carrier = await start(port);
    await carrier.send(deliveriesOf('mails', numbers(50)));
    await until(() => port.running === 1);
    if (how === 'away') await server.kill();
    if (how === 'still') server.stall();
    if (how === 'full') await server.admin().config('SET', 'maxmemory', '1');
    const began = performance.now();
    await carrier.stop();

    expect(port.handled).toHaveLength(50);
    expect(performance.now() - began).toBeLessThan(6_000);
    server.goOn();
  });

  it.each([true, false])(
    'does not keep a process alive that has stopped, at once or later, where it is there: %s',
    async (isRunning) => {
      server = await (isRunning ? RedisServer.start() : RedisServer.absent());
      const carrier = await start(new FakePort([mails]));
      await carrier.stop();
      const other = new BullMQCarrier({ connection: server.url });
      const starting = other.start(new FakePort([mails]));
      await other.stop();
      await starting;
      const handles = () =>
        process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap' || name === 'TCPWRAP');
      const before = handles().length;
      await delay(1_000);
      expect(handles().length).toBeLessThanOrEqual(before);
      expect(carrier.room(mails)).toBe(0);
    },
  );
});
