import { InvalidOptionsError } from '../error/invalid-options.error.js';
import { type AlertSettings, alertSettings } from './alert.settings.js';
import type { DeliveryCarrier } from './carrier.js';
import {
  parseBoolean,
  parseDuration,
  parseTimeout,
  positiveInteger,
  refuseUnknown,
  sqlIdentifier,
  wholeNumber,
} from './option-parsers.js';
import type { Duration, SparkModuleOptions, SweepOptions, SweepSchedule, WorkerOptions } from './spark.options.js';

/** The times of a lease, in milliseconds. */
export interface LeaseTimes {
  /** How long it lasts after each renewal. */
  readonly ttl: number;
  /** How often it is renewed, and expired leases of other processes are ended. */
  readonly renew: number;
}

/** How long rows are kept, in milliseconds. Undefined means for ever. */
export interface RetentionTimes {
  readonly completed: number | undefined;
  readonly discarded: number | undefined;
  /** Rechecks that no process claims. */
  readonly rechecks: number;
  /** By group: keys of events that their sources no longer yield. */
  readonly keys: ReadonlyMap<string, number>;
  /** Alerts that are over. */
  readonly alerts: number;
}

/** The options after the check, for all code inside the library: complete, with durations in milliseconds. */
export interface SparkSettings {
  readonly dataSource: string | undefined;
  readonly tablePrefix: string;
  readonly schema: string | undefined;
  readonly live: boolean;
  readonly autoStart: boolean;
  readonly sources: { readonly timeout: number };
  readonly activation: { readonly limit: number };
  /** The schedule of sweeps. */
  readonly sweep: { cron: string; timeZone?: string } | { interval: number } | undefined;
  /** How this process sweeps. `full` is in milliseconds, and `rate` in entities a second. */
  readonly sweeping: { readonly concurrency: number; readonly rate: number | undefined; readonly full: number };
  readonly version: string | undefined;
  readonly worker: {
    readonly enabled: boolean;
    /** Undefined means as many as the pool allows. */
    readonly concurrency: number | undefined;
    readonly pollInterval: number;
    readonly maxAttempts: number;
    readonly handlerTimeout: number;
    readonly lease: LeaseTimes;
    readonly carrier: DeliveryCarrier | undefined;
  };
  readonly history: boolean;
  readonly retention: RetentionTimes;
  /** Undefined if this process does not watch for alerts. */
  readonly alerts: AlertSettings | undefined;
  readonly handlerExpiry: number;
  readonly shutdownTimeout: number;
  readonly statementTimeout: number;
  readonly postgres: { prepare: boolean };
  readonly sqlite: { serialize: boolean; lockTimeout: number };
}

/** Options that `forRootAsync` takes beside its factory. */
export const STATIC_OPTIONS = ['dataSource', 'isGlobal', 'tablePrefix', 'schema'];

/** How long Spark takes a handler for present after a process last said so, in milliseconds. Processes say so each minute. */
export const HANDLER_LIVE = 5 * 60_000;

/** Options that a factory may return. */
export const DYNAMIC_OPTIONS = [
  'live',
  'autoStart',
  'sweep',
  'version',
  'sources',
  'activation',
  'worker',
  'history',
  'retention',
  'alerts',
  'handlerExpiry',
  'shutdownTimeout',
  'statementTimeout',
  'postgres',
  'sqlite',
];

/** Checks the options and adds the defaults. Throws InvalidOptionsError. */
export function settingsOf(options: SparkModuleOptions): SparkSettings {
  parseBoolean('isGlobal', options.isGlobal ?? true);
  const { worker: given = {}, sources = {}, activation = {}, retention = {}, postgres = {}, sqlite = {} } = options;
  const worker: WorkerOptions = given === false ? {} : given;
  refuseUnknown('worker', worker, [
    'concurrency',
    'pollInterval',
    'maxAttempts',
    'handlerTimeout',
    'leaseTtl',
    'leaseRenewal',
    'carrier',
  ]);
  refuseUnknown('sources', sources, ['timeout']);
  refuseUnknown('activation', activation, ['limit']);
  refuseUnknown('retention', retention, ['completed', 'discarded', 'rechecks', 'keys', 'alerts']);
  refuseUnknown('postgres', postgres, ['prepare']);
  refuseUnknown('sqlite', sqlite, ['serialize', 'lockTimeout']);
  return {
    dataSource: options.dataSource,
    tablePrefix: sqlIdentifier('tablePrefix', options.tablePrefix ?? 'spark_', 40),
    schema: options.schema === undefined ? undefined : sqlIdentifier('schema', options.schema, 63),
    live: parseBoolean('live', options.live ?? true),
    autoStart: parseBoolean('autoStart', options.autoStart ?? true),
    sweep: parseSchedule(options.sweep),
    sweeping: parseSweeping(options.sweep || {}),
    version: parseVersion(options.version),
    sources: { timeout: parseTimeout('sources.timeout', sources.timeout ?? '30s') },
    activation: { limit: wholeNumber('activation.limit', activation.limit ?? 1_000) },
    worker: {
      enabled: options.worker !== false,
      concurrency:
        worker.concurrency === undefined ? undefined : positiveInteger('worker.concurrency', worker.concurrency),
      pollInterval: parseTimeout('worker.pollInterval', worker.pollInterval ?? '2s'),
      maxAttempts: positiveInteger('worker.maxAttempts', worker.maxAttempts ?? 80),
      handlerTimeout: parseTimeout('worker.handlerTimeout', worker.handlerTimeout ?? '1h'),
      lease: leaseTimes(worker),
      carrier: parseCarrier(worker.carrier),
    },
    history: parseBoolean('history', options.history ?? true),
    retention: {
      completed:
        retention.completed === undefined ? undefined : parseDuration('retention.completed', retention.completed),
      discarded:
        retention.discarded === undefined ? undefined : parseDuration('retention.discarded', retention.discarded),
      rechecks: parseDuration('retention.rechecks', retention.rechecks ?? '30d'),
      keys: keyAges(retention.keys ?? {}),
      alerts: parseDuration('retention.alerts', retention.alerts ?? '30d'),
    },
    alerts: options.worker === false ? undefined : alertSettings(options.alerts),
    handlerExpiry: parseExpiry(options.handlerExpiry ?? '7d'),
    shutdownTimeout: parseTimeout('shutdownTimeout', options.shutdownTimeout ?? '10s'),
    statementTimeout: parseTimeout('statementTimeout', options.statementTimeout ?? '30s'),
    postgres: { prepare: parseBoolean('postgres.prepare', postgres.prepare ?? true) },
    sqlite: {
      serialize: parseBoolean('sqlite.serialize', sqlite.serialize ?? true),
      lockTimeout: parseTimeout('sqlite.lockTimeout', sqlite.lockTimeout ?? '30s'),
    },
  };
}

