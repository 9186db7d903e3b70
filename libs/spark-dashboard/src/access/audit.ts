import type { DashboardAction } from './actions.js';

/** An action, and who does it. */
export interface DashboardAct {
  readonly action: DashboardAction;
  /** What it is about: the filter, the handler or the source, as in the address of the page. Empty if it is about all. */
  readonly about: Readonly<Record<string, string>>;
  /** Who does it: what the option `user` returns. */
  readonly user: string | undefined;
  /** The request, as the framework has it, with the user that a guard has set. */
  readonly request: any;
}

/** What `auditLog` gets of an action. */
export interface DashboardAudit extends DashboardAct {
  /**
   * `started`: before the action. `done`: it has ended. `stopped`: it took longer than `actTime`, or the person has left its page, and a part
   * is left. `failed`: it threw.
   */
  readonly phase: 'started' | 'done' | 'stopped' | 'failed';
  /** How many deliveries were changed, or how many events a sweep has entered. Undefined when it started, and for other actions. */
  readonly count: number | undefined;
  /** What it threw, if it failed. */
  readonly error: unknown;
  readonly at: Date;
}

/**
 * Is told of each action. If it throws at the phase `started`, the action does not run. What it throws later is logged.
 *
 * @example
 * ({ phase, user, action, about, count }) => this.audit.write({ phase, user, action, about, count })
 */
export type DashboardAuditLog = (entry: DashboardAudit) => unknown;

/**
 * Runs around each action, inside of the audit log. It may set an async context, measure the action, or refuse it: an error before `next` is
 * called keeps it from running. The page says that it has failed, and the log says why.
 *
 * @param act The action, and who does it.
 * @param next Runs the action. It rejects with the error of the action.
 *
 * @example
 * async ({ user, action }, next) => {
 *   if (action === 'discard' && !(await this.rights.mayDiscard(user))) throw new ForbiddenException();
 *   await this.cls.run(next);
 * }
 */
export type DashboardInterceptor = (act: DashboardAct, next: () => Promise<void>) => unknown;
