import type { ChildProcess } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import type { CompanionFault, Relayed } from '../faults.js';

/** A server of a round's own beside its database. */
export interface Companion {
  readonly url: string;
  /** Lets something happen to it. Resolves when that is over. */
  strike(fault: CompanionFault): Promise<void>;
  /** Takes out all messages that relays have sent; undefined where there are no relays. */
  readonly messages: (() => Promise<Message[]>) | undefined;
  stop(): Promise<void>;
}

/** A message that a relay has sent. */
export interface Message extends Relayed {
  /** The key of its event. */
  readonly id: string;
}

/** What one server has, and others have not. */
interface Parts extends Pick<Companion, 'url' | 'messages'> {
  /** Starts its process. */
  start(): ChildProcess;
  /** Whether it answers. */
  isUp(): Promise<boolean>;
  /** What happens to it besides. */
  readonly faults?: Partial<Record<CompanionFault, () => Promise<void>>>;
}

// How long it is away, in milliseconds: longer than commands wait for it.
const AWAY = 4_000;

/** Starts a server. Faults that come while another one lasts happen after it. */
export async function startCompanion({ url, messages, start, isUp, faults: more }: Parts): Promise<Companion> {
  const launch = async () => {
    const launched = start();
    process.once('exit', () => launched.kill('SIGKILL'));
    await answers(launched, isUp);
    return launched;
  };
  let server = await launch();
  const faults: typeof more = {
    // Ends it, and starts it again after a moment.
    crash: async () => {
      await ended(server);
      await delay(AWAY);
      server = await launch();
    },
    // Lets it stand still for a while, with open connections.
    stall: async () => {
      server.kill('SIGSTOP');
      await delay(2 * AWAY);
      server.kill('SIGCONT');
    },
    ...more,
  };
  let last: Promise<void> = Promise.resolve();
  return {
    url,
    messages,
    strike: (fault) => (last = last.then(() => faults[fault]!())),
    stop: async () => {
      await last;
      await ended(server);
    },
  };
}

async function answers(server: ChildProcess, isUp: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 600; tries++) {
    if (server.exitCode !== null) throw new Error(`${server.spawnfile} ended with ${server.exitCode}`);
    if (await isUp()) return;
    await delay(100);
  }
  throw new Error(`${server.spawnfile} does not answer`);
}

async function ended(server: ChildProcess): Promise<void> {
  const exited = new Promise((resolve) => server.once('exit', resolve));
  server.kill('SIGKILL');
  await exited;
}
