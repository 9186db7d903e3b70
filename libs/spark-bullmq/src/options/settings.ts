import type { RedisOptions } from 'ioredis';
import ms, { type StringValue } from 'ms';
import { type Duration, InvalidOptionsError } from 'nestjs-spark';
import type {
  BullMQCarrierOptions,
  BullMQHandlersQueueOptions,
  BullMQQueueOptions,
  BullMQRole,
} from './bullmq.options.js';

/** A queue, with the options of the carrier that hold for it. Times are in milliseconds. */
export interface QueueSettings {
  readonly name: string;
  /** Whether it is for a handler. Ask the queues in their order. */
  readonly isFor: (handler: string) => boolean;
  readonly rateLimit: { readonly max: number; readonly duration: number } | undefined;
  readonly globalConcurrency: number | undefined;
  readonly idsPerJob: number;
  readonly window: number;
  /** Undefined means what fills the slots of a handler. */
  readonly concurrency: number | undefined;
}

/** The options after the check: complete, and with durations in milliseconds. */
export interface CarrierSettings {
  readonly connection: RedisOptions & { readonly url?: string };
  readonly prefix: string;
  /** The last one is for all handlers. */
  readonly queues: readonly QueueSettings[];
  /** The name of the queue with ranges of sweeps. */
  readonly sweeps: string;
  readonly dispatches: boolean;
  readonly works: boolean;
  readonly ttl: number;
  readonly fallback: 'local' | 'wait';
}

const OPTIONS = [
  'connection',
  'prefix',
  'queue',
  'queues',
  'roles',
  'window',
  'idsPerJob',
  'concurrency',
  'ttl',
  'fallback',
];
const QUEUE = ['name', 'rateLimit', 'globalConcurrency', 'idsPerJob'];
const ROLES: readonly unknown[] = ['dispatch', 'work'];

/** Checks the options and adds the defaults. Throws InvalidOptionsError. */
export function settingsOf(options: BullMQCarrierOptions): CarrierSettings {
  known('', options, OPTIONS);
  const { prefix = 'bull', queue = {}, queues = [], roles = ['dispatch', 'work'], fallback } = options;
  if (!Array.isArray(queues)) refuse('queues', queues, 'a list of { name, handlers, … }');
  const all = [...queues.map(handlersQueue), queueOf('queue', { name: 'spark', ...queue })];
  const limited = all.some(({ rateLimit, globalConcurrency }) => rateLimit ?? globalConcurrency);
  const sweeps = `${all.at(-1)!.name}-sweeps`;
  const ttl = duration('ttl', options.ttl ?? '1m');
  checkNames([...all.map(({ name }) => name), sweeps]);
  checkRoles(roles);
  if (![undefined, 'local', 'wait'].includes(fallback)) refuse('fallback', fallback, `'local' or 'wait'`);
  return {
    connection: connectionOf(options.connection),
    prefix: textWithoutColon('prefix', prefix),
    queues: all.map((one) => settingsOfQueue(one, options, ttl)),
    sweeps,
    dispatches: roles.includes('dispatch'),
    works: roles.includes('work'),
    ttl,
    fallback: fallback ?? (limited ? 'wait' : 'local'),
  };
}

type CheckedQueue = Omit<QueueSettings, 'window' | 'concurrency' | 'idsPerJob'> & { idsPerJob: number | undefined };

function settingsOfQueue(queue: CheckedQueue, options: BullMQCarrierOptions, ttl: number): QueueSettings {
  const { rateLimit, globalConcurrency } = queue;
  const window = wholeNumber('window', options.window ?? 1_000);
  // What waits for longer than `ttl` would be sent again.
  const begin = rateLimit ? Math.max(1, Math.floor((rateLimit.max * ttl) / 2 / rateLimit.duration)) : Infinity;
  const { idsPerJob = 50, concurrency } = options;
  wholeNumber('idsPerJob', idsPerJob);
  return {
    ...queue,
    idsPerJob: queue.idsPerJob ?? ((rateLimit ?? globalConcurrency) ? 1 : idsPerJob),
    window: Math.min(window, begin),
    concurrency: concurrency === undefined ? undefined : wholeNumber('concurrency', concurrency),
  };
}

