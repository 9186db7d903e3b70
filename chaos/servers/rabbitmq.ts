import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'amqplib';
import { freePort } from '../../test/support/embedded-postgres.js';
import { RELAY, type Relayed } from '../faults.js';
import { type Companion, type Message, startCompanion } from './companion.js';

// Not /usr/sbin/rabbitmq-server of Debian, which runs it as another user.
const PROGRAMS = [
  '/usr/lib/rabbitmq/bin/rabbitmq-server',
  '/usr/local/sbin/rabbitmq-server',
  '/opt/homebrew/sbin/rabbitmq-server',
];

/** Starts a RabbitMQ with a durable queue: a crash takes no message that it has confirmed. */
export async function startRabbitmq(): Promise<Companion> {
  const program = PROGRAMS.find(existsSync);
  if (!program) throw new Error('No rabbitmq-server is installed here: install the package rabbitmq-server');
  const folder = mkdtempSync(join(tmpdir(), 'spark-chaos-rabbitmq-'));
  const port = await freePort();
  const env = environment(folder, await freePort());
  writeFileSync(env.RABBITMQ_CONFIG_FILE, `listeners.tcp.1 = 127.0.0.1:${port}\n`);
  const url = `amqp://127.0.0.1:${port}`;
  const companion = await startCompanion({
    url,
    messages: () => takeAll(url),
    start: () => spawn(program, { cwd: folder, env, stdio: 'ignore' }),
    isUp: () => answers(url),
  });
  await makeQueue(url);
  return {
    ...companion,
    stop: async () => {
      await companion.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Everything of this server is in a folder: it shares only epmd, where its node has a name, with others. */
function environment(folder: string, distributionPort: number) {
  const inFolder = (name: string) => join(folder, name);
  return {
    ...process.env,
    HOME: folder,
    // Without it, signals would reach a shell, and not the Erlang VM.
    RABBITMQ_ALLOW_INPUT: 'true',
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-noinput -kernel inet_dist_use_interface {127,0,0,1}',
    RABBITMQ_NODENAME: `chaos-${distributionPort}@localhost`,
    RABBITMQ_DIST_PORT: String(distributionPort),
    RABBITMQ_CONF_ENV_FILE: inFolder('none.conf'),
    RABBITMQ_CONFIG_FILE: inFolder('rabbitmq.conf'),
    RABBITMQ_ENABLED_PLUGINS_FILE: inFolder('plugins'),
    RABBITMQ_MNESIA_BASE: inFolder('data'),
    RABBITMQ_LOG_BASE: inFolder('log'),
    RABBITMQ_PID_FILE: inFolder('pid'),
  };
}

async function answers(url: string): Promise<boolean> {
  return connect(url, { timeout: 1_000 }).then(
    (connection) => connection.close().then(() => true),
    () => false,
  );
}

async function makeQueue(url: string): Promise<void> {
  const connection = await connect(url);
  const channel = await connection.createChannel();
  await channel.assertQueue(RELAY.queue, { durable: true });
  await connection.close();
}

async function takeAll(url: string): Promise<Message[]> {
  const connection = await connect(url);
  const channel = await connection.createChannel();
  const take = () => channel.get(RELAY.queue, { noAck: true });
  const messages: Message[] = [];
  for (let message = await take(); message; message = await take()) {
    const { id, data } = JSON.parse(message.content.toString()).data as { id: string; data: Relayed };
    messages.push({ ...data, id });
  }
  await connection.close();
  return messages;
}
