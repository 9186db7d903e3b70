import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectRabbitmq } from 'amqplib';
import { Redis } from 'ioredis';
import { connectAsync } from 'mqtt';
import type { TestProject } from 'vitest/node';
import { startPostgres } from './embedded-postgres.js';
import { connect, disconnect, dropDatabases, type TestServer } from './server.js';

declare module 'vitest' {
  interface ProvidedContext {
    /** What the names of this run's databases begin with. */
    prefix: string;
    /** Where this run's SQLite files are. */
    folder: string;
    postgres: TestServer;
    /** Undefined where none answers: no npm package carries one. */
    mariadb: TestServer | undefined;
    /** The program of a Chromium. Undefined where none is: no npm package carries one. */
    chromium: string | undefined;
    /** The URL of a RabbitMQ. Undefined where none answers. */
    rabbitmq: string | undefined;
    /** The URL of an MQTT broker. Undefined where none answers. */
    mqtt: string | undefined;
    /** The program of a NATS server, which tests start themselves. Undefined where none is. */
    nats: string | undefined;
    /** The URL of a Redis. Undefined where none answers. */
    redis: string | undefined;
    /** The program of a Redis server, which tests start themselves. Undefined where none is. */
    redisServer: string | undefined;
  }
}

/** The servers and the browser of this run: those that are given, else those of this machine, else PostgreSQL from its npm package. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const { TEST_POSTGRES_URL, TEST_MARIADB_URL } = process.env;
  const mariadb = await found('mariadb', TEST_MARIADB_URL, 'mysql://root@127.0.0.1:3306');
  const server = await found('postgres', TEST_POSTGRES_URL, 'postgres://postgres@127.0.0.1:5432/postgres');
  const embedded = server ? undefined : await startPostgres();
  const postgres = server ?? (await connect('postgres', embedded!.url));
  const prefix = `spark_test_${process.pid}_`;
  const folder = mkdtempSync(join(tmpdir(), 'spark-test-'));
  project.provide('prefix', prefix);
  project.provide('folder', folder);
  project.provide('postgres', postgres);
  project.provide('mariadb', mariadb);
  const chromium = foundChromium();
  project.provide('chromium', chromium);
  const rabbitmq = await foundRabbitmq();
  project.provide('rabbitmq', rabbitmq);
  const mqtt = await foundMqtt();
  project.provide('mqtt', mqtt);
  const nats = foundProgram('TEST_NATS_SERVER', NATS_SERVERS);
  project.provide('nats', nats);
  const redis = await foundRedis();
  project.provide('redis', redis);
  const redisServer = foundProgram('TEST_REDIS_SERVER', REDIS_SERVERS);
  project.provide('redisServer', redisServer);
  return async () => {
    // A test file that failed half-way has left its database behind.
    rmSync(folder, { recursive: true, force: true });
    await (embedded ? embedded.stop() : dropDatabases(postgres, prefix));
    if (mariadb) await dropDatabases(mariadb, prefix);
    await disconnect();
    report(`${postgres.version} (${embedded ? 'embedded' : 'server'})`, mariadb && `${mariadb.version} (server)`);
    console.log(chromium ? `browser: ${chromium}` : 'not covered: browsers; there is no Chromium (set TEST_CHROMIUM)');
    const brokers = [rabbitmq && 'RabbitMQ', nats && 'NATS', mqtt && 'MQTT'].filter(Boolean).join(', ');
    console.log(`brokers covered: ${brokers || 'none'}`);
    if (!rabbitmq)
      console.log('not covered: RabbitMQ; none answers (set TEST_RABBITMQ_URL, or start rabbitmq-server of Debian)');
    if (!mqtt) console.log('not covered: MQTT; no broker answers (set TEST_MQTT_URL, or start mosquitto of Debian)');
    if (!nats)
      console.log(
        'not covered: NATS; there is no nats-server (set TEST_NATS_SERVER, or install nats-server of Debian)',
      );
    if (!redis)
      console.log('not covered: BullMQ; no Redis answers (set TEST_REDIS_URL, or install redis-server of Debian)');
    if (!redisServer)
      console.log(
        'not covered: outages of Redis; there is no redis-server (set TEST_REDIS_SERVER, or install redis-server of Debian)',
      );
  };
}

/** The server that is given, which has to answer, or the usual one if it does. */
function found(type: TestServer['type'], given: string | undefined, usual: string): Promise<TestServer | undefined> {
  return given === undefined ? connect(type, usual).catch(() => undefined) : connect(type, given);
}

