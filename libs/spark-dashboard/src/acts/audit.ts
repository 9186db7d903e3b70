import { Logger } from '@nestjs/common';
import type { DashboardAct, DashboardAudit } from '../access/audit.js';
import { stackOf } from '../view/stack-of.js';
import type { View } from '../view/view.js';
import type { Act } from './act.js';

const logger = new Logger('Spark');

type Told = Pick<DashboardAudit, 'phase'> & Partial<Pick<DashboardAudit, 'count' | 'error'>>;
type Audited = Pick<View, 'settings'> & { readonly act: DashboardAct };

/** What comes of an action, for the audit log. */
export interface Ended {
  readonly count?: number;
  /** Whether nothing is left. Default: true. */
  readonly isComplete?: boolean;
}

/** Tells the audit log of an action. Without one, it logs a line. */
async function tell({ settings, act }: Audited, { phase, count, error }: Told): Promise<void> {
  const { auditLog } = settings;
  if (auditLog) return void (await auditLog({ ...act, phase, count, error, at: new Date() }));
  const { user, action, about } = act;
  const who = user === undefined ? '' : `${JSON.stringify(user)}: `;
  const counted = count === undefined ? '' : `, ${count}`;
  logger.log(`Dashboard: ${who}${action} ${JSON.stringify(about)} ${phase}${counted}.`);
}

/** Tells the end of an action. The action is over, so an audit log that throws changes nothing; it is logged. */
async function tellEnd(told: Audited, end: Told): Promise<void> {
  try {
    await tell(told, end);
  } catch (error) {
    const { action } = told.act;
    logger.error(`auditLog has thrown at the phase ${end.phase} of ${action}, after the action.`, stackOf(error));
  }
}

async function begun({ settings, request }: View, { action, about }: Act): Promise<Audited> {
  const told = { settings, act: { action, about, user: await settings.user(request), request } };
  await tell(told, { phase: 'started' });
  return told;
}

async function ended<R extends Ended>(told: Audited, work: () => Promise<R>): Promise<R> {
  try {
    const result = await within(told, work);
    await tellEnd(told, { phase: result.isComplete === false ? 'stopped' : 'done', ...countIn(result) });
    return result;
  } catch (error) {
    await tellEnd(told, { phase: 'failed', error });
    throw error;
  }
}

const countIn = ({ count }: Ended) => (count === undefined ? {} : { count });

/** Runs an action inside of the interceptor. */
async function within<R>({ settings: { interceptor }, act }: Audited, work: () => Promise<R>): Promise<R> {
  if (!interceptor) return work();
  const run: { begun?: Promise<R> } = {};
  await interceptor(act, async () => void (await (run.begun ??= work())));
  if (run.begun) return run.begun;
  throw new Error(`The option interceptor of SparkDashboardModule did not call next, so ${act.action} did not run.`);
}

/**
 * Runs an action, and tells the audit log before and after it. If the audit log throws before, the action does not run; and if the
 * interceptor throws before it calls `next`.
 */
export async function audited<R extends Ended>(view: View, act: Act, work: () => Promise<R>): Promise<R> {
  return ended(await begun(view, act), work);
}

/** Starts work that goes on when the request has ended, and tells the audit log before it and when it ends. An error is logged. */
export async function auditedInBackground(view: View, act: Act, start: () => Promise<Ended>): Promise<void> {
  const audit = await begun(view, act);
  void ended(audit, start).catch((error: unknown) => {
    const what = `${act.action} ${JSON.stringify(act.about)}`;
    logger.error(`${what}, which was started in the dashboard, has failed.`, stackOf(error));
  });
}
