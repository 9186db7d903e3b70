import ms, { type StringValue } from 'ms';
import { InvalidOptionsError, UNKNOWN } from '../error/invalid-options.error.js';
import type { Duration, SparkModuleOptions, SweepSchedule, WorkerOptions } from './spark.options.js';

/** How a lease runs, in milliseconds. */
export interface LeaseTimes {
  /** How long it lasts without being renewed. */
  readonly ttl: number;
  /** How often it is renewed, and expired ones of others are looked for. */
  readonly renew: number;
}

/** How long things are kept, in milliseconds; left out: for ever. */
export interface RetentionTimes {
  readonly completed: number | undefined;
  readonly discarded: number | undefined;
  /** Rechecks that nobody takes. */
  readonly rechecks: number;
  /** By group: keys of events that their sources do not yield any more. */
  readonly keys: ReadonlyMap<string, number>;
}

/** The options as everything inside reads them: checked, complete, durations in milliseconds. */
export interface SparkSettings {
  readonly dataSource: string | undefined;
  readonly tablePrefix: string;
  readonly schema: string | undefined;
  readonly live: boolean;
  readonly autoStart: boolean;
  readonly sources: { readonly timeout: number };
  readonly activation: { readonly limit: number };
  readonly sweep: { cron: string; timeZone?: string } | { interval: number } | undefined;
  readonly worker: {
    readonly enabled: boolean;
    /** Left out: as the pool allows. */
    readonly concurrency: number | undefined;
    readonly pollInterval: number;
    readonly maxAttempts: number;
    readonly handlerTimeout: number;
    readonly lease: LeaseTimes;
  };
  readonly history: boolean;
  readonly retention: RetentionTimes;
  readonly handlerExpiry: number;
  readonly shutdownTimeout: number;
  readonly statementTimeout: number;
  readonly postgres: { prepare: boolean };
  readonly sqlite: { serialize: boolean; lockTimeout: number };
}

/** Options that stand beside a factory. */
export const STATIC_OPTIONS = ['dataSource', 'isGlobal', 'tablePrefix', 'schema'];
const LONGEST_TIMER = 2 ** 31 - 1;

/** Options that a factory may give. */
export const DYNAMIC_OPTIONS = [
  'live',
  'autoStart',
  'sweep',
  'sources',
  'activation',
  'worker',
  'history',
  'retention',
  'handlerExpiry',
  'shutdownTimeout',
  'statementTimeout',
  'postgres',
  'sqlite',
];

/** Checks the options, each by name, and fills in what was left out. */
export function settingsOf(options: SparkModuleOptions): SparkSettings {
  flag('isGlobal', options.isGlobal ?? true);
  const { worker: given = {}, sources = {}, activation = {}, retention = {}, postgres = {}, sqlite = {} } = options;
  const worker: WorkerOptions = given === false ? {} : given;
  known('worker', worker, ['concurrency', 'pollInterval', 'maxAttempts', 'handlerTimeout', 'leaseTtl', 'leaseRenewal']);
  known('sources', sources, ['timeout']);
  known('activation', activation, ['limit']);
  known('retention', retention, ['completed', 'discarded', 'rechecks', 'keys']);
  known('postgres', postgres, ['prepare']);
  known('sqlite', sqlite, ['serialize', 'lockTimeout']);
  return {
    dataSource: options.dataSource,
    tablePrefix: identifier('tablePrefix', options.tablePrefix ?? 'spark_', 40),
    schema: options.schema === undefined ? undefined : identifier('schema', options.schema, 63),
    live: flag('live', options.live ?? true),
    autoStart: flag('autoStart', options.autoStart ?? true),
    sweep: schedule(options.sweep),
    sources: { timeout: duration('sources.timeout', sources.timeout ?? '30s') },
    activation: { limit: limit('activation.limit', activation.limit ?? 1_000) },
    worker: {
      enabled: options.worker !== false,
      concurrency: worker.concurrency === undefined ? undefined : count('worker.concurrency', worker.concurrency),
      pollInterval: duration('worker.pollInterval', worker.pollInterval ?? '2s'),
      maxAttempts: count('worker.maxAttempts', worker.maxAttempts ?? 80),
      handlerTimeout: duration('worker.handlerTimeout', worker.handlerTimeout ?? '1h'),
      lease: leaseTimes(worker),
    },
    history: flag('history', options.history ?? true),
    retention: {
      completed: retention.completed === undefined ? undefined : age('retention.completed', retention.completed),
      discarded: retention.discarded === undefined ? undefined : age('retention.discarded', retention.discarded),
      rechecks: age('retention.rechecks', retention.rechecks ?? '30d'),
      keys: keyAges(retention.keys ?? {}),
    },
    handlerExpiry: age('handlerExpiry', options.handlerExpiry ?? '7d'),
    shutdownTimeout: duration('shutdownTimeout', options.shutdownTimeout ?? '10s'),
    statementTimeout: duration('statementTimeout', options.statementTimeout ?? '30s'),
    postgres: { prepare: flag('postgres.prepare', postgres.prepare ?? true) },
    sqlite: {
      serialize: flag('sqlite.serialize', sqlite.serialize ?? true),
      lockTimeout: duration('sqlite.lockTimeout', sqlite.lockTimeout ?? '30s'),
    },
  };
}

