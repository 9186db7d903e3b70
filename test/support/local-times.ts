import { DAY, HOUR } from './set-clock.js';

const QUARTER = HOUR / 4;
// Further away from UTC no clock is.
const FARTHEST = 26 * HOUR;

/** Where clocks change, with an instant two days before: offsets of half-hours, changes at midnight, days that are skipped. */
export const CHANGES: readonly { readonly zone: string; readonly begin: string }[] = [
  { zone: 'Europe/Berlin', begin: '2026-03-27' },
  { zone: 'Europe/Berlin', begin: '2026-10-23' },
  { zone: 'America/New_York', begin: '2026-10-30' },
  { zone: 'Australia/Lord_Howe', begin: '2026-04-03' },
  { zone: 'Australia/Lord_Howe', begin: '2026-10-02' },
  { zone: 'Asia/Kathmandu', begin: '2026-01-01' },
  { zone: 'America/Sao_Paulo', begin: '2018-11-02' },
  { zone: 'America/Sao_Paulo', begin: '2018-02-16' },
  { zone: 'Africa/Cairo', begin: '2026-04-22' },
  { zone: 'Africa/Cairo', begin: '2026-10-27' },
  { zone: 'Africa/Casablanca', begin: '2026-02-13' },
  { zone: 'Pacific/Apia', begin: '2011-12-28' },
  { zone: 'Pacific/Kwajalein', begin: '1993-08-19' },
];

const formats = new Map<string, Intl.DateTimeFormat>();
const firsts = new Map<string, number>();

/** What the clocks of a zone show, as epoch ms of a clock in UTC that shows the same. */
function localAt(zone: string, instant: number): number {
  let format = formats.get(zone);
  if (!format) {
    const numeric = 'numeric';
    const fields = { year: numeric, month: numeric, day: numeric, hour: numeric, minute: numeric } as const;
    formats.set(zone, (format = new Intl.DateTimeFormat('en', { timeZone: zone, hourCycle: 'h23', ...fields })));
  }
  const parts = format.formatToParts(instant).map(({ type, value }) => [type, Number(value)]);
  const { year, month, day, hour, minute } = Object.fromEntries(parts) as Record<string, number>;
  return Date.UTC(year!, month! - 1, day, hour, minute);
}

/** The first instant at which a local time has come. In these zones and years, clocks change at quarters of an hour. */
function firstAt(zone: string, local: number): number {
  const name = `${zone} ${local}`;
  let first = firsts.get(name);
  if (first !== undefined) return first;
  first = local - FARTHEST;
  const away = localAt(zone, first) - first;
  // Most days are usual ones.
  if (localAt(zone, local + FARTHEST) - (local + FARTHEST) === away) first = local - away;
  else while (localAt(zone, first) < local) first += QUARTER;
  firsts.set(name, first);
  return first;
}

/**
 * The instants from `begin` to before `end` at which local times come: those of each day that `isMeant` takes, by its weekday.
 *
 * @param times in hours after midnight
 */
export function instantsOf(
  zone: string,
  times: readonly number[],
  begin: number,
  end: number,
  isMeant: (weekday: number) => boolean = () => true,
): number[] {
  const instants = new Set<number>();
  for (let day = Math.floor(begin / DAY) * DAY - 2 * DAY; day < end + 2 * DAY; day += DAY) {
    if (!isMeant(new Date(day).getUTCDay())) continue;
    for (const time of times) instants.add(firstAt(zone, day + time * HOUR));
  }
  return [...instants].filter((instant) => instant >= begin && instant < end).sort((a, b) => a - b);
}
