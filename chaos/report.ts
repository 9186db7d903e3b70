import type { Findings } from './checks.js';
import {
  type Break,
  type CompanionFault,
  type CompanionName,
  COMPANIONS,
  type Point,
  type Silence,
  type Version,
} from './faults.js';
import type { DatabaseName } from './servers/servers.js';

/** What one round is to do. */
export interface RoundOptions {
  readonly db: DatabaseName;
  readonly seed: number;
  readonly kills: number;
  readonly actors: number;
  readonly broken: Break | undefined;
  readonly companion: CompanionName | undefined;
}

/** What one round did, and found. */
export interface RoundReport {
  readonly options: RoundOptions;
  readonly seconds: number;
  readonly kills: number;
  readonly killsInFlight: number;
  readonly restarts: number;
  readonly cuts: number;
  readonly stalls: number;
  /** What happened to the companion, and how often. */
  readonly companionCounts: ReadonlyMap<CompanionFault, number>;
  /** What the relay has sent, and how many of that again; undefined in a round without a relay. */
  readonly relayed: { readonly messages: number; readonly repeated: number } | undefined;
  /** How many processes had each role for the carrier. */
  readonly roles: ReadonlyMap<string, number>;
  readonly silences: ReadonlyMap<Silence['ends'], number>;
  /** Processes that did not come back to work after a silence. */
  readonly neverBack: readonly string[];
  /** How many processes of each version were started. */
  readonly starts: Readonly<Record<Version, number>>;
  /** How often a process was stopped as a deploy does, and one of the other version started in its place. */
  readonly redeploys: number;
  /** Calls of the handler with a rate over all processes, and of the one with a concurrency. */
  readonly rated: number;
  readonly shared: number;
  /** Events of an entity that only the next version knows. */
  readonly badges: number;
  readonly hits: ReadonlyMap<Point, number>;
  readonly events: number;
  readonly deliveries: number;
  readonly rescued: number;
  readonly fenced: number;
  /** Calls of plain handlers that were repeated because of faults. */
  readonly repeated: number;
  /** What the sweep at the end found, that live capture should have seen. */
  readonly foundLate: number;
  /** How often processes logged each error, without its numbers. */
  readonly errors: ReadonlyMap<string, number>;
  /** Whether everything came to rest in time. */
  readonly settled: boolean;
  readonly findings: Findings;
}

/** What keeps a round from counting: something that it is there for did not happen, or it found what must not be. */
export function complaints(report: RoundReport): string[] {
  const { findings, kills, killsInFlight, options, restarts, neverBack } = report;
  const isServer = options.db !== 'sqlite';
  const unmet = isServer ? [...report.silences].filter(([, count]) => count === 0) : [];
  const found = Object.entries(findings as unknown as Record<string, readonly string[]>)
    .filter(([, { length }]) => length > 0)
    .map(([name, all]) => `${name}: ${all.length}, such as ${all.slice(0, 3).join('; ')}`);
  const missed = [...report.hits].filter(([, count]) => count === 0).map(([point]) => `nobody was killed at ${point}`);
  return [
    ...found,
    ...(report.foundLate === 0 ? [] : [`only the last sweep found ${report.foundLate} events`]),
    ...missed,
    ...unmet.map(([ends]) => `no silence that ${ends} was met`),
    ...(neverBack.length === 0 ? [] : [`not at work again after a silence: ${neverBack.join('; ')}`]),
    ...(report.settled ? [] : ['deliveries or rechecks were left over']),
    ...(kills >= options.kills ? [] : [`only ${kills} of ${options.kills} kills`]),
    ...(killsInFlight >= 0.9 * kills ? [] : [`only ${killsInFlight} of ${kills} kills found work in flight`]),
    ...(report.rescued > 0 ? [] : ['nothing was rescued']),
    ...(report.fenced > 0 ? [] : ['no completion was fenced']),
    ...(report.starts.former > 0 && report.redeploys > 1 ? [] : ['no version was deployed in place of the other']),
    ...(report.rated > 0 && report.shared > 0 ? [] : ['no handler with a limit was called']),
    ...(report.badges > 0 ? [] : ['nothing came that only the next version knows']),
    ...(report.cuts > 0 || !isServer ? [] : ['no connection was cut']),
    ...(restarts > 0 || !isServer ? [] : ['the database was never restarted']),
    ...[...report.companionCounts].flatMap(([fault, count]) =>
      count > 0 ? [] : [`${serverOf(options)} had no ${fault}`],
    ),
    ...(report.relayed?.repeated === 0 ? ['no message was sent again'] : []),
  ];
}

/** The errors that processes logged most. */
export function mostErrors({ errors }: RoundReport): string[] {
  const most = [...errors].sort(([, a], [, b]) => b - a).slice(0, 10);
  return most.map(([text, count]) => `logged ${count} times: ${text}`);
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
    ...[...report.silences].map(([ends, count]): [string, number] => [`silences: ${ends}`, count]),
    ['not at work again after a silence', report.neverBack.length],
    ['processes of the former, the next version', `${report.starts.former}, ${report.starts.next}`],
    ['redeploys', report.redeploys],
    ...[...report.roles].map(([roles, count]): [string, number] => [`processes that ${roles}`, count]),
    ...[...report.companionCounts].map(([fault, count]): [string, number] => [`${serverOf(options)}: ${fault}`, count]),
    ['database restarts', report.restarts],
    ['cut connections', report.cuts],
    ['events', report.events],
    ['  that only the next version knows', report.badges],
    ['deliveries', report.deliveries],
    ['rescued', report.rescued],
    ['fenced', report.fenced],
    ['calls repeated after a fault', report.repeated - findings.repeatedWithoutFault.length],
    ['calls with a rate, a concurrency', `${report.rated}, ${report.shared}`],
    ['rates exceeded', findings.rateExceeded.length],
    ['concurrencies exceeded', findings.concurrencyExceeded.length],
    ['committed rows without their event', findings.withoutEvent.length],
    ['events that only the last sweep found', report.foundLate],
    ['events never handled', findings.neverHandled.length],
    ['events of states never committed', findings.ghosts.length],
    ['events delivered twice under two names', findings.doubledDeliveries.length],
    ['transactional effects other than one', findings.doubledEffects.length],
    ['innocent deliveries discarded', findings.innocentDiscarded.length],
    ['poisoned deliveries left', findings.poisonLeft.length],
    ['calls repeated without a fault', findings.repeatedWithoutFault.length],
    ...relayRows(report),
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join('\n');
}

function relayRows({ relayed, findings }: RoundReport): [string, number][] {
  if (!relayed) return [];
  return [
    ['messages', relayed.messages],
    ['messages sent again after a fault', relayed.repeated - findings.relayedAgainWithoutFault.length],
    ['messages sent again without a fault', findings.relayedAgainWithoutFault.length],
    ['events never relayed', findings.neverRelayed.length],
    ['messages without an event', findings.relayedGhosts.length],
  ];
}

/** What the server of a companion is called; only asked where there is one. */
const serverOf = ({ companion }: RoundOptions): string => COMPANIONS[companion!].server;

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
  const lost = findings.withoutEvent.length + findings.neverHandled.length + findings.neverRelayed.length + foundLate;
  return (
    `chaos: seed=${options.seed} db=${options.db}${options.companion ? ` with=${options.companion}` : ''} kills=${kills} restarts=${restarts} events=${events} lost=${lost} ` +
    `ghost=${findings.ghosts.length} doubled_effects=${findings.doubledEffects.length} innocent_discarded=${findings.innocentDiscarded.length} ` +
    `rescued=${rescued} fenced=${fenced}`
  );
}
