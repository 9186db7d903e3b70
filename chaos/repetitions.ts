import type { Fault } from './crew.js';

/** A call for an event: of a handler, or one of a relay that has sent its message. */
export interface Call {
  readonly key: string;
  /** By which process. */
  readonly life: number;
  /** When, in epoch ms. */
  readonly at: number;
  /** Unknown for a relay. */
  readonly attempt?: number;
}

/** How many calls were not the first for their event. */
export const repeatedCalls = (calls: readonly Call[]): number => calls.length - byKey(calls).size;

/** The calls that were repeated though no fault came between that had hit the process that made the first. */
export function repeatedWithoutFault(calls: readonly Call[], faults: readonly Fault[]): string[] {
  const unexplained: string[] = [];
  for (const [key, own] of byKey(calls)) {
    for (const [i, call] of own.slice(0, -1).entries()) {
      const [{ life, at: from }, next] = [call, own[i + 1]!];
      const hit = (fault: Fault) => fault.life === undefined || fault.life === life;
      if (!faults.some((fault) => hit(fault) && fault.from <= next.at && fault.to >= from))
        unexplained.push(`${key}: ${textOf(call)}, then ${textOf(next)}`);
    }
  }
  return unexplained;
}

/** The calls for each event, the first one first. */
function byKey(calls: readonly Call[]): Map<string, Call[]> {
  const grouped = new Map<string, Call[]>();
  for (const call of [...calls].sort((a, b) => a.at - b.at)) {
    const others = grouped.get(call.key);
    if (others) others.push(call);
    else grouped.set(call.key, [call]);
  }
  return grouped;
}

const textOf = ({ life, at, attempt }: Call): string =>
  `${attempt === undefined ? 'sent' : `attempt ${attempt}`} by ${life} at ${at}`;
