import type { CanActivate, InjectionToken, ModuleMetadata, OptionalFactoryDependency, Type } from '@nestjs/common';
import type { DashboardAuditLog, DashboardInterceptor } from '../access/audit.js';
import type { DashboardAccess } from '../access/permission.js';
import type { DashboardRedact } from '../redact/redactor.js';

/** Options of the dashboard that are known when the module is created. */
export interface SparkDashboardStaticOptions {
  /** Where the dashboard is, below the global prefix of the application. Default: `'spark'`. */
  readonly path?: string;
  /**
   * Guards of the dashboard, as for `@UseGuards`. Whoever passes them may do what `access` says, or everything without `access`. Default:
   * none, so `access` must decide.
   */
  readonly guards?: readonly (CanActivate | Type<CanActivate>)[];
  /** Modules that export what the guards inject. Default: none. */
  readonly imports?: ModuleMetadata['imports'];
  /** Decorators for the controller of the dashboard, such as the application's `Public()`. Default: none. */
  readonly decorators?: readonly ClassDecorator[];
  /** The name of the DataSource whose SparkModule it shows. Default: the unnamed one. */
  readonly dataSource?: string;
}

/** Options of the dashboard that a factory may return. */
export interface SparkDashboardDynamicOptions {
  /**
   * Says what a request may do: `'all'`, `'read'`, a list of {@link DashboardAction}, or `false`. It gets the request of Express or Fastify,
   * after all guards. Default: everything if there are `guards`, otherwise nothing. What it throws goes to the exception filters.
   */
  readonly access?: (request: any) => DashboardAccess | Promise<DashboardAccess>;
  /**
   * Says which values of contexts and metadata are hidden. Default: `looksSecret`, which hides passwords, tokens and the like. Except with
   * `false`, which shows everything, the text of errors is searched for the like, too.
   */
  readonly redact?: DashboardRedact | false;
  /** The title of all pages. Default: `'Spark'`. */
  readonly title?: string;
  /** The environment, such as `'production'`, shown beside the title. Default: none. */
  readonly environment?: string;
  /**
   * Says who has sent a request, for the audit log and the interceptor. It gets the request of Express or Fastify. Default: the `name`,
   * `username`, `email`, `sub` or `id` of `request.user`.
   */
  readonly user?: (request: any) => string | undefined | Promise<string | undefined>;
  /** Is told of each action: see {@link DashboardAuditLog}. Default: a log line for each. */
  readonly auditLog?: DashboardAuditLog;
  /** Runs around each action: see {@link DashboardInterceptor}. Default: none. */
  readonly interceptor?: DashboardInterceptor;
  /**
   * For how long a request may work on many deliveries, in milliseconds. Then it stops, and the page offers to go on. Default: 20,000. It
   * works on at least 1,000 deliveries. It also stops when the person leaves the page.
   */
  readonly actTime?: number;
}

/** Options of `SparkDashboardModule.forRoot`. */
export interface SparkDashboardOptions extends SparkDashboardStaticOptions, SparkDashboardDynamicOptions {}

/** Options of `SparkDashboardModule.forRootAsync`. */
export interface SparkDashboardAsyncOptions extends SparkDashboardStaticOptions {
  /** What the factory gets. Export it from a module among `imports`. */
  readonly inject?: (InjectionToken | OptionalFactoryDependency)[];
  readonly useFactory: (...dependencies: any[]) => SparkDashboardDynamicOptions | Promise<SparkDashboardDynamicOptions>;
}
