/** What a person can do in the dashboard besides reading. */
export const DASHBOARD_ACTIONS = [
  'retry',
  'discard',
  'release',
  'replay',
  'pauseHandler',
  'resumeHandler',
  'sweep',
  'pauseSweep',
  'resumeSweep',
] as const;

/**
 * What a person can do in the dashboard besides reading: `retry`, `discard` and `release` deliveries, `replay` past events for a handler,
 * pause and resume a handler (`pauseHandler`, `resumeHandler`), start a sweep (`sweep`), pause and resume the sweeps of a source (`pauseSweep`, `resumeSweep`).
 */
export type DashboardAction = (typeof DASHBOARD_ACTIONS)[number];
