import ms from 'ms';
import { at, type Found, listed, ok, shellWord, warning } from './finding.js';
import type { Patient } from './patient.js';

/**
 * Whether there are handlers that get deliveries and that no process has. Those that have been gone for longer get no new deliveries, so
 * they were removed on purpose, or their deliveries are orphans.
 */
export async function checkHandlers(patient: Patient): Promise<Found[]> {
  const { registered, settings, clock } = patient.spark;
  const all = await patient.reading(({ manager }) => registered.gone(manager));
  const since = clock.now() - settings.handlerExpiry;
  const gone = [...all].filter(([, seen]) => seen.getTime() > since);
  if (gone.length === 0) return [ok('Each handler that gets deliveries is there.')];
  const latest = new Date(Math.max(...gone.map(([, seen]) => seen.getTime())));
  return [
    warning(
      `No process has these handlers, the last one since ${at(latest)}: ${listed(gone.map(([name]) => name))}. They still get deliveries.`,
      `Start a process that has them. A handler that is renamed needs its old name among its aliases. One that was removed gets no new ` +
        `deliveries after ${ms(settings.handlerExpiry, { long: true })} (handlerExpiry).`,
    ),
  ];
}

/** Whether handlers or sweeps are paused, in all processes. */
export async function checkPauses(patient: Patient): Promise<Found[]> {
  const { paused: handlers } = await patient.health();
  const sources = (await patient.sources()).filter(({ paused }) => paused !== undefined);
  const found = [
    ...handlers.map(({ handler, since }) =>
      warning(
        `The handler ${handler} is paused since ${at(since)}.`,
        `To end that: spark handlers resume ${shellWord(handler)}`,
      ),
    ),
    ...sources.map(({ source, paused }) =>
      warning(
        `Sweeps of the source ${source} are paused since ${at(paused!)}.`,
        `To end that, call SparkService.resumeSweep(${JSON.stringify(source)}).`,
      ),
    ),
  ];
  return found.length > 0 ? found : [ok('No handler and no sweep is paused.')];
}
