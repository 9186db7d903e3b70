import ms, { type StringValue } from 'ms';
import { InvalidOptionsError, UNKNOWN } from './error/invalid-options.error.js';
import type { Duration, SparkModuleOptions, SweepSchedule, WorkerOptions } from './spark.options.js';

/** The options as everything inside reads them: checked, complete, durations in milliseconds. */
export interface SparkSettings {
  readonly dataSource: string | undefined;
  readonly tablePrefix: string;
  readonly schema: string | undefined;
  readonly live: boolean;
  readonly sweep: { cron: string; timeZone?: string } | { interval: number } | undefined;
  readonly worker: { concurrency: number; pollInterval: number; maxAttempts: number; enabled: boolean };
  readonly shutdownTimeout: number;
  readonly sqlite: { serialize: boolean; lockTimeout: number };
}

/** Options that stand beside a factory. */
export const STATIC_OPTIONS = ['dataSource', 'isGlobal', 'tablePrefix', 'schema'];
/** Options that a factory may give. */
export const DYNAMIC_OPTIONS = ['live', 'sweep', 'worker', 'shutdownTimeout', 'sqlite'];

/** Checks the options, each by name, and fills in what was left out. */
export function settingsOf(options: SparkModuleOptions): SparkSettings {
  known('forRoot', options, [...STATIC_OPTIONS, ...DYNAMIC_OPTIONS], (name) => name);
  flag('isGlobal', options.isGlobal ?? true);
  const { worker: given = {}, sqlite = {} } = options;
  const worker: WorkerOptions = given === false ? {} : given;
  known('worker', worker, ['concurrency', 'pollInterval', 'maxAttempts']);
  known('sqlite', sqlite, ['serialize', 'lockTimeout']);
  return {
    dataSource: options.dataSource,
    tablePrefix: identifier('tablePrefix', options.tablePrefix ?? 'spark_', 40),
    schema: options.schema === undefined ? undefined : identifier('schema', options.schema, 63),
    live: flag('live', options.live ?? true),
    sweep: schedule(options.sweep),
    worker: {
      enabled: options.worker !== false,
      concurrency: count('worker.concurrency', worker.concurrency ?? 10),
      pollInterval: duration('worker.pollInterval', worker.pollInterval ?? '2s'),
      maxAttempts: count('worker.maxAttempts', worker.maxAttempts ?? 10),
    },
    shutdownTimeout: duration('shutdownTimeout', options.shutdownTimeout ?? '10s'),
    sqlite: {
      serialize: flag('sqlite.serialize', sqlite.serialize ?? true),
      lockTimeout: duration('sqlite.lockTimeout', sqlite.lockTimeout ?? '30s'),
    },
  };
}

/** Reads a duration as milliseconds. */
export function duration(name: string, value: Duration): number {
  const milliseconds =
    typeof value === 'string' && value !== '' && value.length <= 100 ? ms(value as StringValue) : value;
  if (typeof milliseconds === 'number' && milliseconds > 0 && milliseconds <= 2 ** 31 - 1) return milliseconds;
  throw new InvalidOptionsError(
    name,
    value,
    `milliseconds above 0, or text such as '30s' or '5 minutes' (24 days at most)`,
  );
}

/** Reads a whole number above 0. */
export function count(name: string, value: number): number {
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new InvalidOptionsError(name, value, 'a whole number above 0');
}

/** Reads true or false. */
export function flag(name: string, value: boolean): boolean {
  if (typeof value === 'boolean') return value;
  throw new InvalidOptionsError(name, value, 'true or false');
}

function identifier(name: string, value: string, longest: number): string {
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
