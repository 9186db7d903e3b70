import type { RoundReport } from './round.js';

/** What keeps a round from counting: something that it is there for did not happen, or it found what must not be. */
export function complaints(report: RoundReport): string[] {
  const { findings, kills, killsInFlight, options, restarts } = report;
  const found = Object.entries(findings as unknown as Record<string, readonly string[]>)
    .filter(([, { length }]) => length > 0)
    .map(([name, all]) => `${name}: ${all.length}, such as ${all.slice(0, 3).join('; ')}`);
  const missed = [...report.hits].filter(([, count]) => count === 0).map(([point]) => `nobody was killed at ${point}`);
  return [
    ...found,
    ...(report.foundLate === 0 ? [] : [`only the last sweep found ${report.foundLate} events`]),
    ...missed,
    ...(report.settled ? [] : ['deliveries or looks were left over']),
    ...(kills >= options.kills ? [] : [`only ${kills} of ${options.kills} kills`]),
    ...(killsInFlight >= 0.9 * kills ? [] : [`only ${killsInFlight} of ${kills} kills found work in flight`]),
    ...(report.rescued > 0 ? [] : ['nothing was rescued']),
    ...(report.fenced > 0 ? [] : ['no completion was fenced']),
    ...(restarts > 0 || options.db === 'sqlite' ? [] : ['the database was never restarted']),
  ];
}

/** What a round did, as a table. */
export function table(report: RoundReport): string {
  const { findings, hits, options } = report;
  const rows: [string, string | number][] = [
    ['database', options.db],
    ['seed', options.seed],
    ...(options.broken ? [['without the guard', options.broken] as [string, string]] : []),
    ['seconds', Math.round(report.seconds)],
    ['kills', `${report.kills}, with work in flight ${report.killsInFlight}`],
    ...[...hits].map(([point, count]): [string, number] => [`  killed at ${point}`, count]),
    ['stalls past the lease', report.stalls],
    ['database restarts', report.restarts],
    ['cut connections', report.cuts],
    ['events', report.events],
    ['deliveries', report.deliveries],
    ['rescued', report.rescued],
    ['fenced', report.fenced],
    ['calls repeated after a fault', report.repeated - findings.repeatedWithoutFault.length],
    ['committed rows without their event', findings.withoutEvent.length],
    ['events that only the last sweep found', report.foundLate],
    ['events never handled', findings.neverHandled.length],
    ['events of states never committed', findings.ghosts.length],
    ['transactional effects other than one', findings.doubledEffects.length],
    ['innocent deliveries discarded', findings.innocentDiscarded.length],
    ['poisoned deliveries left', findings.poisonLeft.length],
    ['calls repeated without a fault', findings.repeatedWithoutFault.length],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join('\n');
}

/** What a round comes down to. */
export function lastLine({
  options,
  kills,
  restarts,
  events,
  rescued,
  fenced,
  findings,
  foundLate,
}: RoundReport): string {
  const lost = findings.withoutEvent.length + findings.neverHandled.length + foundLate;
  return (
    `chaos: seed=${options.seed} db=${options.db} kills=${kills} restarts=${restarts} events=${events} lost=${lost} ` +
    `ghost=${findings.ghosts.length} doubled_effects=${findings.doubledEffects.length} innocent_discarded=${findings.innocentDiscarded.length} ` +
    `rescued=${rescued} fenced=${fenced}`
  );
}