function keyAges(keys: Readonly<Record<string, Duration>>): Map<string, number> {
  if (typeof keys !== 'object' || keys === null)
    throw new InvalidOptionsError('retention.keys', keys, `{ group: duration }`);
  return new Map(Object.entries(keys).map(([group, kept]) => [group, parseDuration(`retention.keys.${group}`, kept)]));
}

// A shorter one passes between two times at which a process that is there says so: its handlers would miss deliveries.
function parseExpiry(given: Duration): number {
  const expiry = parseDuration('handlerExpiry', given);
  if (expiry >= HANDLER_LIVE) return expiry;
  throw new InvalidOptionsError('handlerExpiry', given, 'at least 5 minutes');
}

function leaseTimes({ leaseTtl = '30s', leaseRenewal }: WorkerOptions): LeaseTimes {
  const ttl = parseTimeout('worker.leaseTtl', leaseTtl);
  const renew = leaseRenewal === undefined ? ttl / 6 : parseTimeout('worker.leaseRenewal', leaseRenewal);
  if (renew <= ttl / 3) return { ttl, renew };
  throw new InvalidOptionsError('worker.leaseRenewal', leaseRenewal, 'at most a third of worker.leaseTtl');
}

function parseCarrier(carrier: DeliveryCarrier | undefined): DeliveryCarrier | undefined {
  if (carrier === undefined) return undefined;
  const { dispatches, works, ttl } = Object(carrier) as DeliveryCarrier;
  const isCarrier =
    [dispatches, works].every((flag) => typeof flag === 'boolean') &&
    Number.isFinite(ttl) &&
    ttl > 0 &&
    (['start', 'room', 'send', 'stop'] as const).every((method) => typeof Object(carrier)[method] === 'function');
  if (isCarrier) return carrier;
  throw new InvalidOptionsError('worker.carrier', carrier, 'a DeliveryCarrier');
}

/** Checks the name of a DataSource. Nest needs it before Spark can check the other options. Throws InvalidOptionsError. */
export function checkDataSource(value: unknown): void {
  if (value === undefined || (typeof value === 'string' && value !== '')) return;
  throw new InvalidOptionsError('dataSource', value, 'the name of a DataSource, left out for the unnamed one');
}

function parseSchedule(sweep: SweepSchedule | false | undefined): SparkSettings['sweep'] {
  if (sweep === undefined || sweep === false) return undefined;
  const expected = `false, { cron, timeZone? } or { interval }`;
  if (typeof sweep !== 'object' || sweep === null) throw new InvalidOptionsError('sweep', sweep, expected);
  refuseUnknown('sweep', sweep, [...('cron' in sweep ? ['cron', 'timeZone'] : ['interval']), ...SWEEPING]);
  if ('interval' in sweep && sweep.interval !== undefined)
    return { interval: parseTimeout('sweep.interval', sweep.interval) };
  if (!('cron' in sweep) || typeof sweep.cron !== 'string') throw new InvalidOptionsError('sweep', sweep, expected);
  if (sweep.timeZone !== undefined) checkTimeZone(sweep.timeZone);
  return { cron: sweep.cron, ...(sweep.timeZone === undefined ? {} : { timeZone: sweep.timeZone }) };
}

const SWEEPING = ['concurrency', 'rate', 'full'];

function parseSweeping({ concurrency = 1, rate, full = '1d' }: SweepOptions): SparkSettings['sweeping'] {
  return {
    concurrency: positiveInteger('sweep.concurrency', concurrency),
    rate: rate === undefined ? undefined : positiveInteger('sweep.rate', rate),
    full: parseDuration('sweep.full', full),
  };
}

function parseVersion(version: string | undefined): string | undefined {
  if (version === undefined) return undefined;
  if (typeof version === 'string' && version !== '' && version.length <= 100) return version;
  throw new InvalidOptionsError('version', version, 'text of 1 to 100 characters');
}

function checkTimeZone(timeZone: string): void {
  try {
    Intl.DateTimeFormat('en', { timeZone });
  } catch {
    throw new InvalidOptionsError('sweep.timeZone', timeZone, `the name of a time zone such as 'Europe/Berlin'`);
  }
}