/** Reads a duration that a timer waits for, as milliseconds. */
export function duration(name: string, value: Duration): number {
  const milliseconds = age(name, value);
  if (milliseconds <= LONGEST_TIMER) return milliseconds;
  throw new InvalidOptionsError(name, value, 'at most 24 days');
}

/** Reads a duration of any length, as milliseconds. */
export function age(name: string, value: Duration): number {
  const milliseconds =
    typeof value === 'string' && value !== '' && value.length <= 100 ? ms(value as StringValue) : value;
  if (typeof milliseconds === 'number' && milliseconds > 0 && milliseconds <= Number.MAX_SAFE_INTEGER) {
    return milliseconds;
  }
  throw new InvalidOptionsError(name, value, `milliseconds above 0, or text such as '30s' or '5 minutes'`);
}

function keyAges(keys: Readonly<Record<string, Duration>>): Map<string, number> {
  if (typeof keys !== 'object' || keys === null)
    throw new InvalidOptionsError('retention.keys', keys, `{ group: duration }`);
  return new Map(Object.entries(keys).map(([group, kept]) => [group, age(`retention.keys.${group}`, kept)]));
}

function leaseTimes({ leaseTtl = '30s', leaseRenewal }: WorkerOptions): LeaseTimes {
  const ttl = duration('worker.leaseTtl', leaseTtl);
  const renew = leaseRenewal === undefined ? ttl / 6 : duration('worker.leaseRenewal', leaseRenewal);
  if (renew <= ttl / 3) return { ttl, renew };
  throw new InvalidOptionsError('worker.leaseRenewal', leaseRenewal, 'at most a third of worker.leaseTtl');
}

/** Reads a whole number above 0. */
export function count(name: string, value: number): number {
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new InvalidOptionsError(name, value, 'a whole number above 0');
}

function limit(name: string, value: number): number {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new InvalidOptionsError(name, value, 'a whole number, 0 or above');
}

/** Reads true or false. */
export function flag(name: string, value: boolean): boolean {
  if (typeof value === 'boolean') return value;
  throw new InvalidOptionsError(name, value, 'true or false');
}

/** Checks the name of a DataSource, which Nest needs before anything else is looked at. */
export function checkDataSource(value: unknown): void {
  if (value === undefined || (typeof value === 'string' && value !== '')) return;
  throw new InvalidOptionsError('dataSource', value, 'the name of a DataSource, left out for the unnamed one');
}

/** Reads a name for SQL. */
export function identifier(name: string, value: string, longest: number): string {
  if (typeof value === 'string' && /^\w+$/.test(value) && value.length <= longest) return value;
  throw new InvalidOptionsError(name, value, `1 to ${longest} letters, digits and underscores`);
}

function schedule(sweep: SweepSchedule | false | undefined): SparkSettings['sweep'] {
  if (sweep === undefined || sweep === false) return undefined;
  const expected = `false, { cron, timeZone? } or { interval }`;
  if (typeof sweep !== 'object' || sweep === null) throw new InvalidOptionsError('sweep', sweep, expected);
  known('sweep', sweep, 'cron' in sweep ? ['cron', 'timeZone'] : ['interval']);
  if ('interval' in sweep && sweep.interval !== undefined)
    return { interval: duration('sweep.interval', sweep.interval) };
  if (!('cron' in sweep) || typeof sweep.cron !== 'string') throw new InvalidOptionsError('sweep', sweep, expected);
  if (sweep.timeZone !== undefined) checkTimeZone(sweep.timeZone);
  return sweep;
}

function checkTimeZone(timeZone: string): void {
  try {
    Intl.DateTimeFormat('en', { timeZone });
  } catch {
    throw new InvalidOptionsError('sweep.timeZone', timeZone, `the name of a time zone such as 'Europe/Berlin'`);
  }
}

/** Checks that an option is an object that has no other options than these; `path` says what each is called. */
export function known(
  option: string,
  given: object,
  names: readonly string[],
  path = (name: string) => `${option}.${name}`,
): void {
  const all = names.join(', ');
  if (typeof given !== 'object' || given === null) throw new InvalidOptionsError(option, given, `{ ${all} }`);
  const unknown = Object.keys(given).find((name) => !names.includes(name));
  if (unknown !== undefined) throw new InvalidOptionsError(path(unknown), UNKNOWN, `one of ${all}`);
}