// The shell has the engine and no windows: a page costs half as much.
const CHROMIUMS = ['/usr/bin/chromium-headless-shell', '/usr/bin/chromium', '/usr/bin/google-chrome'];

/** The Chromium that is given, which has to be there, or the one of the system if it is. */
function foundChromium(): string | undefined {
  const given = process.env.TEST_CHROMIUM;
  if (given !== undefined && !existsSync(given))
    throw new Error(`TEST_CHROMIUM is ${given}, but there is no such file.`);
  return given ?? CHROMIUMS.find((path) => existsSync(path));
}

/** The RabbitMQ that is given, which has to answer, or the usual one if it does. */
async function foundRabbitmq(): Promise<string | undefined> {
  const given = process.env.TEST_RABBITMQ_URL;
  const url = given ?? 'amqp://guest:guest@127.0.0.1:5672';
  try {
    await (await connectRabbitmq(url, { timeout: 2_000 })).close();
    return url;
  } catch (error) {
    if (given === undefined) return undefined;
    throw new Error(`TEST_RABBITMQ_URL is ${given}, but no RabbitMQ answers there.`, { cause: error });
  }
}

/** The MQTT broker that is given, which has to answer, or the usual one if it does. */
async function foundMqtt(): Promise<string | undefined> {
  const given = process.env.TEST_MQTT_URL;
  const url = given ?? 'mqtt://127.0.0.1:1883';
  try {
    await (await connectAsync(url, { connectTimeout: 2_000, reconnectPeriod: 0 }, false)).endAsync();
    return url;
  } catch (error) {
    if (given === undefined) return undefined;
    throw new Error(`TEST_MQTT_URL is ${given}, but no broker answers there.`, { cause: error });
  }
}

const NATS_SERVERS = ['/usr/sbin/nats-server', '/usr/bin/nats-server', '/usr/local/bin/nats-server'];

const REDIS_SERVERS = ['/usr/bin/redis-server', '/usr/local/bin/redis-server'];

/** The program that a variable names, which has to be there, or the one of the system if it is. */
function foundProgram(variable: string, usual: readonly string[]): string | undefined {
  const given = process.env[variable];
  if (given !== undefined && !existsSync(given)) throw new Error(`${variable} is ${given}, but there is no such file.`);
  return given ?? usual.find((path) => existsSync(path));
}

/** The Redis that is given, which has to answer, or the usual one if it does. */
async function foundRedis(): Promise<string | undefined> {
  const given = process.env.TEST_REDIS_URL;
  const url = given ?? 'redis://127.0.0.1:6379';
  const redis = new Redis(url, { lazyConnect: true, retryStrategy: () => null, connectTimeout: 2_000 });
  redis.on('error', () => undefined);
  try {
    await redis.connect();
    return url;
  } catch (error) {
    if (given === undefined) return undefined;
    throw new Error(`TEST_REDIS_URL is ${given}, but no Redis answers there.`, { cause: error });
  } finally {
    redis.disconnect();
  }
}

function report(...servers: (string | undefined)[]): void {
  console.log(`databases covered: ${['SQLite', ...servers].filter(Boolean).join(', ')}`);
  if (!servers.includes(undefined)) return;
  console.log('not covered: MariaDB; none answers (set TEST_MARIADB_URL)');
  if (process.env.SPARK_REQUIRE_DATABASES === 'all') process.exitCode = 1;
}
