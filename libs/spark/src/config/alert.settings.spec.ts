import { describe, expect, it } from 'vitest';
import type { AlertOptions } from './alert.options.js';
import { ALERT_CONDITIONS, alertSettings } from './alert.settings.js';

const [MINUTE, HOUR] = [60_000, 3_600_000];

describe('the options of alerts', () => {
  it('have all conditions by default, with limits, and the log', () => {
    const { limits, calls, logger } = alertSettings()!;
    expect([...limits.keys()]).toEqual(ALERT_CONDITIONS);
    expect(limits.get('discarded')).toMatchObject({ moreThan: 0, within: HOUR });
    expect(limits.get('backlog')).toMatchObject({ olderThan: 15 * MINUTE });
    expect(limits.get('missed')).toMatchObject({ within: 24 * HOUR });
    expect(calls).toEqual([]);
    expect(logger).toBe(true);
  });

  it('switch a condition off, change its limits, and name functions', () => {
    const call = () => undefined;
    const { limits, calls } = alertSettings({
      onMissed: false,
      onHeld: call,
      onBacklog: { olderThan: '5m', notify: call },
      onDiscarded: { moreThan: 3, within: undefined as never },
      onAlert: call,
    })!;
    expect(limits.has('missed')).toBe(false);
    expect(limits.get('backlog')).toMatchObject({ olderThan: 5 * MINUTE });
    expect(limits.get('discarded')).toMatchObject({ moreThan: 3, within: HOUR });
    expect(calls).toEqual([
      { name: 'alerts.onAlert', conditions: undefined, call },
      { name: 'alerts.onBacklog', conditions: ['backlog'], call },
      { name: 'alerts.onHeld', conditions: ['held'], call },
    ]);
  });

  it('are switched off by false', () => {
    expect(alertSettings(false)).toBeUndefined();
  });

  it.each<[string, object | boolean | null]>([
    ['alerts', true],
    ['alerts', null],
    ['alerts.onBacklogs', { onBacklogs: false }],
    ['alerts.onBacklog', { onBacklog: true }],
    ['alerts.onBacklog', { onBacklog: null }],
    ['alerts.onBacklog.moreThan', { onBacklog: { moreThan: 1 } }],
    ['alerts.onBacklog.olderThan', { onBacklog: { olderThan: 'soon' } }],
    ['alerts.onDiscarded.moreThan', { onDiscarded: { moreThan: -1 } }],
    ['alerts.onDiscarded', { onDiscarded: { notify: 'me' } }],
    ['alerts.onAlert', { onAlert: {} }],
    ['alerts.logger', { logger: 'yes' }],
  ])('%s is refused by its name: %o', (name, options) => {
    expect(() => alertSettings(options as AlertOptions)).toThrow(`Spark's option ${name} is `);
  });
});