function handlersQueue(queue: BullMQHandlersQueueOptions, i: number): CheckedQueue {
  const { handlers, ...rest } = queue;
  if (!(handlers instanceof RegExp)) refuse(`queues[${i}].handlers`, handlers, 'a regular expression');
  // A pattern with one of these flags remembers where it matched last.
  const pattern = new RegExp(handlers.source, handlers.flags.replace(/[gy]/g, ''));
  return { ...queueOf(`queues[${i}]`, rest), isFor: (handler) => pattern.test(handler) };
}

function queueOf(path: string, queue: BullMQQueueOptions): CheckedQueue {
  known(path, queue, QUEUE);
  const { name, rateLimit, globalConcurrency, idsPerJob } = queue;
  const optional = (key: string, value: number | undefined) =>
    value === undefined ? undefined : wholeNumber(`${path}.${key}`, value);
  if (rateLimit !== undefined) known(`${path}.rateLimit`, rateLimit, ['max', 'per']);
  return {
    name: textWithoutColon(`${path}.name`, name),
    isFor: () => true,
    rateLimit: rateLimit && {
      max: wholeNumber(`${path}.rateLimit.max`, rateLimit.max),
      duration: duration(`${path}.rateLimit.per`, rateLimit.per),
    },
    globalConcurrency: optional('globalConcurrency', globalConcurrency),
    idsPerJob: optional('idsPerJob', idsPerJob),
  };
}

function connectionOf(given: BullMQCarrierOptions['connection']): CarrierSettings['connection'] {
  const expected = `a URL such as 'redis://127.0.0.1:6379', or options of ioredis`;
  if (typeof given === 'string') {
    if (/^rediss?:/.test(given) && URL.canParse(given)) return { url: given };
    // Without the text itself, which may hold a password.
    return refuse('connection', '…', expected);
  }
  if (typeof given !== 'object' || given === null) return refuse('connection', given, expected);
  if (given.keyPrefix) refuse('connection.keyPrefix', given.keyPrefix, 'none: BullMQ needs `prefix` in its place');
  return { ...given };
}

function checkNames(names: readonly string[]): void {
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) refuse('queues', twice, 'another name for each queue');
}

function checkRoles(roles: readonly BullMQRole[]): void {
  if (Array.isArray(roles) && roles.length > 0 && roles.every((role) => ROLES.includes(role))) return;
  refuse(
    'roles',
    roles,
    `a list of 'dispatch' and 'work'; a process that only records has no carrier, and worker: false`,
  );
}

function textWithoutColon(path: string, value: unknown): string {
  return typeof value === 'string' && /^[^:]+$/.test(value) ? value : refuse(path, value, 'text without a colon');
}

function wholeNumber(path: string, value: number): number {
  return Number.isSafeInteger(value) && value > 0 ? value : refuse(path, value, 'a whole number above 0');
}

function duration(path: string, value: Duration): number {
  const milliseconds = typeof value === 'string' && value !== '' ? ms(value as StringValue) : value;
  return typeof milliseconds === 'number' && milliseconds > 0 && milliseconds < 2 ** 31
    ? milliseconds
    : refuse(path, value, `milliseconds above 0, or text such as '30s'`);
}

function known(path: string, given: object, names: readonly string[]): void {
  if (typeof given !== 'object' || given === null) refuse(path, given, `{ ${names.join(', ')} }`);
  for (const name of Object.keys(given))
    if (!names.includes(name)) refuse(path ? `${path}.${name}` : name, 'unknown', `one of ${names.join(', ')}`);
}

function refuse(option: string, given: unknown, expected: string): never {
  throw new InvalidOptionsError(`BullMQCarrier { ${option} }`, given, expected);
}
