import { InvalidOptionsError } from '../error/invalid-options.error.js';
import { refuseUnknown } from '../config/option-parsers.js';
import { zoneNamed } from '../event/zone.js';
import type { QuietHours } from './batch.js';

const DAY = 86_400_000;
const MINUTE = 60_000;
const TIME = /^([01]\d|2[0-3]):([0-5]\d)$/;

/**
 * When quiet hours end that an instant is in, in epoch milliseconds; undefined if it is in none.
 *
 * @param option makes the name of a part of the option for messages
 * @throws InvalidOptionsError
 */
export function quietUntil(option: (part: string) => string, hours: QuietHours, instant: number): number | undefined {
  refuseUnknown(option('quiet'), hours, ['from', 'to', 'timeZone'], (name) => option(`quiet.${name}`));
  const [from, to] = [timeOf(option('quiet.from'), hours.from), timeOf(option('quiet.to'), hours.to)];
  if (from === to) throw new InvalidOptionsError(option('quiet.to'), hours.to, 'another time than from');
  const zone = zoneOf(option('quiet.timeZone'), hours.timeZone ?? 'UTC');
  const today = Math.floor(zone.latestLocal(instant) / DAY) * DAY;
  // Quiet hours that the instant is in have begun today or yesterday.
  for (const day of [today, today - DAY]) {
    const end = zone.instantOf(day + to + (to < from ? DAY : 0));
    if (zone.instantOf(day + from) <= instant && instant < end) return end;
  }
  return undefined;
}

function timeOf(name: string, text: unknown): number {
  const [, hours, minutes] = (typeof text === 'string' && TIME.exec(text)) || [];
  if (hours === undefined) throw new InvalidOptionsError(name, text, `a time such as '22:00'`);
  return (Number(hours) * 60 + Number(minutes)) * MINUTE;
}

function zoneOf(name: string, timeZone: string) {
  try {
    return zoneNamed(timeZone);
  } catch {
    throw new InvalidOptionsError(name, timeZone, `the IANA name of a time zone, such as 'Europe/Berlin'`);
  }
}
