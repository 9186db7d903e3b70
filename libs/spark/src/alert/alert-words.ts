import ms from 'ms';
import { ADVICE } from '../common/health-limits.js';
import type { AlertCondition } from '../config/alert.options.js';
import { shown } from '../error/text-of.js';
import { MOST } from '../inspect/health.js';
import type { AlertFigures } from '../store/alerts.js';

/** The words for a condition. */
interface Words {
  readonly raised: (subject: string, figures: AlertFigures) => string;
  readonly over: (subject: string, figures: AlertFigures) => string;
  readonly advice: (figures: AlertFigures) => string;
}

const time = (milliseconds = 0): string => ms(milliseconds, { long: true });

function deliveries(count = 0): string {
  const least = count >= MOST ? 'At least ' : '';
  return count === 1 ? '1 delivery' : `${least}${count.toLocaleString('en')} deliveries`;
}

const verb = (count = 0, one: string, many: string): string => (count === 1 ? one : many);

const WORDS: Readonly<Record<AlertCondition, Words>> = {
  discarded: {
    raised: (handler, { deliveries: n, within }) =>
      `${deliveries(n)} of ${handler} ${verb(n, 'was', 'were')} discarded within ${time(within)}.`,
    over: (handler) => `Deliveries of ${handler} are no longer discarded.`,
    advice: () => ADVICE.discarded,
  },
  backlog: {
    raised: (handler, { age }) => `Deliveries of ${handler} are late: the oldest has been due for ${time(age)}.`,
    over: (handler) => `Deliveries of ${handler} are no longer late.`,
    advice: ({ workers = 0 }) => ADVICE.backlog(workers),
  },
  missed: {
    raised: (source, { events = 0 }) =>
      `Sweeps have found ${events} ${verb(events, 'event', 'events')} of ${source} that live capture missed.`,
    over: (source) => `Live capture no longer misses events of ${source}.`,
    advice: () => `${ADVICE.missed} If that is meant, switch the alert off by alerts: { onMissed: false }.`,
  },
  orphans: {
    raised: (handler, { deliveries: n }) =>
      `${deliveries(n)} ${verb(n, 'waits', 'wait')} for ${handler}, a handler that no process has.`,
    over: (handler) => `Deliveries no longer wait for ${handler}, a handler that no process had.`,
    advice: () => ADVICE.orphans,
  },
  held: {
    raised: (group, { deliveries: n, age }) =>
      `${deliveries(n)} of ${group} ${verb(n, 'is', 'are')} held, the oldest for ${time(age)}.`,
    over: (group, { olderThan }) => `Deliveries of ${group} are no longer held for over ${time(olderThan)}.`,
    advice: () => ADVICE.held,
  },
  sweepStalled: {
    raised: (source, { age }) => `A sweep of ${source} has begun and has read no further rows for ${time(age)}.`,
    over: (source) => `The sweep of ${source} moves again, or has ended.`,
    advice: () => ADVICE.sweepStalled,
  },
  sweepOverdue: {
    raised: (source, { age }) =>
      `A scheduled sweep of ${source} has been due for ${time(age)}, and no process has begun it.`,
    over: (source) => `The scheduled sweep of ${source} is no longer overdue.`,
    advice: () => ADVICE.sweepOverdue,
  },
  rechecks: {
    raised: (entity, { age }) => `Rechecks of ${entity} are late: the oldest has been due for ${time(age)}.`,
    over: (entity) => `Rechecks of ${entity} are no longer late.`,
    advice: () => ADVICE.rechecks,
  },
  lease: {
    raised: (place) => `The process ${place} has no lease, so it handles no deliveries.`,
    over: (place) => `The process ${place} has a lease again, or has ended.`,
    advice: () => ADVICE.lease,
  },
};

/** Whether this release knows a condition. Another release may have more. */
export const isCondition = (about: string): about is AlertCondition => Object.hasOwn(WORDS, about);

/** What listeners get of an alert that is raised: a sentence, and what to do. */
export function wordsOfRaised(about: AlertCondition, subject: string, figures: AlertFigures) {
  const { raised, advice } = WORDS[about];
  return { summary: raised(shown(subject), figures), advice: advice(figures) };
}

/** What listeners get of an alert that is over after so many milliseconds. */
export function wordsOfOver(about: AlertCondition, subject: string, figures: AlertFigures, lasted: number) {
  return { summary: `${WORDS[about].over(shown(subject), figures)} It lasted ${time(lasted)}.`, advice: undefined };
}
