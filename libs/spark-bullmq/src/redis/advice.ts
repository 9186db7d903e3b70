/** The words of an error. That of several addresses of a name has none of its own. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code } = error as NodeJS.ErrnoException;
  return error.message || code || error.name;
}

/** Whether an error says that Redis was not reached, and nothing else. */
export function isOfConnection(error: unknown): boolean {
  const { code, message } = error as NodeJS.ErrnoException;
  return (
    ['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH'].includes(
      code ?? '',
    ) ||
    /^(Connection is closed|Command timed out|Socket timeout|connect E|Stream isn't writeable|Reached the max retries)/.test(
      message,
    )
  );
}

// What to do, by the beginning of what Redis says.
const ADVICE: readonly [RegExp, string][] = [
  [
    /^OOM/,
    'Redis is full, and refuses writes as it should with noeviction. Raise its maxmemory, or remove what else is in it.',
  ],
  [
    /^(NOAUTH|WRONGPASS|ERR invalid password|NOPERM)/,
    'Check the user and the password in the connection of the carrier.',
  ],
  [/^READONLY/, 'This is a replica. Let the connection lead to the primary, or name the sentinels.'],
  [/^MISCONF/, 'Redis cannot write its snapshots, and refuses writes until it can. Look at its log and its disk.'],
  [/^LOADING/, 'Redis loads its data, and will be there.'],
  [/timed out|timeout/, 'It is overloaded or stopped, or the network is broken. Look at its log and its machine.'],
];

/** What an operator does about an error of Redis. */
export function adviceOn(reason: string): string {
  const [, advice] = ADVICE.find(([pattern]) => pattern.test(reason)) ?? [];
  return advice ?? 'Start it, or check the connection of the carrier.';
}

/**
 * Whether an error of BullMQ says that Redis does not know a job any more, or gave it to another worker: after a loss of its data, or where a
 * process was stopped for longer than BullMQ's lock. It harms no delivery, because the database decides.
 */
export const isOfLostJob = (error: unknown): boolean =>
  /^(Missing (key|lock) for job|could not renew lock for job|Job \S+ is not in the active state|Lock mismatch for job)/.test(
    reasonOf(error),
  );
