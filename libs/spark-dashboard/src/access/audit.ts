import type { DashboardAction } from './actions.js';

/** What `auditLog` gets of an action. */
export interface DashboardAudit {
  /**
   * `started`: before the action. `done`: it has ended. `stopped`: it took longer than `actTime`, and a part is left. `failed`: it threw.
   */
  readonly phase: 'started' | 'done' | 'stopped' | 'failed';
  readonly action: DashboardAction;
  /** What it is about: the filter, the handler or the source, as in the address of the page. Empty if it is about all. */
  readonly about: Readonly<Record<string, string>>;
  /** How many deliveries were changed, or how many events a sweep has entered. Undefined when it started, and for other actions. */
  readonly count: number | undefined;
  /** What it threw, if it failed. */
  readonly error: unknown;
  readonly at: Date;
  /** The request, as the framework has it, with the user that a guard has set. */
  readonly request: any;
}

/**
 * Is told of each action. If it throws at the phase `started`, the action does not run. What it throws later is logged.
 *
 * @example
 * ({ phase, action, about, count, request }) => this.audit.write(request.user.name, phase, action, about, count)
 */
export type DashboardAuditLog = (entry: DashboardAudit) => unknown;
