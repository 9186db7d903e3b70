import { Logger } from '@nestjs/common';
import type { DashboardAudit } from '../access/audit.js';
import { stackOf } from '../view/stack-of.js';
import type { View } from '../view/view.js';
import type { Act } from './act.js';

const logger = new Logger('Spark');

type Told = Pick<DashboardAudit, 'phase'> & Partial<Pick<DashboardAudit, 'count' | 'error'>>;

/** Tells the audit log of an action. Without one, it logs a line. */
async function tell({ settings, request }: View, { action, about }: Act, { phase, count, error }: Told): Promise<void> {
  const { auditLog } = settings;
  if (auditLog) return void (await auditLog({ phase, action, about, count, error, at: new Date(), request }));
  const counted = count === undefined ? '' : `, ${count}`;
  logger.log(`Dashboard: ${action} ${JSON.stringify(about)} ${phase}${counted}.`);
}

/** Tells the end of an action. The action is over, so an audit log that throws changes nothing; it is logged. */
async function tellEnd(view: View, act: Act, end: Told): Promise<void> {
  try {
    await tell(view, act, end);
  } catch (error) {
    logger.error(`auditLog has thrown at the phase ${end.phase} of ${act.action}, after the action.`, stackOf(error));
  }
}

/** Runs an action, and tells the audit log before and after it. If the audit log throws before, the action does not run. */
export async function audited<R extends { readonly count?: number; readonly isComplete?: boolean }>(
  view: View,
  act: Act,
  work: () => Promise<R>,
): Promise<R> {
  await tell(view, act, { phase: 'started' });
  try {
    const result = await work();
    await tellEnd(view, act, { phase: result.isComplete === false ? 'stopped' : 'done', count: result.count });
    return result;
  } catch (error) {
    await tellEnd(view, act, { phase: 'failed', error });
    throw error;
  }
}

/** Starts work that goes on when the request has ended, and tells the audit log before it and when it ends. */
export async function auditedInBackground(view: View, act: Act, start: () => Promise<number | Error>): Promise<void> {
  await tell(view, act, { phase: 'started' });
  void start().then((end) =>
    tellEnd(view, act, end instanceof Error ? { phase: 'failed', error: end } : { phase: 'done', count: end }),
  );
}
