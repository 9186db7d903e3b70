// Ids of rows are text, because a number may not hold them exactly.
const IDS = new Set(['id', 'event_id', 'caused_by']);
const NUMBERS = new Set(
  (
    'attempt priority suspect due_at started_at finished_at duration_ms recorded_at at until_at depth revision ' +
    'first_seen_at last_seen_at lease_until pid held_until taken_until slot began_at baseline swept_at found missed'
  ).split(' '),
);

/**
 * Makes the values of Spark's columns the same for all drivers: ids as text, other numbers as numbers. An application may have
 * registered parsers with its driver, so this is the one place that reads such values. The caller converts numbers under other names,
 * such as a count.
 */
export function plainRows<R>(rows: readonly unknown[]): R[] {
  for (const row of rows as Record<string, Given>[])
    for (const name in row) {
      const value = row[name];
      if (typeof value === 'string' ? NUMBERS.has(name) : typeof value !== 'number' || IDS.has(name))
        row[name] = plain(name, value);
    }
  return rows as R[];
}

type Given = string | number | bigint | boolean | Buffer | null | undefined;

function plain(name: string, value: Given): Given {
  if (value === null || value === undefined || typeof value === 'boolean') return value;
  if (NUMBERS.has(name)) return Number(value);
  if (typeof value === 'bigint' && !IDS.has(name) && Number.isSafeInteger(Number(value))) return Number(value);
  return String(value);
}
