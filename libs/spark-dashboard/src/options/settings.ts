import { InvalidOptionsError } from 'nestjs-spark';
import type { DashboardAuditLog, DashboardInterceptor } from '../access/audit.js';
import type { DashboardAccess } from '../access/permission.js';
import { userOf } from '../access/user.js';
import { Redactor } from '../redact/redactor.js';
import type { SparkDashboardDynamicOptions, SparkDashboardStaticOptions } from './dashboard.options.js';

/** The options of the dashboard, checked and with their defaults. */
export interface DashboardSettings {
  /** Undefined if neither guards nor `access` were given: then the dashboard is closed. */
  readonly access: ((request: unknown) => DashboardAccess | Promise<DashboardAccess>) | undefined;
  readonly redactor: Redactor;
  readonly title: string;
  readonly environment: string | undefined;
  readonly user: (request: unknown) => string | undefined | Promise<string | undefined>;
  readonly auditLog: DashboardAuditLog | undefined;
  readonly interceptor: DashboardInterceptor | undefined;
  readonly actTime: number;
}

const STATIC = ['path', 'guards', 'imports', 'decorators', 'dataSource'];
const DYNAMIC = ['access', 'redact', 'title', 'environment', 'user', 'auditLog', 'interceptor', 'actTime'];
const ASYNC = ['inject', 'useFactory'];

const isFunction = (value: unknown): boolean => typeof value === 'function';
const isText = (value: unknown): boolean => typeof value === 'string' && value !== '';

/** What each option must be. */
const EXPECTED: Record<string, [is: (value: unknown) => boolean, expected: string]> = {
  path: [(value) => typeof value === 'string', `text, such as 'spark'`],
  guards: [Array.isArray, 'a list of guards'],
  imports: [Array.isArray, 'a list of modules'],
  decorators: [(value) => Array.isArray(value) && value.every(isFunction), 'a list of decorators of a class'],
  dataSource: [isText, 'the name of a DataSource'],
  access: [isFunction, `a function that returns 'all', 'read', a list of actions or false`],
  redact: [(value) => value === false || isFunction(value), 'a function, or false'],
  title: [isText, 'text'],
  environment: [isText, 'text'],
  user: [isFunction, 'a function'],
  auditLog: [isFunction, 'a function'],
  interceptor: [isFunction, 'a function'],
  actTime: [(value) => Number.isSafeInteger(value) && (value as number) >= 0, 'whole milliseconds, 0 or above'],
};

function check(place: string, options: object, names: readonly string[]): void {
  for (const [name, value] of Object.entries(options) as [string, unknown][]) {
    if (!names.includes(name))
      throw new InvalidOptionsError(`${place} { ${name} }`, value, `one of ${names.join(', ')}`);
    const [is, expected] = EXPECTED[name] ?? [() => true, ''];
    if (value !== undefined && !is(value)) throw new InvalidOptionsError(`${place} { ${name} }`, value, expected);
  }
}

/** Checks the options of `forRoot`. Throws InvalidOptionsError. */
export const checkOptions = (options: object): void =>
  check('SparkDashboardModule.forRoot', options, [...STATIC, ...DYNAMIC]);

/** Checks the options of `forRootAsync`. Throws InvalidOptionsError. */
export function checkAsyncOptions(options: object & { useFactory?: unknown }): void {
  check('SparkDashboardModule.forRootAsync', options, [...STATIC, ...ASYNC]);
  if (!isFunction(options.useFactory))
    throw new InvalidOptionsError('SparkDashboardModule.forRootAsync { useFactory }', options.useFactory, 'a function');
}

/** Checks what the factory of `forRootAsync` has returned. Throws InvalidOptionsError. */
export const checkReturned = (options: object): void =>
  check('The factory of SparkDashboardModule.forRootAsync', options, DYNAMIC);

/** The settings of options that were checked. */
export function settingsOf(
  { guards = [] }: SparkDashboardStaticOptions,
  options: SparkDashboardDynamicOptions,
): DashboardSettings {
  const {
    access,
    redact,
    title = 'Spark',
    environment,
    user = userOf,
    auditLog,
    interceptor,
    actTime = 20_000,
  } = options;
  return {
    access: access ?? (guards.length > 0 ? () => 'all' : undefined),
    redactor: new Redactor(redact),
    title,
    environment,
    user,
    auditLog,
    interceptor,
    actTime,
  };
}
