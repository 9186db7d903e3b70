import { DASHBOARD_ACTIONS, type DashboardAction } from './actions.js';

/**
 * What a request may do: `'all'`; `'read'`, which is all pages and no action; a list of actions, with all pages; or `false`, which is
 * nothing.
 */
export type DashboardAccess = 'all' | 'read' | readonly DashboardAction[] | false;

/** What one request may do. Whatever is not granted is refused. */
export class Permission {
  /** What the request may do. Anything that is not a {@link DashboardAccess} grants nothing. */
  constructor(private readonly granted: DashboardAccess) {}

  /** What tells it from other permissions. */
  get name(): string {
    return JSON.stringify(this.granted);
  }

  get mayRead(): boolean {
    return this.granted === 'all' || this.granted === 'read' || Array.isArray(this.granted);
  }

  may(action: DashboardAction): boolean {
    return this.granted === 'all' || (Array.isArray(this.granted) && this.granted.includes(action));
  }
}

/** Whether a value is one that `access` may return. */
export function isAccess(value: unknown): value is DashboardAccess {
  if (value === 'all' || value === 'read' || value === false) return true;
  return Array.isArray(value) && value.every((one) => (DASHBOARD_ACTIONS as readonly unknown[]).includes(one));
}
