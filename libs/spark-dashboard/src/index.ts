export type { DashboardAction } from './access/actions.js';
export type { DashboardAct, DashboardAudit, DashboardAuditLog, DashboardInterceptor } from './access/audit.js';
export type { DashboardAccess } from './access/permission.js';
export type {
  SparkDashboardAsyncOptions,
  SparkDashboardDynamicOptions,
  SparkDashboardOptions,
  SparkDashboardStaticOptions,
} from './options/dashboard.options.js';
export type { DashboardRedact } from './redact/redactor.js';
export { looksSecret } from './redact/secrets.js';
export { SparkDashboardModule } from './spark-dashboard.module.js';
