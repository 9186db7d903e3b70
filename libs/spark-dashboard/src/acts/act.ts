import { DASHBOARD_ACTIONS, type DashboardAction } from '../access/actions.js';
import { BadRequestError } from '../view/bad-request.error.js';
import { DELIVERY_PARTS, EVENT_PARTS, type Query } from '../view/query.js';

/** The actions on all deliveries that a filter selects, or on those of all events that it selects. */
export type BulkAction = Extract<DashboardAction, 'retry' | 'discard' | 'release' | 'replay'>;

/** An action that a request asks for, and what it is about, as texts. */
export interface Act<A extends DashboardAction = DashboardAction> {
  readonly action: A;
  readonly about: Readonly<Record<string, string>>;
}

/** The part of an address with how many deliveries were counted before, for the progress. */
export const COUNTED_BEFORE = 'of';

/** What the address of each action may have, besides `do`. */
const PARTS: Record<DashboardAction, readonly string[]> = {
  retry: DELIVERY_PARTS,
  discard: DELIVERY_PARTS,
  release: [...DELIVERY_PARTS, 'limit'],
  replay: [...EVENT_PARTS, 'handler', 'repeat'],
  pauseHandler: ['handler'],
  resumeHandler: ['handler'],
  sweep: ['entity'],
  pauseSweep: ['source'],
  resumeSweep: ['source'],
};

/** The action in an address. Throws BadRequestError if there is none, or if the address has parts that the action does not know. */
export function actIn(query: Query): Act {
  const action = query.needed('do') as DashboardAction;
  if (!DASHBOARD_ACTIONS.includes(action))
    throw new BadRequestError(`do is ${JSON.stringify(action)}. Expected: one of ${DASHBOARD_ACTIONS.join(', ')}.`);
  const parts = PARTS[action];
  query.refuseOthers(['do', COUNTED_BEFORE, ...parts]);
  return { action, about: query.some(parts) };
}

/** Whether an action is about all deliveries that a filter selects, so that it is counted and confirmed first. */
export const isBulk = (act: Act): act is Act<BulkAction> =>
  ['retry', 'discard', 'release', 'replay'].includes(act.action);
